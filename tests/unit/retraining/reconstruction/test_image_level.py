from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from include.retraining.artifacts import EmbeddingRecord, PlanRecord, ResamplingRecord, SnapshotRecord
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import Plan, publish_plan
from include.retraining.embedding.features import read_train_features
from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.pictures import decode_image
from include.retraining.reconstruction import image_level
from include.retraining.reconstruction.image_level import train_on_images
from include.retraining.reconstruction.image_network import ImageFit
from include.retraining.reconstruction.picture_flow import PictureFlow, PictureRows
from include.retraining.run import Run
from tests.builders import CLASSIFIER, LABELS, make_config, make_run
from tests.datasets import blob_vectors, embedding_of, pictured, publish_snapshot, split_rows, store_vectors

SIDE = 32
COUNTS = {
    "train": {"daisy": 8, "poppy": 5, "orchid": 2},
    "validation": dict.fromkeys(LABELS, 2),
    "test": dict.fromkeys(LABELS, 3),
}
BALANCED = dict.fromkeys(LABELS, 8)
SHADES = (50, 100, 150)


@dataclass
class GreyDecoder:
    """Shows every vector in the shade of its class, and remembers the vectors."""

    asked: list[np.ndarray] = field(default_factory=list)
    side: int = SIDE

    def decode(self, X: np.ndarray) -> np.ndarray:
        self.asked.append(X)
        shades = np.array(SHADES, np.uint8)[X[:, : len(LABELS)].argmax(axis=1)]
        return np.tile(shades[:, None, None, None], (1, SIDE, SIDE, 3))


@dataclass(frozen=True)
class Prepared:
    """A run whose store has pictures, vectors and a plan; and what a task would be handed."""

    run: Run
    snapshot: SnapshotRecord
    embeddings: EmbeddingRecord
    resampling: ResamplingRecord
    plan: Plan
    rows: list[dict[str, Any]]

    def train(self):
        return train_on_images(self.run, self.snapshot, self.embeddings, self.resampling)

    def with_plan(self, plan: Plan, **fields: Any) -> Prepared:
        uri, digest = publish_plan(self.run.store, CLASSIFIER, plan)
        record = dataclasses.replace(self.resampling.plans["smote"], uri=uri, digest=digest, **fields)
        return dataclasses.replace(self, plan=plan, resampling=ResamplingRecord({"smote": record}))

    def labels_of(self, row_ids: np.ndarray) -> np.ndarray:
        label_of = {row["image_id"]: row["label"] for row in self.rows}
        return np.array([label_of[row_id.partition("#")[0]] for row_id in row_ids])


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> GreyDecoder:
    """Stands where the run's decoder would be trained."""
    decoder = GreyDecoder()
    monkeypatch.setattr(image_level, "decoder_for", lambda *_: (decoder, None))
    return decoder


class UniformNetwork:
    """Finds every class equally probable."""

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        return np.full((len(pictures), len(LABELS)), 1 / len(LABELS), np.float32)

    def count_params(self) -> int:
        return 0


@pytest.fixture
def flowed(monkeypatch: pytest.MonkeyPatch) -> list[PictureRows]:
    """The rows that a network would have been trained on; none is."""
    seen: list[PictureRows] = []

    def fit(flow: PictureFlow, *_: Any, **__: Any) -> ImageFit:
        seen.append(flow.rows)
        return ImageFit(UniformNetwork(), 1, (1.0,), (0.5,))

    monkeypatch.setattr(image_level, "fit_image_network", fit)
    return seen


