"""What a day's images are to each other and to all before: duplicates, near-duplicates, groups, pins; and their splits.

Rows that are refused for what they are themselves do not come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from include.retraining.config import ClassifierConfig, DatasetConfig
from include.retraining.intake.reasons import Reason
from include.retraining.intake.relations.duplicates import DuplicateFindings, find_duplicates
from include.retraining.intake.relations.ledger import Ledger
from include.retraining.intake.relations.near_duplicates import first_neighbours, parse_hashes, scrambled
from include.retraining.intake.relations.splits import (
    BIT_OF,
    NAME_OF,
    SPLIT_BITS,
    SplitRows,
    Ties,
    assign_splits,
    furthest,
    is_one_split,
    near_splits,
)

CANDIDATE_COLUMNS = ["key", "image", "label", "group", "split", "pixel_sha256", "perceptual_hash"]


def relate(
    candidates: pd.DataFrame, day: date, ledger: Ledger, config: ClassifierConfig
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Decides which of a day's images are accepted, and where they lie for ever.

    Exact duplicates are judged against the current batches of earlier days, splits against all that the ledger holds.
    A repeat of a day finds the same, since what the day gave before binds only those images that it gave it to.

    Args:
        candidates: Columns `CANDIDATE_COLUMNS`; the index tells the rows apart. Their order decides nothing.
        day: Day of the delivery.
        ledger: Everything that was accepted before.
        config: The recipe.

    Returns:
        With the index of `candidates`, columns finding (code of a `Reason`, or empty for an accepted row), related
        (key of the other image, or empty), split (empty unless accepted), pinned, and group (of the row or a copy).
        And one sentence a warning.
    """
    ledger = ledger.followed_by(day, iter(()))
    by_name = candidates.sort_index().sort_values(["key", "image", "label", "group", "split"], kind="stable")
    duplicates = find_duplicates(by_name, ledger.images_before(by_name["pixel_sha256"], day))
    wanting = _with_copies(by_name.drop(index=list(duplicates.findings)), duplicates)
    assigned = _assign(wanting, day, ledger, config.dataset)
    found = duplicates.findings
    refused = pd.DataFrame(
        {
            "finding": pd.Series([it.reason.value for it in found.values()], dtype=object),
            "related": pd.Series([it.related for it in found.values()], dtype=object),
            "split": "",
            "pinned": False,
            "group": by_name["group"].loc[list(found)].to_numpy(object),
        }
    ).set_axis(pd.Index(list(found), dtype=by_name.index.dtype))
    relations = pd.concat([assigned, refused])
    _refuse_copies(relations, duplicates)
    return relations.loc[candidates.index], duplicates.warnings


def _with_copies(rows: pd.DataFrame, duplicates: DuplicateFindings) -> pd.DataFrame:
    """Lets the rows that stay take over the pins and groups of those that are skipped for them."""
    rows = rows.astype({"split": object, "group": object})
    rows.loc[list(duplicates.splits), "split"] = list(duplicates.splits.values())
    rows.loc[list(duplicates.groups), "group"] = list(duplicates.groups.values())
    return rows


def _refuse_copies(relations: pd.DataFrame, duplicates: DuplicateFindings) -> None:
    """Refuses the copies of a row that was to stay and cannot: they are not skipped for nothing."""
    refused = set(relations.index[relations["finding"] != ""])
    copies = [copy for copy, stays in duplicates.kept.items() if stays in refused]
    kept = [duplicates.kept[copy] for copy in copies]
    relations.loc[copies, ["finding", "related"]] = relations.loc[kept, ["finding", "related"]].to_numpy()


def _assign(wanting: pd.DataFrame, day: date, ledger: Ledger, config: DatasetConfig) -> pd.DataFrame:
    """Gives distinct images their splits; returns finding, related, split, pinned and group."""
    rows = SplitRows(
        image_ids=wanting["pixel_sha256"].to_numpy(object),
        groups=wanting["group"].to_numpy(object),
        hashes=parse_hashes(wanting["perceptual_hash"]),
    )
    known = _Known(rows, wanting, day, ledger, config)
    splits, ties = assign_splits(rows, known.ties(), config)
    refused = splits == 0
    is_strong = (ties.strong != 0) & ~is_one_split(ties.strong)
    reasons = np.where(is_strong, Reason.SPLIT_CONFLICT.value, Reason.NEAR_DUPLICATE_ACROSS_SPLITS.value)
    related = np.full(len(rows), "", object)
    related[refused & is_strong] = known.of_same_image_or_group(refused & is_strong, splits, ties)
    related[refused & ~is_strong] = known.near_duplicates(refused & ~is_strong, splits, ties)
    return pd.DataFrame(
        {
            "finding": np.where(refused, reasons, ""),
            "related": related,
            "split": [NAME_OF[int(bit)] for bit in splits],
            "pinned": (ties.pin != 0) & ~refused,
            "group": rows.groups,
        },
        index=wanting.index,
    )


