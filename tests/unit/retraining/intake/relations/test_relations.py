from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.retraining.artifacts import SPLITS
from include.retraining.config import ClassifierConfig
from include.retraining.intake.reasons import SKIPPING, Reason
from include.retraining.intake.relations.ledger import Ledger, read_ledger
from include.retraining.intake.relations.relations import CANDIDATE_COLUMNS, relate
from include.retraining.intake.relations.splits import hashed_split
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from tests.builders import CLASSIFIER, make_config

BITS = 12
DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(4)]
CONFIG = make_config(dataset={"validation_fraction": 0.3, "test_fraction": 0.3, "near_duplicate_bits": BITS})
PINNED_TEST = make_config(dataset={"validation_fraction": 0.5, "test_fraction": 0.0, "near_duplicate_bits": BITS})
NOTHING = read_ledger(InMemoryStore(), CLASSIFIER)


def hash_of(centre: int, *bits: int) -> str:
    """A perceptual hash: another for each centre, far from all others, with some bits flipped."""
    number = int(sha256(f"centre {centre}".encode()), 16)
    for bit in bits:
        number ^= 1 << bit
    return f"{number:064x}"


def chained(centre: int, place: int) -> str:
    """The hash at a place of a chain whose links differ by 10 bits: neighbours are near, others are not."""
    return hash_of(centre, *range(10 * place))