def prepared(counts: Mapping[str, Mapping[str, int]] = COUNTS, *, views: int = 0, **images: Any) -> Prepared:
    settings = {"epochs": 1, "batch_size": 8, "source": "decoded", **images}
    config = make_config(
        training={"heads": {"linear": {"weight_decay": 1.0}}, "mode": "images", "images": settings},
        embedding={"views": views},
    )
    run = make_run(config=config)
    rows = pictured(run.store, split_rows(counts), SIDE)
    vectors = blob_vectors(rows, LABELS)
    store_vectors(run, rows, vectors)
    for view, fingerprint in enumerate(embedding_of(run).view_fingerprints, start=1):
        write_part(run.store, fingerprint, [row["image_id"] for row in rows], vectors + np.float32(0.1 * view))
    snapshot, embeddings = publish_snapshot(run, rows), embedding_of(run)
    train_ids = [row["image_id"] for row in rows if row["split"] == "train"]
    features = read_train_features(run.store, embeddings, train_ids)
    row_ids = np.sort(features.row_ids)
    made = Prepared(
        run, snapshot, embeddings, ResamplingRecord({"smote": plan_record()}), Plan(row_ids, no_pairs()), rows
    )
    of_class = dict(Counter(made.labels_of(row_ids)))
    return made.with_plan(
        Plan(row_ids, pairs_up_to(made.labels_of(row_ids), max(of_class.values()))),
        counts_before=of_class,
        counts_after=dict.fromkeys(LABELS, max(of_class.values())),
    )


def pairs_up_to(labels: np.ndarray, target: int) -> Pairs:
    """Random pairs inside each class until it has so many rows."""
    rng = np.random.default_rng(0)
    parents = [
        rng.choice(np.flatnonzero(labels == label), (target - int((labels == label).sum()), 2))
        for label in np.unique(labels)
    ]
    base, neighbour = np.concatenate(parents).astype(np.int32).T
    return Pairs(base, neighbour, rng.uniform(size=len(base)))


def no_pairs() -> Pairs:
    return Pairs(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))


def plan_record() -> PlanRecord:
    return PlanRecord("smote", "", "", {}, {}, {}, dict.fromkeys(LABELS, 5), dict.fromkeys(LABELS, 0.0), ())


def picture_of(run: Run, row: Mapping[str, Any]) -> np.ndarray:
    return decode_image(run.store.get(row["key"]))


def test_the_record_tells_what_was_trained_on_and_how_it_did(decoder: GreyDecoder):
    made = prepared(epochs=2)

    record = made.train()

    assert (record.strategy, record.source) == ("smote", "decoded")
    assert record.n_train_images == 24
    assert len(record.loss) == len(record.validation_macro_recall) == 2
    assert record.validation_macro_recall[record.best_epoch - 1] == max(record.validation_macro_recall)
    assert record.validation.macro_recall == max(record.validation_macro_recall)
    assert record.validation.n_rows == dict.fromkeys(LABELS, 2)
    assert record.test is not None
    assert record.test.n_rows == dict.fromkeys(LABELS, 3)


def test_it_learns_from_real_pictures():
    counts = {"train": dict.fromkeys(LABELS, 12), "validation": dict.fromkeys(LABELS, 4)}
    record = prepared(counts, epochs=8, learning_rate=0.01, source="nearest_real").train()

    assert record.validation.macro_recall == 1.0


def test_the_same_inputs_give_the_same_record(decoder: GreyDecoder):
    assert prepared(epochs=2).train() == prepared(epochs=2).train()


def test_another_seed_gives_another_training(decoder: GreyDecoder):
    made = prepared()
    training = made.run.config.training.model_copy(update={"seed": 5})
    config = made.run.config.model_copy(update={"training": training})
    other = dataclasses.replace(made, run=dataclasses.replace(made.run, config=config))

    assert other.train().loss != made.train().loss


def test_without_test_rows_there_is_no_test_score(decoder: GreyDecoder, flowed: list[PictureRows]):
    record = prepared({**COUNTS, "test": {}}).train()

    assert record.test is None


