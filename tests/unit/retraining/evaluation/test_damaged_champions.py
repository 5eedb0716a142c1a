from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from include.retraining import registry
from include.retraining.artifacts import (
    Lineage,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.dataset.snapshot import IMAGES
from include.retraining.errors import (
    ArtifactIntegrityError,
    ConfigurationError,
    StorageUnavailableError,
)
from include.retraining.evaluation import comparison
from include.retraining.evaluation.scoring import SCORES
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, Manifest, manifest_of, sha256
from include.retraining.storage.records import from_json
from tests.builders import LABELS, make_config, make_run
from tests.datasets import publish_snapshot, row
from tests.promotions import crown
from tests.unit.retraining.evaluation.compared import (
    COST,
    EVALUATION,
    TESTED,
    enthroned,
    evaluated,
    frozen,
    older_snapshot,
)
from tests.unit.retraining.evaluation.grey import (
    grey_bytes,
    publish_grey_version,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


@pytest.fixture
def run() -> Run:
    return make_run(config=make_config(evaluation=EVALUATION))


@pytest.fixture(autouse=True)
def known_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured."""
    monkeypatch.setattr(comparison, "serving_cost", lambda *_, **__: COST)


@pytest.fixture
def snapshot(run: Run) -> SnapshotRecord:
    return frozen(run)


@pytest.fixture
def older(run: Run) -> SnapshotRecord:
    return older_snapshot(run)


@pytest.fixture
def challenger(run: Run, snapshot: SnapshotRecord) -> VersionRecord:
    return publish_grey_version(run, snapshot=snapshot)


def of_champion(file: str) -> Callable[[Run, VersionRecord], str]:
    return lambda run, champion: f"{layout.version(run.classifier, champion.name)}{file}"


def removed(file: str) -> Callable[[Run, VersionRecord], None]:
    return lambda run, champion: run.store.delete(of_champion(file)(run, champion))


def flipped(file: str) -> Callable[[Run, VersionRecord], None]:
    """One bit in the middle of a file is another one."""

    def flip(run: Run, champion: VersionRecord) -> None:
        body = bytearray(run.store.get(of_champion(file)(run, champion)))
        body[len(body) // 2] ^= 1
        run.store.put(of_champion(file)(run, champion), bytes(body))

    return flip


def forged(run: Run, champion: VersionRecord) -> None:
    """Another model, and a manifest that agrees with it."""
    model = grey_bytes(20.0)
    run.store.put(of_champion(registry.MODEL)(run, champion), model)
    files = registry.read_manifest(run.store, layout.version(run.classifier, champion.name)).files
    manifest = Manifest({**files, registry.MODEL: sha256(model)})
    run.store.put(of_champion(MANIFEST)(run, champion), manifest.to_json())


def pointed_at_nothing(run: Run, champion: VersionRecord) -> None:
    crown(run.store, dataclasses.replace(champion, name="20250101T0000-000000000000"))


def without_snapshot(run: Run, champion: VersionRecord) -> None:
    run.store.delete(f"{layout.snapshot(run.classifier, champion_lineage(run, champion).snapshot_digest)}{IMAGES}")


def with_another_snapshot(run: Run, champion: VersionRecord) -> None:
    prefix = layout.snapshot(run.classifier, champion_lineage(run, champion).snapshot_digest)
    other = publish_snapshot(run, [row("7" * 64)])
    body = run.store.get(f"{layout.snapshot(run.classifier, other.digest)}{IMAGES}")
    run.store.put(f"{prefix}{IMAGES}", body)
    run.store.put(f"{prefix}{MANIFEST}", manifest_of({IMAGES: body}).to_json())


def champion_lineage(run: Run, champion: VersionRecord) -> Lineage:
    return from_json(Lineage, run.store.get(of_champion(registry.LINEAGE)(run, champion)), "")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        pytest.param(removed(registry.MODEL), r"model\.keras: expected sha256 \w+, got no object", id="model_gone"),
        pytest.param(flipped(registry.MODEL), r"model\.keras: expected sha256 \w+, got sha256", id="model_flipped"),
        pytest.param(removed(registry.LABELS), r"labels\.json: expected sha256 \w+, got no object", id="labels_gone"),
        pytest.param(flipped(registry.LABELS), r"labels\.json: expected sha256 \w+, got sha256", id="labels_flipped"),
        pytest.param(flipped(registry.LINEAGE), r"lineage\.json: expected sha256", id="lineage_flipped"),
        pytest.param(flipped(registry.THRESHOLDS), r"thresholds\.json: expected sha256", id="thresholds_flipped"),
        pytest.param(
            removed(MANIFEST), r"manifest\.json: expected a published artifact, got nothing", id="no_manifest"
        ),
        pytest.param(flipped(MANIFEST), r"manifest\.json: expected ", id="manifest_flipped"),
        pytest.param(forged, r"expected content \w+, got content", id="manifest_forged"),
        pytest.param(
            pointed_at_nothing, "20250101T0000-000000000000/manifest.json: expected a pub", id="names_nothing"
        ),
        pytest.param(without_snapshot, r"images\.parquet: expected the snapshot .*, got no object", id="snapshot_gone"),
        pytest.param(with_another_snapshot, r"images\.parquet: expected sha256", id="snapshot_forged"),
    ],
)
def test_a_champion_that_was_damaged_is_an_incumbent_with_a_problem_and_stops_nothing(
    run: Run,
    snapshot: SnapshotRecord,
    older: SnapshotRecord,
    challenger: VersionRecord,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Run, VersionRecord], None],
    problem: str,
):
    champion = enthroned(run, older, thresholds=dict.fromkeys(LABELS, 0.5))
    evaluated(run, challenger, snapshot)  # that its scores are kept already is no excuse
    damage(run, champion)

    record = evaluated(run, challenger, snapshot)

    pointer, _ = registry.champion(run.store, run.classifier)
    assert pointer is not None
    assert record.incumbent is not None
    assert (record.incumbent.version, record.incumbent.digest) == (pointer.version, pointer.digest)
    assert re.search(problem, record.incumbent.problem)
    assert (record.champion, record.differences, record.is_same_model) == (None, (), False)
    assert record.challenger.metrics.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 1.0}
    assert [it.getMessage() for it in caplog.records if it.levelno == logging.WARNING][-1].startswith(
        f"champion={pointer.version} cannot be scored: s3://"
    )


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        pytest.param({"labels": ("orchid", "poppy", "daisy")}, r"labels\.json: expected the recipe's", id="labels"),
        pytest.param(
            {"files": {registry.MODEL: b"none"}}, r"model\.keras: expected a model of pictures", id="no_model"
        ),
        pytest.param({"files": {registry.MODEL: None}}, r"model\.keras: expected a file that the man", id="unlisted"),
        pytest.param({"thresholds": {"daisy": 0.5}}, r"thresholds\.json: expected a positive number", id="thresholds"),
        pytest.param({"snapshot": None}, r"images\.parquet: expected the snapshot", id="unknown_snapshot"),
    ],
)
def test_a_champion_that_the_recipe_or_this_worker_cannot_score_is_one_too(
    run: Run,
    snapshot: SnapshotRecord,
    older: SnapshotRecord,
    challenger: VersionRecord,
    version: dict[str, Any],
    problem: str,
):
    enthroned(run, older, **version)

    record = evaluated(run, challenger, snapshot)

    assert record.incumbent is not None
    assert re.search(problem, record.incumbent.problem)
    assert (record.champion, record.differences) == (None, ())


@pytest.mark.parametrize("body", [b"no json", b'{"version": 1}', b""])
def test_a_pointer_that_cannot_be_read_stops_the_run_since_nobody_knows_what_is_in_production(
    run: Run, snapshot: SnapshotRecord, older: SnapshotRecord, challenger: VersionRecord, body: bytes
):
    enthroned(run, older)
    run.store.put(layout.champion(run.classifier), body)

    with pytest.raises(ArtifactIntegrityError, match=r"champion\.json: expected a ChampionPointer record"):
        evaluated(run, challenger, snapshot)


@pytest.mark.parametrize("file", [MANIFEST, registry.LABELS, registry.MODEL])
def test_a_store_that_is_away_for_a_minute_is_no_problem_of_the_champion(
    run: Run, snapshot: SnapshotRecord, older: SnapshotRecord, challenger: VersionRecord, file: str
):
    champion = enthroned(run, older)
    away = AwayStore(of_champion(file)(run, champion), run.store.objects)

    with pytest.raises(StorageUnavailableError):
        evaluated(dataclasses.replace(run, store=away), challenger, snapshot)


class AwayStore(InMemoryStore):
    """Does not answer when one object is asked for."""

    def __init__(self, key: str, objects: Mapping[str, bytes]) -> None:
        super().__init__()
        self.objects.update(objects)
        self._key = key

    def get(self, key: str) -> bytes:
        if key == self._key:
            raise StorageUnavailableError(f"GET {key}", "503")
        return super().get(key)


def test_a_test_image_that_is_gone_is_no_problem_of_the_champion(
    run: Run, snapshot: SnapshotRecord, older: SnapshotRecord, challenger: VersionRecord
):
    evaluated(run, challenger, snapshot)  # the challenger's scores are kept
    enthroned(run, older)
    run.store.delete(f"incoming/{run.classifier}/{TESTED[0][0]}.png")

    with pytest.raises(ArtifactIntegrityError, match=f"{TESTED[0][0]}.png: expected"):
        evaluated(run, challenger, snapshot)


def test_kept_scores_of_the_champion_that_were_damaged_are_no_problem_of_the_champion(
    run: Run, snapshot: SnapshotRecord, older: SnapshotRecord, challenger: VersionRecord
):
    champion = enthroned(run, older)
    evaluated(run, challenger, snapshot)
    kept = list(run.store.list(f"evaluations/{run.classifier}/{champion.name}-"))
    run.store.delete(next(found.key for found in kept if found.key.endswith(SCORES)))

    with pytest.raises(ArtifactIntegrityError, match=r"scores\.npy: expected sha256 \w+, got no object"):
        evaluated(run, challenger, snapshot)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_champion_that_was_trained_on_a_test_row_stops_the_run(
    run: Run, snapshot: SnapshotRecord, challenger: VersionRecord, split: str
):
    champion = enthroned(run, publish_snapshot(run, [row("9" * 64), row("b" * 64, split=split)]))

    with pytest.raises(ConfigurationError, match=f"version {champion.name} was trained on 1 of the 4 .*: {'b' * 64}"):
        evaluated(run, challenger, snapshot)
