from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
import tensorflow as tf

from include.retraining import registry
from include.retraining.artifacts import ServingCost, VersionRecord
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.evaluation import serving_cost as module
from include.retraining.evaluation.serving_cost import CALLS, WARM_UP, serving_cost
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.publishing import MANIFEST
from include.retraining.training import saved_model
from tests.builders import make_run
from tests.stores import DyingStore
from tests.unit.retraining.evaluation.grey import BRIGHT, DARK, grey_png, publish_grey_version

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def version(run: Run) -> VersionRecord:
    return publish_grey_version(run)


def clock(*took: float) -> Callable[[], float]:
    """A timer by which the calls take these seconds in turn."""
    edges = itertools.chain.from_iterable((100.0, 100.0 + seconds) for seconds in took)
    return lambda: next(edges)


def no_clock() -> float:
    raise AssertionError("measured again")


def test_the_median_and_the_slow_calls_are_those_after_the_warm_up(run: Run, version: VersionRecord):
    took = [9.0] * WARM_UP + [0.001 * number for number in range(1, CALLS + 1)]

    cost = serving_cost(run, version.name, timer=clock(*took))

    assert cost.calls == CALLS
    assert cost.median_milliseconds == pytest.approx(25.5)
    assert cost.slow_milliseconds == pytest.approx(47.55)


def test_the_size_is_that_of_all_files_that_the_manifest_lists(run: Run, version: VersionRecord):
    prefix = layout.version(run.classifier, version.name)
    files = registry.read_manifest(run.store, prefix).files
    run.store.put(f"{prefix}stray.bin", bytes(10_000))

    cost = serving_cost(run, version.name)

    assert cost.size_bytes == sum(len(run.store.get(f"{prefix}{name}")) for name in files)


def test_calls_are_measured_by_the_clock_unless_told_otherwise(run: Run, version: VersionRecord):
    cost = serving_cost(run, version.name)

    assert 0 < cost.median_milliseconds <= cost.slow_milliseconds < 1000


def test_every_call_hands_one_golden_image_to_the_signature_that_is_served_on_a_cpu(
    run: Run, version: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    handed, devices = [], set()
    served = saved_model.loaded

    class Watched:
        def __init__(self, files):
            self._model = served(files)

        def __enter__(self):
            serve = self._model.__enter__()

            def watched(images):
                handed.append(images.numpy().tolist())
                outputs = serve(images=images)
                devices.update((images.device, outputs["probabilities"].device))
                return outputs

            return watched

        def __exit__(self, *error):
            return self._model.__exit__(*error)

    monkeypatch.setattr(module.saved_model, "loaded", Watched)

    serving_cost(run, version.name)

    golden = [[grey_png(DARK)], [grey_png(BRIGHT)]]
    assert handed == [golden[call % 2] for call in range(WARM_UP + CALLS)]
    assert {tf.DeviceSpec.from_string(device).device_type for device in devices} == {"CPU"}


def test_a_repeat_finds_what_was_measured_and_measures_nothing(run: Run, version: VersionRecord):
    cost = serving_cost(run, version.name, expected_digest=version.digest)

    later = dataclasses.replace(run, run_id="manual__2", store=DyingStore(0, run.store.objects))

    assert serving_cost(later, version.name, expected_digest=version.digest, timer=no_clock) == cost


def test_another_version_is_measured_for_itself(run: Run, version: VersionRecord):
    serving_cost(run, version.name)

    other = publish_grey_version(run, thresholds=dict.fromkeys(("daisy", "poppy", "orchid"), 0.5))

    with pytest.raises(AssertionError, match="measured again"):
        serving_cost(run, other.name, timer=no_clock)


def test_a_version_that_is_not_the_one_expected_is_refused(run: Run, version: VersionRecord):
    with pytest.raises(ArtifactIntegrityError, match="expected content 00, got content"):
        serving_cost(run, version.name, expected_digest="00")


@pytest.mark.parametrize("name", [registry.GOLDEN, f"{registry.SAVED_MODEL}saved_model.pb", registry.CANDIDATE])
def test_a_version_that_is_not_whole_has_no_cost(run: Run, version: VersionRecord, name: str):
    run.store.delete(f"{layout.version(run.classifier, version.name)}{name}")

    with pytest.raises(ArtifactIntegrityError, match=f"{name}: expected .*, got no object"):
        serving_cost(run, version.name)
    assert list(run.store.list("evaluations/")) == []


def test_a_version_without_a_saved_model_has_no_cost(run: Run, version: VersionRecord):
    files = registry.read_manifest(run.store, layout.version(run.classifier, version.name)).files
    none = {name: None for name in files if name.startswith(registry.SAVED_MODEL)}

    with pytest.raises(ArtifactIntegrityError, match="saved_model/: expected a SavedModel"):
        serving_cost(run, publish_grey_version(run, files=none).name)


def test_what_was_measured_and_then_changed_is_refused(run: Run, version: VersionRecord):
    serving_cost(run, version.name)
    (key,) = (found.key for found in run.store.list("evaluations/") if not found.key.endswith(MANIFEST))
    run.store.put(key, run.store.get(key).replace(b"50", b"51"))

    with pytest.raises(ArtifactIntegrityError, match=r"cost\.json: expected sha256"):
        serving_cost(run, version.name)


def test_a_cost_is_read_back_as_it_was_measured(run: Run, version: VersionRecord):
    cost = serving_cost(run, version.name, timer=clock(*[0.002] * (WARM_UP + CALLS)))

    assert cost == ServingCost(cost.size_bytes, pytest.approx(2.0), pytest.approx(2.0), CALLS)
    assert serving_cost(run, version.name, timer=no_clock) == cost