def test_every_train_image_and_a_decoded_picture_for_each_synthetic_row_are_flowed(
    decoder: GreyDecoder, flowed: list[PictureRows]
):
    made = prepared()

    made.train()

    [rows] = flowed
    shown = rows.pictures[rows.shown]
    train = [row for row in made.rows if row["split"] == "train"]
    assert Counter(LABELS[it] for it in rows.class_ids) == BALANCED
    assert {it.tobytes() for it in shown[:15]} == {picture_of(made.run, row).tobytes() for row in train}
    for picture, class_id in zip(shown[:15], rows.class_ids[:15], strict=True):
        [label] = [row["label"] for row in train if np.array_equal(picture_of(made.run, row), picture)]
        assert LABELS[class_id] == label
    assert len(shown[15:]) == len(made.plan.pairs)
    for picture, class_id in zip(shown[15:], rows.class_ids[15:], strict=True):
        assert (picture == SHADES[class_id]).all()


def test_no_image_of_another_split_is_flowed(decoder: GreyDecoder, flowed: list[PictureRows]):
    made = prepared()

    made.train()

    others = {picture_of(made.run, row).tobytes() for row in made.rows if row["split"] != "train"}
    assert len(others) == 15
    assert not others & {picture.tobytes() for picture in flowed[0].pictures}


def test_synthetic_vectors_are_made_and_decoded_a_block_at_a_time(
    decoder: GreyDecoder, flowed: list[PictureRows], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(image_level, "_BLOCK_ROWS", 4)
    made = prepared()

    made.train()

    features = read_train_features(made.run.store, made.embeddings, list(made.plan.row_ids))
    assert [len(block) for block in decoder.asked] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(decoder.asked), made.plan.pairs.interpolate(features.X))


def test_nearest_real_shows_a_train_image_of_the_row_s_own_class_and_adds_no_picture(flowed: list[PictureRows]):
    made = prepared(source="nearest_real")

    made.train()

    [rows] = flowed
    label_of = {picture_of(made.run, row).tobytes(): row["label"] for row in made.rows if row["split"] == "train"}
    assert len(rows.pictures) == 15
    assert Counter(LABELS[it] for it in rows.class_ids) == BALANCED
    for picture, class_id in zip(rows.pictures[rows.shown], rows.class_ids, strict=True):
        assert label_of[picture.tobytes()] == LABELS[class_id]