def candidates(*rows: Mapping[str, object], day: date = DAYS[1]) -> pd.DataFrame:
    """Daisies without group and pin, each with other pixels and far from all others, unless a row says otherwise."""
    frame = [
        {
            "image": (image := str(row.get("image", f"{number}.png"))),
            "key": f"incoming/{CLASSIFIER}/{day}/{image}",
            "label": "daisy",
            "group": "",
            "split": "",
            "pixel_sha256": f"pixels of {day} {image}",
            "perceptual_hash": sha256(f"{day} {image}".encode()),
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pd.DataFrame(frame, columns=CANDIDATE_COLUMNS).astype(object)


def taken_in(
    ledger: Ledger, *rows: Mapping[str, object], day: date = DAYS[1], config: ClassifierConfig = CONFIG
) -> tuple[pd.DataFrame, Ledger]:
    """What `relate` finds, and the ledger after what it accepted."""
    frame = candidates(*rows, day=day)
    found, _ = relate(frame, day, ledger, config)
    return found, ledger.followed_by(day, iter([accepted_of(frame, found)]))


def accepted_of(frame: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    rows = frame.assign(group=found["group"], assigned_split=found["split"], pinned=found["pinned"])
    return rows[found["finding"] == ""]


def key(image: str, day: date = DAYS[1]) -> str:
    return f"incoming/{CLASSIFIER}/{day}/{image}"


def image_in(split: str, config: ClassifierConfig = CONFIG) -> str:
    """An image id whose content puts it into a split."""
    return next(name for name in map(str, range(999)) if hashed_split(name, config.dataset) == split)


def findings(found: pd.DataFrame) -> list[str]:
    return list(found["finding"])


def test_images_that_have_nothing_to_do_with_each_other_lie_where_their_content_puts_them():
    ids = [f"image {number}" for number in range(30)]

    found, _ = taken_in(NOTHING, *({"pixel_sha256": image} for image in ids))

    assert findings(found) == [""] * 30
    assert list(found["split"]) == [hashed_split(image, CONFIG.dataset) for image in ids]
    assert not found["pinned"].any()


def test_a_group_lies_where_its_name_puts_it():
    found, _ = taken_in(NOTHING, *({"group": f"g{number // 2}"} for number in range(40)))

    assert list(found["split"]) == [hashed_split(f"g{number // 2}", CONFIG.dataset) for number in range(40)]


@pytest.mark.parametrize("split", SPLITS)
def test_a_pin_decides_for_its_group_and_its_near_duplicates(split: str):
    found, _ = taken_in(
        NOTHING,
        {"split": split, "group": "g", "perceptual_hash": chained(1, 0)},
        {"group": "g", "perceptual_hash": chained(2, 0)},
        {"perceptual_hash": chained(1, 1)},
        {"perceptual_hash": chained(2, 1)},
        {"perceptual_hash": chained(2, 2)},
    )

    assert list(found["split"]) == [split] * 5
    assert list(found["pinned"]) == [True, False, False, False, False]


def test_near_duplicates_without_group_and_pin_lie_where_the_smallest_of_them_would():
    found, _ = taken_in(
        NOTHING,
        *(
            {"pixel_sha256": f"{20 - number}", "perceptual_hash": chained(number // 4, number % 4)}
            for number in range(12)
        ),
    )

    expected = [min(f"{20 - other}" for other in range(12) if other // 4 == number // 4) for number in range(12)]
    assert list(found["split"]) == [hashed_split(image, CONFIG.dataset) for image in expected]


@pytest.mark.parametrize(("distance", "split"), [(BITS, "test"), (BITS + 1, "train")])
def test_a_near_duplicate_differs_in_no_more_bits_than_the_recipe_says(distance: int, split: str):
    _, ledger = taken_in(NOTHING, {"split": "test", "perceptual_hash": hash_of(1)}, day=DAYS[0])

    found, _ = taken_in(ledger, {"pixel_sha256": image_in("train"), "perceptual_hash": hash_of(1, *range(distance))})

    assert list(found["split"]) == [split]


def test_without_near_duplicate_bits_likeness_decides_nothing():
    config = make_config(dataset={"near_duplicate_bits": None})

    found, _ = taken_in(
        NOTHING,
        {"split": "test", "perceptual_hash": hash_of(1)},
        {"split": "train", "perceptual_hash": hash_of(1)},
        config=config,
    )

    assert list(found["split"]) == ["test", "train"]


def test_pictures_without_a_hash_are_not_near_to_each_other():
    found, _ = taken_in(NOTHING, {"split": "test", "perceptual_hash": ""}, {"split": "train", "perceptual_hash": ""})

    assert list(found["split"]) == ["test", "train"]


@pytest.mark.parametrize(
    "tie",
    [{"group": "g"}, {"perceptual_hash": chained(1, 1)}, {"pixel_sha256": "same"}],
    ids=["group", "near-duplicate", "image"],
)
def test_what_was_given_once_holds_though_the_batch_was_superseded(tie: Mapping[str, object]):
    first = {"split": "validation", "group": "g", "perceptual_hash": chained(1, 0), "pixel_sha256": "same"}
    _, ledger = taken_in(NOTHING, first, day=DAYS[2])
    _, ledger = taken_in(ledger, {}, day=DAYS[2])

    found, _ = taken_in(ledger, tie, day=DAYS[0])

    assert list(found["split"]) == ["validation"]


def test_an_earlier_split_overrules_pins_of_the_rest_of_the_group():
    _, ledger = taken_in(NOTHING, {"split": "train", "group": "g"}, day=DAYS[0])

    found, _ = taken_in(ledger, {"group": "g"}, {"group": "g", "split": "test"}, {"group": "g", "split": "train"})

    assert findings(found) == ["", Reason.SPLIT_CONFLICT, ""]
    assert list(found["split"]) == ["train", "", "train"]
    assert found["related"][1] == key("0.png", DAYS[0])


def test_of_two_pins_in_a_group_the_one_furthest_from_training_holds():
    found, _ = taken_in(
        NOTHING, {"group": "g", "split": "train"}, {"group": "g", "split": "validation"}, {"group": "g"}
    )

    assert findings(found) == [Reason.SPLIT_CONFLICT, "", ""]
    assert list(found["split"]) == ["", "validation", "validation"]
    assert found["related"][0] == key("1.png")


def test_a_pinned_near_duplicate_of_an_image_of_another_split_is_refused_and_the_other_named():
    _, ledger = taken_in(NOTHING, {"split": "train", "perceptual_hash": hash_of(1)}, day=DAYS[0])

    found, _ = taken_in(ledger, {"split": "test", "perceptual_hash": hash_of(1, 3)})

    assert findings(found) == [Reason.NEAR_DUPLICATE_ACROSS_SPLITS]
    assert found["related"][0] == key("0.png", DAYS[0])
    assert not found["pinned"][0]


def test_an_image_between_two_splits_is_refused():
    _, ledger = taken_in(
        NOTHING,
        {"split": "train", "perceptual_hash": chained(1, 0)},
        {"split": "test", "perceptual_hash": chained(1, 2)},
        day=DAYS[0],
    )

    found, _ = taken_in(ledger, {"perceptual_hash": chained(1, 1)})

    assert findings(found) == [Reason.NEAR_DUPLICATE_ACROSS_SPLITS]
    assert found["related"][0] == key("1.png", DAYS[0])


def test_what_a_refused_image_linked_is_no_longer_linked():
    alone = image_in("train")
    _, ledger = taken_in(NOTHING, {"split": "validation", "group": "g"}, day=DAYS[0])

    found, _ = taken_in(
        ledger,
        {"split": "test", "perceptual_hash": chained(1, 0)},
        {"group": "g", "perceptual_hash": chained(1, 1)},
        {"pixel_sha256": alone, "perceptual_hash": chained(1, 3)},
        {"split": "test", "perceptual_hash": chained(1, 2)},
    )

    # The group's split is the ledger's, so it wins; both pinned neighbours go, and the last image is free.
    assert findings(found) == [Reason.NEAR_DUPLICATE_ACROSS_SPLITS, "", "", Reason.NEAR_DUPLICATE_ACROSS_SPLITS]
    assert list(found["split"]) == ["", "validation", "train", ""]


def test_where_test_images_are_pinned_likeness_does_not_make_more_of_them():
    _, ledger = taken_in(NOTHING, {"split": "test", "perceptual_hash": hash_of(1)}, day=DAYS[0], config=PINNED_TEST)

    found, _ = taken_in(
        ledger,
        {"perceptual_hash": hash_of(1, 3)},
        {"perceptual_hash": hash_of(2, 3)},
        {"perceptual_hash": hash_of(2), "split": "test"},
        {"perceptual_hash": hash_of(1, 4), "split": "test"},
        config=PINNED_TEST,
    )

    assert findings(found) == [Reason.NEAR_DUPLICATE_ACROSS_SPLITS] * 2 + [""] * 2
    assert list(found["split"]) == ["", "", "test", "test"]
    assert found["related"][1] == key("2.png")


def test_where_test_images_are_pinned_a_group_still_follows_its_pin():
    found, _ = taken_in(
        NOTHING,
        {"group": "g", "split": "test", "perceptual_hash": hash_of(1)},
        {"group": "g", "perceptual_hash": hash_of(1, 5)},
        {"group": "g"},
        config=PINNED_TEST,
    )

    assert list(found["split"]) == ["test"] * 3


def test_a_copy_hands_on_its_pin_and_its_group_to_the_one_that_stays():
    found, _ = taken_in(
        NOTHING,
        {"image": "b.png", "pixel_sha256": "same", "split": "test"},
        {"image": "c.png", "pixel_sha256": "same", "group": "g"},
        {"image": "a.png", "pixel_sha256": "same"},
        {"group": "g"},
    )

    assert findings(found) == [Reason.DUPLICATE, Reason.DUPLICATE, "", ""]
    assert list(found["split"]) == ["", "", "test", "test"]
    assert list(found["group"])[2:] == ["g", "g"]
    assert list(found["pinned"]) == [False, False, True, False]
    assert list(found["related"]) == [key("a.png"), key("a.png"), "", ""]


def test_the_copies_of_an_image_that_cannot_stay_are_refused_with_it():
    _, ledger = taken_in(NOTHING, {"split": "train", "group": "g"}, day=DAYS[0])

    found, _ = taken_in(ledger, {"pixel_sha256": "same", "group": "g"}, {"pixel_sha256": "same", "split": "test"})

    assert findings(found) == [Reason.SPLIT_CONFLICT] * 2


@pytest.mark.parametrize(
    ("field", "values", "reason"),
    [
        ("label", ("daisy", "poppy"), Reason.LABEL_CONFLICT),
        ("group", ("g", "h"), Reason.GROUP_CONFLICT),
        ("split", ("test", "train"), Reason.SPLIT_CONFLICT),
    ],
)
def test_copies_that_contradict_each_other_are_refused_and_name_each_other(
    field: str, values: tuple[str, str], reason: Reason
):
    found, _ = taken_in(NOTHING, *({"pixel_sha256": "same", field: value} for value in values), {})

    assert findings(found) == [reason, reason, ""]
    assert list(found["related"])[:2] == [key("1.png"), key("0.png")]


@pytest.mark.parametrize(
    ("split", "reason"), [("test", Reason.DUPLICATE_OF_TEST_IMAGE), ("train", Reason.DUPLICATE_OF_EARLIER_BATCH)]
)
def test_a_copy_of_an_earlier_image_is_skipped_and_a_copy_of_a_test_image_is_called_so(split: str, reason: Reason):
    _, ledger = taken_in(NOTHING, {"pixel_sha256": "same", "split": split}, day=DAYS[0])

    found, _ = taken_in(ledger, {"pixel_sha256": "same"})

    assert findings(found) == [reason]
    assert list(found["related"]) == [key("0.png", DAYS[0])]


def test_an_earlier_image_under_another_label_is_a_conflict():
    _, ledger = taken_in(NOTHING, {"pixel_sha256": "same"}, day=DAYS[0])

    found, _ = taken_in(ledger, {"pixel_sha256": "same", "label": "poppy"})

    assert findings(found) == [Reason.LABEL_CONFLICT]
    assert list(found["related"]) == [key("0.png", DAYS[0])]


def test_duplicates_are_judged_against_the_days_before_and_no_later_ones():
    _, ledger = taken_in(NOTHING, {"pixel_sha256": "same", "label": "poppy", "split": "test"}, day=DAYS[2])

    found, _ = taken_in(ledger, {"pixel_sha256": "same"}, day=DAYS[1])

    assert (findings(found), list(found["split"])) == ([""], ["test"])


def test_an_image_that_left_its_batch_is_no_duplicate_and_keeps_its_split():
    _, ledger = taken_in(NOTHING, {"pixel_sha256": "same", "split": "test"}, day=DAYS[0])
    _, ledger = taken_in(ledger, {}, day=DAYS[0])

    found, _ = taken_in(ledger, {"pixel_sha256": "same"}, {"pixel_sha256": "other", "split": "train"})

    assert (findings(found), list(found["split"])) == (["", ""], ["test", "train"])


def test_an_image_that_is_pinned_elsewhere_afterwards_is_refused():
    _, ledger = taken_in(NOTHING, {"pixel_sha256": "same", "split": "train"}, day=DAYS[2])

    found, _ = taken_in(ledger, {"pixel_sha256": "same", "split": "test"}, day=DAYS[1])

    assert findings(found) == [Reason.SPLIT_CONFLICT]
    assert list(found["related"]) == [key("0.png", DAYS[2])]


@pytest.mark.parametrize(
    ("tie", "reason"),
    [
        ({"group": "g"}, Reason.SPLIT_CONFLICT),
        ({"perceptual_hash": hash_of(1)}, Reason.NEAR_DUPLICATE_ACROSS_SPLITS),
    ],
)
def test_of_two_days_that_contradict_each_other_the_later_gives_way_when_it_is_taken_in_again(
    tie: Mapping[str, object], reason: Reason
):
    first, second = {"split": "train", **tie}, {"split": "test", **tie}
    _, ledger = taken_in(NOTHING, first, day=DAYS[0])
    frame = candidates(second, day=DAYS[1])
    found, _ = relate(frame, DAYS[1], NOTHING, CONFIG)  # by a run that began before the first day was accepted
    ledger = ledger.followed_by(DAYS[1], iter([accepted_of(frame, found)]))

    later, ledger = taken_in(ledger, second, day=DAYS[1])
    earlier, _ = taken_in(ledger, first, day=DAYS[0])

    assert findings(later) == [reason]
    assert (findings(earlier), list(earlier["split"])) == ([""], ["train"])


def test_a_group_whose_contradiction_was_resolved_goes_on_where_its_current_images_lie():
    _, ledger = taken_in(NOTHING, {"split": "train", "group": "g"}, day=DAYS[0])
    _, other = taken_in(NOTHING, {"split": "test", "group": "g"}, day=DAYS[1])
    ledger = Ledger(pa.concat_tables([ledger.rows, other.rows])).followed_by(DAYS[1], iter(()))

    found, _ = taken_in(ledger, {"group": "g"}, day=DAYS[2])

    assert list(found["split"]) == ["train"]


def test_no_candidates_are_no_trouble():
    found, warnings = relate(candidates(), DAYS[0], NOTHING, CONFIG)

    assert list(found.columns) == ["finding", "related", "split", "pinned", "group"]
    assert (len(found), warnings) == (0, ())


# Deliveries in any order, with everything that can tie images to each other.

rows_of_a_day = st.lists(
    st.fixed_dictionaries(
        {
            "pixel": st.integers(0, 25),
            "label": st.sampled_from(["daisy"] * 8 + ["poppy"]),
            "group": st.sampled_from(["", "", "", "g1", "g2", "g3"]),
            "split": st.sampled_from(["", "", "", "", *SPLITS]),
        }
    ),
    max_size=10,
)


@st.composite
def deliveries(draw) -> list[tuple[date, list[dict[str, object]]]]:
    """Days in any order, now and then delivered again, whole, changed or extended."""
    centres = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=26, max_size=26))
    hashes = [chained(*where) if where[0] else "" for where in centres]
    latest: dict[date, list[dict[str, object]]] = {}
    sequence = []
    for _ in range(draw(st.integers(1, 4))):
        day = draw(st.sampled_from(DAYS))
        added = [
            {**row, "pixel_sha256": f"pixels {row['pixel']}", "perceptual_hash": hashes[row["pixel"]]}
            for row in draw(rows_of_a_day)
        ]
        latest[day] = [*(latest.get(day, []) if draw(st.booleans()) else []), *added]
        sequence.append((day, latest[day]))
    return sequence


def cluster_of(rows: pd.DataFrame) -> list[frozenset[int]]:
    """Clusters of near-duplicates by brute force, as positions, for each row."""
    numbers = [int(text, 16) if text else None for text in rows["perceptual_hash"]]
    reached = np.array(
        [
            [a == b or (one is not None and other is not None and (one ^ other).bit_count() <= BITS)
             for b, other in enumerate(numbers)]
            for a, one in enumerate(numbers)
        ], bool
    ).reshape(len(rows), len(rows))  # fmt: skip
    for _ in range(5):
        reached = (reached.astype(int) @ reached) > 0
    return [frozenset(np.flatnonzero(row)) for row in reached]


def require_no_leak(current: Mapping[date, pd.DataFrame]) -> None:
    rows = pd.concat(
        [pd.DataFrame(columns=["pixel_sha256", "group", "assigned_split", "perceptual_hash"]), *current.values()]
    )
    assert (rows.groupby("pixel_sha256")["assigned_split"].nunique() <= 1).all()
    assert (rows[rows["group"] != ""].groupby("group")["assigned_split"].nunique() <= 1).all()
    splits = rows["assigned_split"].to_numpy()
    assert all(len(set(splits[list(cluster)])) == 1 for cluster in cluster_of(rows))


def require_sound(frame: pd.DataFrame, found: pd.DataFrame) -> None:
    """Every row is accepted or has a finding; whatever is skipped is there."""
    assert list(found.index) == list(frame.index)
    accepted = found["finding"] == ""
    assert set(found["split"][accepted]) <= set(SPLITS)
    assert set(found["split"][~accepted]) <= {""}
    assert set(found["finding"][~accepted]) <= {reason.value for reason in Reason}
    pins = frame["split"].where(found["pinned"] & (frame["split"] != ""), found["split"])
    assert (pins[accepted] == found["split"][accepted]).all()
    stays = set(frame["pixel_sha256"][accepted])
    copies = frame["pixel_sha256"][found["finding"] == Reason.DUPLICATE]
    assert set(copies) <= stays
    assert frame["pixel_sha256"][accepted].is_unique
    assert not (set(found["finding"][frame["pixel_sha256"].isin(stays)]) - {"", *SKIPPING})


@pytest.mark.parametrize("config", [CONFIG, PINNED_TEST], ids=["hashed test images", "pinned test images"])
@settings(max_examples=60, deadline=None)
@given(sequence=deliveries(), random=st.randoms(use_true_random=False))
def test_no_image_ever_moves_and_nothing_leaks_whatever_is_delivered_in_whatever_order(
    config: ClassifierConfig, sequence: Sequence[tuple[date, list[dict[str, object]]]], random
):
    ledger, ever, current = NOTHING, defaultdict(set), {}
    for day, rows in sequence:
        frame = candidates(*rows, day=day)

        found, _ = relate(frame, day, ledger, config)

        require_sound(frame, found)
        current[day] = accepted_of(frame, found)
        ledger = ledger.followed_by(day, iter([current[day]]))
        shuffled = frame.loc[random.sample(list(frame.index), len(frame))]
        again, _ = relate(shuffled, day, ledger, config)
        pd.testing.assert_frame_equal(again.loc[frame.index], found)
        for image, split in zip(current[day]["pixel_sha256"], current[day]["assigned_split"], strict=True):
            ever[image].add(split)
        assert all(len(splits) == 1 for splits in ever.values())
        require_no_leak(current)