@dataclass(frozen=True)
class _Known:
    """A day's rows beside the ledger.

    A row that was accepted before in the same group is bound by earlier days alone: of two days that were taken in at
    the same moment and contradict each other, the later one gives way when it is taken in again.
    """

    rows: SplitRows
    wanting: pd.DataFrame
    day: date
    ledger: Ledger
    config: DatasetConfig

    def ties(self) -> Ties:
        """Returns what binds the rows to splits that were given before."""
        image_ids, groups = self.wanting["pixel_sha256"], self.wanting["group"]
        everything, current = np.ones(len(self.ledger), bool), self.ledger.is_current
        earlier = self.ledger.is_current_before(self.day)
        is_settled = self.ledger.is_settled(image_ids, groups)
        given = self.ledger.splits_given
        own = given("image_id", image_ids, [self.ledger.is_of(self.day), current, everything])
        by_group = np.where(
            is_settled, given("group", groups, [earlier]), given("group", groups, [current, everything])
        )
        near = np.zeros(len(self.rows), np.uint8)
        for asked, known in ((is_settled, earlier), (~is_settled, everything)):
            targets, splits = self.ledger.hashes[known], self.ledger.splits[known]
            near[asked] = near_splits(self.rows.hashes[asked], targets, splits, self.config)
        return Ties(
            pin=self.wanting["split"].map(BIT_OF).to_numpy(np.uint8),
            own=own,
            group=np.where(groups != "", by_group, 0).astype(np.uint8),
            near=near,
        )

    def of_same_image_or_group(self, which: np.ndarray, splits: np.ndarray, ties: Ties) -> list[str]:
        """Returns the key of an image whose group or pixels some rows share, and whose split they cannot."""
        if not which.any():
            return []
        accepted = splits != 0
        groups, image_ids = self.rows.groups, self.rows.image_ids
        of_groups = self.ledger.holds("group", list(set(groups[which]))) & self._is_elsewhere(accepted)
        by_group = self.ledger.first_keys("group", of_groups)
        for group, key in zip(groups[accepted], self.wanting["key"][accepted], strict=True):
            by_group[group] = min(key, by_group.get(group, key))
        by_image = self.ledger.first_keys("image_id", self.ledger.holds("image_id", list(image_ids[which])))
        is_group = (ties.group != 0) & (ties.group != ties.own)
        columns = (groups[which], image_ids[which], is_group[which])
        return [
            by_group.get(group, "") if of_group else by_image.get(image, "")
            for group, image, of_group in zip(*columns, strict=True)
        ]

    def near_duplicates(self, which: np.ndarray, splits: np.ndarray, ties: Ties) -> list[str]:
        """Returns the key of a near-duplicate of some rows that lies where they cannot."""
        bits = self.config.near_duplicate_bits
        if bits is None or not which.any():
            return []
        accepted = splits != 0
        known = np.flatnonzero(self._is_elsewhere(accepted))
        targets = self.ledger.hashes[known].followed_by(self.rows.hashes[accepted])
        kinds = np.searchsorted(SPLIT_BITS, np.concatenate([self.ledger.splits[known], splits[accepted]]))
        found = first_neighbours(self.rows.hashes[which], targets, kinds, bits, n_kinds=len(SPLIT_BITS))
        contrary = ties.near[which] & ~ties.strong[which]
        numbers = found[np.arange(len(found)), np.searchsorted(SPLIT_BITS, furthest(contrary))]
        hashes = scrambled(targets.words)
        alike = np.flatnonzero(np.isin(hashes, hashes[numbers[numbers >= 0]]))
        is_known = alike < len(known)
        keys = [
            *self.ledger.keys_of(known[alike[is_known]]),
            *self.wanting["key"][accepted].iloc[alike[~is_known] - len(known)],
        ]
        smallest: dict[tuple[int, int], str] = {}
        for number, key in zip(alike, keys, strict=True):
            mark = (int(hashes[number]), int(kinds[number]))
            smallest[mark] = min(key, smallest.get(mark, key))
        return [smallest[int(hashes[number]), int(kinds[number])] if number >= 0 else "" for number in numbers]

    def _is_elsewhere(self, accepted: np.ndarray) -> np.ndarray:
        """Tells which rows of the ledger are of no image that the day just accepted: those have other keys now."""
        return ~self.ledger.holds("image_id", list(self.rows.image_ids[accepted]))