def test_nearest_real_is_the_nearest_of_the_class_even_where_another_class_is_nearer(
    flowed: list[PictureRows], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(image_level, "_BLOCK_ROWS", 2)
    made = prepared(source="nearest_real")
    labels = made.labels_of(made.plan.row_ids)
    daisy, (orchid, other_orchid) = np.flatnonzero(labels == "daisy")[0], np.flatnonzero(labels == "orchid")
    vectors = {made.plan.row_ids[orchid]: 0.0, made.plan.row_ids[daisy]: 0.4, made.plan.row_ids[other_orchid]: 1.0}
    features = read_train_features(made.run.store, made.embeddings, sorted(made.plan.row_ids))
    X = np.array([[vectors.get(row_id, 50.0), 0.0] for row_id in features.row_ids], np.float32)
    moved = dataclasses.replace(features, X=X)
    monkeypatch.setattr(image_level, "read_train_features", lambda *_: moved)
    steps = np.array([0.1, 0.4, 0.6, 0.9, 0.4, 0.6])
    pairs = Pairs(np.full(6, orchid, np.int32), np.full(6, other_orchid, np.int32), steps)
    counts = {**made.resampling.plans["smote"].counts_before, "orchid": 8}

    made.with_plan(Plan(made.plan.row_ids, pairs), counts_after=counts).train()

    shown = [flowed[0].pictures[it].tobytes() for it in flowed[0].shown[15:]]
    row_of = {row["image_id"]: row for row in made.rows}
    near, far = (picture_of(made.run, row_of[made.plan.row_ids[it]]).tobytes() for it in (orchid, other_orchid))
    assert shown == [near, near, far, far, near, far]


def test_rows_that_the_plan_leaves_out_are_not_flowed(decoder: GreyDecoder, flowed: list[PictureRows]):
    made = prepared()
    labels = made.labels_of(made.plan.row_ids)
    left_out = np.flatnonzero(labels == "daisy")[:3].astype(np.int32)
    pairs = dataclasses.replace(made.plan.pairs, dropped=left_out)

    record = made.with_plan(Plan(made.plan.row_ids, pairs), counts_after={**BALANCED, "daisy": 5}).train()

    row_of = {row["image_id"]: row for row in made.rows}
    pictures = {flowed[0].pictures[it].tobytes() for it in flowed[0].shown}
    assert record.n_train_images == 21
    for position in left_out:
        assert picture_of(made.run, row_of[made.plan.row_ids[position]]).tobytes() not in pictures


def test_a_view_is_a_row_that_shows_its_image(decoder: GreyDecoder, flowed: list[PictureRows]):
    made = prepared(views=1)

    record = made.train()

    [rows] = flowed
    n_synthetic = len(made.plan.pairs)
    assert record.n_train_images == 48
    assert len(rows.pictures) == 15 + n_synthetic
    assert set(Counter(rows.shown[:-n_synthetic].tolist()).values()) == {2}


def test_nothing_is_published_beside_the_decoder(decoder: GreyDecoder):
    made = prepared()
    before = dict(made.run.store.objects)

    made.train()

    assert made.run.store.objects == before


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_plan_with_a_row_of_another_split_is_refused(decoder: GreyDecoder, split: str):
    made = prepared()
    stranger = next(row["image_id"] for row in made.rows if row["split"] == split)
    row_ids = np.sort(np.append(made.plan.row_ids[1:], stranger))

    with pytest.raises(ArtifactIntegrityError, match="expected rows of the train split alone, got 1 "):
        made.with_plan(Plan(row_ids, made.plan.pairs)).train()


def test_a_plan_that_lacks_a_train_image_is_refused(decoder: GreyDecoder):
    made = prepared()
    pairs = Pairs(np.zeros(9, np.int32), np.zeros(9, np.int32), np.zeros(9))

    with pytest.raises(ArtifactIntegrityError, match="a plan over the 15 train rows"):
        made.with_plan(Plan(made.plan.row_ids[1:], pairs)).train()


def test_a_plan_that_does_not_give_the_counts_that_it_promised_is_refused(decoder: GreyDecoder):
    made = prepared()
    pairs = Pairs(*(column[1:] for column in (made.plan.pairs.base, made.plan.pairs.neighbour, made.plan.pairs.step)))

    with pytest.raises(ArtifactIntegrityError, match="images by label"):
        made.with_plan(Plan(made.plan.row_ids, pairs)).train()


@pytest.mark.parametrize(("source", "n_pictures"), [("decoded", 24), ("nearest_real", 15)])
def test_pictures_that_take_too_much_memory_are_refused_with_the_key_to_change(
    decoder: GreyDecoder, flowed: list[PictureRows], monkeypatch: pytest.MonkeyPatch, source: str, n_pictures: int
):
    made = prepared(source=source)
    monkeypatch.setattr(image_level, "MOST_BYTES", n_pictures * SIDE * SIDE * 3)
    made.train()
    monkeypatch.setattr(image_level, "MOST_BYTES", n_pictures * SIDE * SIDE * 3 - 1)

    with pytest.raises(ConfigurationError, match=rf"{n_pictures} pictures.*smote\.sampling_strategy.*nearest_real"):
        made.train()


def test_a_strategy_without_a_plan_is_refused_with_those_that_have_one(decoder: GreyDecoder):
    made = prepared()
    other = dataclasses.replace(made, resampling=ResamplingRecord({"mild": made.resampling.plans["smote"]}))

    with pytest.raises(ConfigurationError, match="no plan of 'smote'; it has those of mild"):
        other.train()
