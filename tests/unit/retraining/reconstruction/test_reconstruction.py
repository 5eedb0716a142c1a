from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from include.retraining.artifacts import PlanRecord, ResamplingRecord
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import Plan, publish_plan
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_train_features
from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.reconstruction import decoder as decoding
from include.retraining.reconstruction import reconstruction
from include.retraining.reconstruction.contact_sheets import draw_contact_sheet
from include.retraining.reconstruction.decoder import DecoderFit
from include.retraining.reconstruction.projection import draw_projection
from include.retraining.reconstruction.reconstruction import reconstruct
from include.retraining.storage.base import key_of
from tests.builders import LABELS, make_config
from tests.unit.retraining.reconstruction.lamps import brightness, dataset, lamp

VIEWED = make_config(balancing={"reconstruct": True}, embedding={"views": 1})


REAL_DECODER = reconstruction.decoder_for


class KnowingDecoder:
    """Shows exactly what a vector tells of; without a training."""

    uri = "s3://memory/decoders/flowers/ab12/"
    side = 32

    def decode(self, X: np.ndarray) -> np.ndarray:
        return np.stack([lamp(vector, self.side) for vector in X])


@pytest.fixture(autouse=True)
def knowing_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = DecoderFit(side=32, n_images=35, error=0.1, mean_image_error=0.2, loss=(0.3,))
    monkeypatch.setattr(reconstruction, "decoder_for", lambda *_: (KnowingDecoder(), fit))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What is drawn, by class, and the panels."""
    kept: dict = {}

    def sheet(title, subtitle, rows):
        kept[title] = (subtitle, rows)
        return draw_contact_sheet(title, subtitle, rows)

    def panels(title, subtitle, panels):
        kept["panels"] = panels
        return draw_projection(title, subtitle, panels)

    monkeypatch.setattr(reconstruction, "draw_contact_sheet", sheet)
    monkeypatch.setattr(reconstruction, "draw_projection", panels)
    return kept


def synthetic_pairs(y: np.ndarray, asked: dict[str, int]) -> Pairs:
    """Pairs of distinct rows of a class, steps from 0.1 to 0.9."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(np.flatnonzero(y == label), 2, replace=False) for label in asked for _ in range(asked[label])]
    base, neighbour = np.array(drawn, dtype=np.int32).reshape(-1, 2).T
    return Pairs(base, neighbour, np.linspace(0.1, 0.9, len(base)))


def planned(run, snapshot, embedding, *names: str, asked: dict[str, int] | None = None) -> ResamplingRecord:
    """Publishes a plan for each name, the later ones with a row less of each class."""
    train = rows_of(read_snapshot(run.store, snapshot.uri), "train")
    features = read_train_features(run.store, embedding, list(train["image_id"]))
    order = np.argsort(features.row_ids)
    y = train["label"].to_numpy()[features.image][order]
    plans = {}
    for less, name in enumerate(names):
        wanted = {label: n - less for label, n in (asked or {"poppy": 16, "orchid": 5}).items()}
        uri, digest = publish_plan(run.store, run.classifier, Plan(features.row_ids[order], synthetic_pairs(y, wanted)))
        plans[name] = PlanRecord(name, uri, digest, {}, {}, {}, {}, {}, ())
    return ResamplingRecord(plans)


def pictures_of(run) -> dict[str, bytes]:
    return {key: body for key, body in run.store.objects.items() if "/reconstruction/" in key}


def test_each_class_with_synthetic_rows_has_a_sheet_of_at_most_eight_and_all_a_projection():
    run, snapshot, embedding = dataset()
    resampling = planned(run, snapshot, embedding, "smote")

    record = reconstruct(run, snapshot, embedding, resampling)

    assert [(sheet.label, sheet.n_rows) for sheet in record.sheets] == [("poppy", 8), ("orchid", 5)]
    uris = [*(sheet.uri for sheet in record.sheets), record.projection_uri]
    assert {key_of(run.store, uri) for uri in uris} == set(pictures_of(run))
    assert all(Image.open(io.BytesIO(body)).format == "PNG" for body in pictures_of(run).values())
    assert (record.decoder_uri, record.decoder_error, record.mean_image_error) == (KnowingDecoder.uri, 0.1, 0.2)
    assert 0 < record.explained_variance <= 1


def test_the_plan_named_smote_is_shown_or_else_the_first():
    run, snapshot, embedding = dataset()
    resampling = planned(run, snapshot, embedding, "adasyn", "smote", "few")
    without = ResamplingRecord({name: plan for name, plan in resampling.plans.items() if name != "smote"})

    assert reconstruct(run, snapshot, embedding, resampling).strategy == "smote"
    assert reconstruct(run, snapshot, embedding, without).strategy == "adasyn"


def test_without_a_plan_the_error_says_what_to_do():
    run, snapshot, embedding = dataset()

    with pytest.raises(ConfigurationError, match=r"balancing.reconstruct: .* Add a strategy"):
        reconstruct(run, snapshot, embedding, ResamplingRecord({}))


