"""Synthetic vectors as pictures: a contact sheet a class, and all rows in two dimensions. They decide nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.artifacts import (
    ContactSheet,
    EmbeddingRecord,
    ReconstructionRecord,
    ResamplingRecord,
    SnapshotRecord,
)
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import read_plan
from include.retraining.dataset.images import image_refs
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import VIEW_MARK, TrainFeatures, image_of, read_train_features
from include.retraining.embedding.projection import fit_projection
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ConfigurationError
from include.retraining.reconstruction.contact_sheets import Tile, draw_contact_sheet
from include.retraining.reconstruction.decoder import Decoder, decoder_for, sampled
from include.retraining.reconstruction.nearest import nearest_real
from include.retraining.reconstruction.projection import Panel, draw_projection
from include.retraining.reconstruction.resized import read_resized
from include.retraining.run import Run, run_key
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.parallel import put_many
from include.retraining.storage.publishing import content_type_of

logger = logging.getLogger(__name__)

FIRST_CHOICE = "smote"
PROJECTION = "projection.png"
SHOWN_ROWS = 8
SHOWN_DOTS = 2_000  # real rows a class, and synthetic ones
FITTED_ROWS = 20_000  # that the axes of the projection are fitted on

_ID_LETTERS = 8


@dataclass(frozen=True, eq=False)
class _Balanced:
    """The train rows and the synthetic ones of a plan.

    Attributes:
        strategy: Whose plan it is.
        train: The train images (schema `SNAPSHOT`), in the order that `features.image` counts.
        features: Their vectors.
        scores: Standard scores of these.
        y: Labels of the rows of `features`.
        pairs: Positions count these rows.
    """

    strategy: str
    train: pd.DataFrame
    features: TrainFeatures
    scores: np.ndarray
    y: np.ndarray
    pairs: Pairs

    def synthetic_of(self, label: str) -> np.ndarray:
        """Returns the positions of a class's synthetic rows."""
        return np.flatnonzero(self.pairs.labels(self.y) == label)


@dataclass(frozen=True, eq=False)
class _Shown:
    """Synthetic rows that contact sheets show, with what stands beside them.

    Attributes:
        rows: Positions of the synthetic rows.
        parents: Positions of both parents among the train rows, shape `(n_shown, 2)`.
        nearest: Position of the nearest train image that is no parent.
        decoded: Pictures of the rows, uint8, shape `(n_shown, side, side, 3)`.
        images: Pictures of parents and nearest image, shape `(n_shown, 3, side, side, 3)`.
    """

    rows: np.ndarray
    parents: np.ndarray
    nearest: np.ndarray
    decoded: np.ndarray
    images: np.ndarray


def reconstruct(
    run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord, resampling: ResamplingRecord
) -> ReconstructionRecord:
    """Draws what a plan made: that of the strategy named `smote` if there is one, else the first.

    Side effects:
        Publishes the decoder, unless it is there; writes the pictures among the run's own records. A repeat writes the
        same bytes.

    Raises:
        ConfigurationError: If no strategy resamples.
        ArtifactIntegrityError: If the plan is not over the train rows, or an image or a vector is damaged.
    """
    balanced = _read(run, snapshot, embeddings, resampling)
    decoder, fit = decoder_for(run, snapshot, embeddings)
    prefix = layout.reconstruction(run.classifier, run_key(run.run_id))
    pictures, sheets = _contact_sheets(run, balanced, decoder)
    pictures[PROJECTION], explained = _projection(run, balanced)
    put_many(run.store, {f"{prefix}{name}": body for name, body in pictures.items()}, content_type_of)
    logger.info(
        "reconstruction strategy=%s sheets=%d uri=%s", balanced.strategy, len(sheets), uri_of(run.store, prefix)
    )
    return ReconstructionRecord(
        strategy=balanced.strategy,
        decoder_uri=decoder.uri,
        decoder_error=fit.error,
        mean_image_error=fit.mean_image_error,
        sheets=tuple(
            ContactSheet(label, uri_of(run.store, f"{prefix}{name}"), n_rows) for label, name, n_rows in sheets
        ),
        projection_uri=uri_of(run.store, f"{prefix}{PROJECTION}"),
        explained_variance=explained,
    )


def _read(run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord, resampling: ResamplingRecord) -> _Balanced:
    if not resampling.plans:
        raise ConfigurationError(
            "balancing.reconstruct",
            "there are no synthetic rows to show, since no strategy resamples",
            "Add a strategy that does, such as smote, to training.strategies, or set it to false",
        )
    strategy = FIRST_CHOICE if FIRST_CHOICE in resampling.plans else next(iter(resampling.plans))
    train = rows_of(read_snapshot(run.store, snapshot.uri), "train")
    features = read_train_features(run.store, embeddings, list(train["image_id"]))
    return _Balanced(
        strategy=strategy,
        train=train,
        features=features,
        scores=fit_scaler(features.X).transform(features.X),
        y=train["label"].to_numpy()[features.image],
        pairs=read_plan(run.store, resampling.plans[strategy].uri).over(features.row_ids),
    )


