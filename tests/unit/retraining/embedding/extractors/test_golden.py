from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest

from include.retraining.artifacts import ExtractorRecord, Weights
from include.retraining.embedding.extractors.golden import TOLERANCES, check_golden, golden_images
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, GoldenCheckError
from include.retraining.storage import publishing
from include.retraining.storage.memory import InMemoryStore
from tests.extractors import small_extractor

FINGERPRINT = "f" * 16
PREFIX = f"embeddings/{FINGERPRINT}/golden/"
Change = Callable[[np.ndarray], np.ndarray]


def record(precision: str = "float32") -> ExtractorRecord:
    components = {"precision": precision, "architecture": "small"}
    return ExtractorRecord(FINGERPRINT, components, Weights("none", "random, seed 0"), "of a test")


def stored_vectors(store: InMemoryStore) -> tuple[str, np.ndarray]:
    ((key, body),) = ((key, body) for key, body in store.objects.items() if key.endswith(".npy"))
    return key, np.load(io.BytesIO(body), allow_pickle=False)


def scaled(factor: float) -> Change:
    return lambda vectors: vectors * np.float32(factor)


def test_golden_images_are_the_same_bytes_on_every_machine():
    images = golden_images()

    digest = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()

    assert digest == "4fb730a73b35a865439eb71089623e07db7b90562bfeb93b95e9f30df995e63c"
    assert [image.dtype for image in images] == [np.uint8] * len(images)
    assert len({image.shape for image in images}) == len(images)
    assert min(len(np.unique(image)) for image in images) >= 4


def test_a_worker_whose_vectors_are_right_passes_and_leaves_what_it_expected():
    store, extractor = InMemoryStore(), small_extractor()

    check_golden(store, extractor, record())

    key, vectors = stored_vectors(store)
    expected = np.concatenate([np.asarray(extractor.model(image[None])) for image in golden_images()])
    assert key.startswith(PREFIX)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_a_second_worker_writes_nothing():
    store = InMemoryStore()
    check_golden(store, small_extractor(), record())
    before = dict(store.objects)

    check_golden(store, small_extractor(batch_size=16), record())

    assert store.objects == before


def one_row_wrong(row: int) -> Change:
    def change(vectors: np.ndarray) -> np.ndarray:
        vectors[row] += 0.1 * np.linalg.norm(vectors[row])
        return vectors

    return change


BROKEN = [
    pytest.param(scaled(np.nan), id="NaN"),
    pytest.param(scaled(np.inf), id="infinite"),
    pytest.param(scaled(0), id="zeros"),
    pytest.param(lambda vectors: vectors[::-1], id="rows in another order"),
    pytest.param(lambda vectors: np.roll(vectors, 1, axis=1), id="columns in another order"),
    pytest.param(scaled(1.002), id="a little too long"),
    pytest.param(one_row_wrong(-1), id="the last row of a batch"),
    pytest.param(lambda vectors: vectors + np.random.default_rng(0).normal(0, 0.01, vectors.shape), id="noise"),
]


@pytest.mark.parametrize("change", BROKEN)
@pytest.mark.parametrize("batch_size", [4, 16])
def test_a_worker_whose_vectors_are_wrong_fails(change: Change, batch_size: int):
    store = InMemoryStore()
    check_golden(store, small_extractor(), record())

    with pytest.raises(GoldenCheckError, match="a worker of a test gives wrong vectors"):
        check_golden(store, small_extractor(change, batch_size=batch_size), record())


@pytest.mark.parametrize("change", BROKEN)
def test_the_first_worker_does_not_take_its_own_wrong_vectors_for_the_expected_ones(change: Change):
    store = InMemoryStore()

    with pytest.raises(GoldenCheckError):
        check_golden(store, small_extractor(change), record())

    check_golden(store, small_extractor(), record())


def test_rounding_passes():
    check_golden(InMemoryStore(), small_extractor(scaled(1 + 1e-4)), record())