def test_repeated_it_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reconstruction, "decoder_for", REAL_DECODER)
    monkeypatch.setattr(decoding, "EPOCHS", 1)
    runs = [dataset() for _ in range(2)]

    records = [reconstruct(*one, planned(*one, "smote")) for one in runs]
    again = reconstruct(*runs[0], planned(*runs[0], "smote"))

    assert records[0] == records[1] == again
    assert pictures_of(runs[0][0]) == pictures_of(runs[1][0])


def test_a_plan_over_other_rows_is_refused():
    run, snapshot, embedding = dataset()
    counts = {"train": {"daisy": 5, "poppy": 5}, "validation": dict.fromkeys(LABELS, 1)}
    other = dataset(counts=counts)
    resampling = planned(*other, "smote", asked={"poppy": 2})
    run.store.objects.update({key: body for key, body in other[0].store.objects.items() if "resampling/" in key})

    with pytest.raises(ArtifactIntegrityError, match="no train rows"):
        reconstruct(run, snapshot, embedding, resampling)


@pytest.mark.parametrize(("label", "shown"), [("poppy", "8 of 16"), ("orchid", "5 of 5")])
def test_a_sheet_shows_the_parents_their_step_and_a_nearest_image_that_is_no_parent(drawn, label, shown):
    run, snapshot, embedding = dataset()

    reconstruct(run, snapshot, embedding, planned(run, snapshot, embedding, "smote"))

    train = rows_of(read_snapshot(run.store, snapshot.uri), "train").to_dict("records")
    label_of = {row["image_id"][:8]: row["label"] for row in train}
    lamps = {row["image_id"][:8]: brightness([row])[0] for row in train}
    subtitle, rows = drawn[label]
    assert subtitle.startswith(f"{shown} synthetic rows of smote")
    steps = [float(row[2].caption.removeprefix("step ")) for row in rows]
    assert steps == sorted(steps)
    for parent_a, parent_b, decoded, nearest in rows:
        assert label_of[parent_a.caption] == label_of[parent_b.caption] == label
        for tile in (parent_a, parent_b):
            assert tile.pixels[16, 2, 0] == pytest.approx(lamps[tile.caption][0] * 255, abs=1.5)
        step = float(decoded.caption.removeprefix("step "))
        first, second = lamps[parent_a.caption][0], lamps[parent_b.caption][0]
        assert decoded.pixels[16, 2, 0] == pytest.approx((first + step * (second - first)) * 255, abs=2.5)
        image_id, _, stranger = nearest.caption.partition(" ")
        assert image_id not in (parent_a.caption, parent_b.caption)
        assert stranger == ("" if label_of[image_id] == label else f"({label_of[image_id]})")


def test_a_parent_that_is_a_view_shows_its_image(drawn):
    run, snapshot, embedding = dataset(VIEWED)
    train = rows_of(read_snapshot(run.store, snapshot.uri), "train").to_dict("records")
    ids = [row["image_id"] for row in train]
    write_part(run.store, embedding.view_fingerprints[0], ids, brightness(train) + np.float32(0.01))

    reconstruct(run, snapshot, embedding, planned(run, snapshot, embedding, "smote", asked={"poppy": 40}))

    lamps = {row["image_id"][:8]: brightness([row])[0] for row in train}
    tiles = [tile for row in drawn["poppy"][1] for tile in row[:2]]
    views = [tile for tile in tiles if tile.caption.endswith(" view 1")]
    assert views
    for tile in views:
        assert tile.pixels[16, 2, 0] == pytest.approx(lamps[tile.caption[:8]][0] * 255, abs=1.5)


def test_the_projection_has_a_panel_a_class_with_what_it_has(drawn):
    run, snapshot, embedding = dataset()

    reconstruct(run, snapshot, embedding, planned(run, snapshot, embedding, "smote"))

    shown = {panel.label: (len(panel.real), len(panel.synthetic)) for panel in drawn["panels"]}
    assert shown == {"daisy": (24, 0), "poppy": (8, 16), "orchid": (3, 5)}
    assert [panel.caption for panel in drawn["panels"]][1] == "8 real, 16 synthetic"


def test_the_projection_shows_a_sample_where_a_class_is_large(drawn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reconstruction, "SHOWN_DOTS", 6)
    run, snapshot, embedding = dataset()

    reconstruct(run, snapshot, embedding, planned(run, snapshot, embedding, "smote"))

    shown = {panel.label: (len(panel.real), len(panel.synthetic)) for panel in drawn["panels"]}
    assert shown == {"daisy": (6, 0), "poppy": (6, 6), "orchid": (3, 5)}


def test_vectors_of_one_number_have_a_projection_too():
    run, snapshot, embedding = dataset()
    resampling = planned(run, snapshot, embedding, "smote")
    balanced = reconstruction._read(run, snapshot, embedding, resampling)

    picture, explained = reconstruction._projection(run, dataclasses.replace(balanced, scores=balanced.scores[:, :1]))

    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert explained == pytest.approx(1)