def _contact_sheets(
    run: Run, balanced: _Balanced, decoder: Decoder
) -> tuple[dict[str, bytes], list[tuple[str, str, int]]]:
    """Returns the files by name; and of each sheet its class, its file, and how many rows it shows."""
    chosen = {
        label: _chosen(balanced, rows, np.random.default_rng([run.config.balancing.seed, index]))
        for index, label in enumerate(run.config.labels)
        if len(rows := balanced.synthetic_of(label))
    }
    if not chosen:
        return {}, []
    shown = _shown(run, balanced, decoder, np.concatenate(list(chosen.values())))
    files: dict[str, bytes] = {}
    sheets, start = [], 0
    for label, rows in chosen.items():
        name = f"sheets/{run.config.labels.index(label):03d}-{run_key(label)}.png"
        number = len(balanced.synthetic_of(label))
        subtitle = f"{len(rows):,} of {number:,} synthetic rows of {balanced.strategy}, by their step from A to B"
        tiles = [_tiles(balanced, shown, index, label) for index in range(start, start + len(rows))]
        files[name] = draw_contact_sheet(label, subtitle, tiles)
        sheets.append((label, name, len(rows)))
        start += len(rows)
    return files, sheets


def _chosen(balanced: _Balanced, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns some synthetic rows by ascending step."""
    some = np.sort(rng.choice(rows, min(SHOWN_ROWS, len(rows)), replace=False))
    ordered: np.ndarray = some[np.argsort(balanced.pairs.step[some], kind="stable")]
    return ordered


def _shown(run: Run, balanced: _Balanced, decoder: Decoder, rows: np.ndarray) -> _Shown:
    features, pairs = balanced.features, balanced.pairs
    parents = np.stack([pairs.base[rows], pairs.neighbour[rows]], axis=1)
    nearest = nearest_real(
        pairs.interpolate(balanced.scores, rows),
        balanced.scores[: len(balanced.train)],  # the images come first, their views after them
        other_than=features.image[parents],
    )
    positions = np.column_stack([features.image[parents], nearest])
    images = read_resized(
        run.store, image_refs(run.store, run.classifier, balanced.train.iloc[positions.ravel()]), decoder.side
    )
    return _Shown(
        rows=rows,
        parents=parents,
        nearest=nearest,
        decoded=decoder.decode(pairs.interpolate(features.X, rows)),
        images=images.reshape(*positions.shape, *images.shape[1:]),
    )


def _tiles(balanced: _Balanced, shown: _Shown, index: int, label: str) -> list[Tile]:
    parent_a, parent_b = (_short(balanced.features.row_ids[position]) for position in shown.parents[index])
    nearest = balanced.train.iloc[shown.nearest[index]]
    stranger = "" if nearest["label"] == label else f" ({nearest['label']})"
    return [
        Tile(shown.images[index, 0], parent_a),
        Tile(shown.images[index, 1], parent_b),
        Tile(shown.decoded[index], f"step {balanced.pairs.step[shown.rows[index]]:.2f}"),
        Tile(shown.images[index, 2], f"{_short(nearest['image_id'])}{stranger}"),
    ]


def _short(row_id: str) -> str:
    """Returns the beginning of an image's id, and which of its views a row is."""
    view = row_id.partition(VIEW_MARK)[2]
    return f"{image_of(row_id)[:_ID_LETTERS]}{f' view {view}' if view else ''}"


def _projection(run: Run, balanced: _Balanced) -> tuple[bytes, float]:
    """Returns the picture, and the share of the variance that its axes show."""
    seed, scores = run.config.balancing.seed, balanced.scores
    if scores.shape[1] == 1:  # `pca: 1`; the second axis is empty
        scores = np.column_stack([scores, np.zeros(len(scores), scores.dtype)])
    projection = fit_projection(scores[sampled(balanced.y, FITTED_ROWS, seed)], 2)
    panels = []
    for index, label in enumerate(run.config.labels):
        rng = np.random.default_rng([seed, index])
        real, synthetic = np.flatnonzero(balanced.y == label), balanced.synthetic_of(label)
        some_real, some_synthetic = (
            rows if len(rows) <= SHOWN_DOTS else np.sort(rng.choice(rows, SHOWN_DOTS, replace=False))
            for rows in (real, synthetic)
        )
        panels.append(
            Panel(
                label=label,
                real=projection.transform(scores[some_real]),
                synthetic=projection.transform(balanced.pairs.interpolate(scores, some_synthetic)),
                caption=f"{len(real):,} real, {len(synthetic):,} synthetic",
            )
        )
    explained = float(projection.explained.sum())
    title = "Train rows in two dimensions"
    subtitle = (
        f"The first two principal components of the real train rows show {explained:.0%} of their variance. "
        f"Synthetic rows: {balanced.strategy}."
    )
    return draw_projection(title, subtitle, panels), explained