def test_mixed_precision_may_round_more_but_is_not_let_off():
    check_golden(InMemoryStore(), small_extractor(scaled(1.05)), record("mixed"))

    with pytest.raises(GoldenCheckError) as caught:
        check_golden(InMemoryStore(), small_extractor(scaled(1.2)), record("mixed"))

    assert caught.value.tolerance == TOLERANCES["mixed"]
    assert caught.value.difference == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(np.nan, "numbers that are not finite", id="NaN"),
        pytest.param(0.0, "a vector of zeros", id="zeros"),
    ],
)
def test_a_network_that_tells_nothing_of_an_image_is_a_wrong_setting(value: float, problem: str):
    store, extractor = InMemoryStore(), small_extractor()
    extractor.model.set_weights([np.full(it.shape, value) for it in extractor.model.get_weights()])

    with pytest.raises(ConfigurationError, match=f"embedding.weights: with none small makes {problem}"):
        check_golden(store, extractor, record())

    assert store.objects == {}


def test_a_network_that_sees_no_difference_is_a_wrong_setting():
    extractor = small_extractor()
    kernel, bias = extractor.model.get_weights()
    extractor.model.set_weights([np.zeros_like(kernel), np.ones_like(bias)])

    with pytest.raises(ConfigurationError, match="the same vector for different images"):
        check_golden(InMemoryStore(), extractor, record())


def test_expected_vectors_with_a_flipped_bit_are_not_compared_with():
    store = InMemoryStore()
    check_golden(store, small_extractor(), record())
    key, _ = stored_vectors(store)
    body = bytearray(store.objects[key])
    body[-1] ^= 1
    store.objects[key] = bytes(body)

    with pytest.raises(ArtifactIntegrityError, match=f"{PREFIX}.*expected sha256"):
        check_golden(store, small_extractor(), record())

    assert store.objects[key] == bytes(body)


def test_a_worker_that_was_killed_before_the_manifest_is_made_up_for():
    store = InMemoryStore()
    check_golden(store, small_extractor(), record())
    expected = dict(store.objects)
    (manifest,) = (key for key in store.objects if key.endswith(publishing.MANIFEST))
    store.delete(manifest)

    check_golden(store, small_extractor(), record())

    assert store.objects == expected


def test_of_two_workers_that_publish_at_once_one_wins_and_both_pass(monkeypatch: pytest.MonkeyPatch):
    store = InMemoryStore()
    publish = publishing.publish

    def publish_after_another(store, prefix, files):
        monkeypatch.undo()
        other = small_extractor()
        other.model.set_weights([it * (1 + 1e-5) for it in other.model.get_weights()])  # other last bits
        check_golden(store, other, record())
        return publish(store, prefix, files)

    monkeypatch.setattr("include.retraining.embedding.extractors.golden.publish", publish_after_another)

    check_golden(store, small_extractor(), record())

    (body,) = (body for key, body in store.objects.items() if key.endswith(".npy"))
    check_golden(store, small_extractor(), record())
    mine = np.concatenate([np.asarray(small_extractor().model(image[None])) for image in golden_images()])
    assert not np.array_equal(np.load(io.BytesIO(body)), mine)


def test_manifests_that_cross_leave_whole_vectors():
    # Both workers saw no manifest: the files of both are written, and the manifest of the later one stays.
    one, two = InMemoryStore(), InMemoryStore()
    check_golden(one, small_extractor(), record())
    other = small_extractor()
    other.model.set_weights([it * (1 + 1e-5) for it in other.model.get_weights()])
    check_golden(two, other, record())
    both = InMemoryStore()
    both.objects.update({**one.objects, **two.objects})
    assert len(both.objects) == 3

    check_golden(both, small_extractor(), record())


def test_expected_vectors_of_another_length_are_not_compared_with():
    store = InMemoryStore()
    check_golden(store, small_extractor(), record())
    key, vectors = stored_vectors(store)
    prefix = key.rpartition("/")[0] + "/"
    store.objects.clear()
    buffer = io.BytesIO()
    np.save(buffer, vectors[:, 1:])
    publishing.publish(store, prefix, {"v.npy": buffer.getvalue()})

    with pytest.raises(ArtifactIntegrityError, match=r"expected vectors of shape \(6, 5\), got \(6, 4\)"):
        check_golden(store, small_extractor(), record())


def test_the_check_costs_one_batch():
    calls = []

    def count(vectors: np.ndarray) -> np.ndarray:
        calls.append(len(vectors))
        return vectors

    check_golden(InMemoryStore(), small_extractor(count, batch_size=16), record())

    assert calls == [16]
