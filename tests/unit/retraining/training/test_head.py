from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest
from scipy.special import softmax

from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.training.head import Head, Layer, decide, from_npz


def head_of(*units: int, seed: int = 0) -> Head:
    """A head whose layers have these numbers of inputs and units."""
    rng = np.random.default_rng(seed)
    scaler = Scaler(rng.normal(size=units[0]).astype(np.float32), rng.uniform(1, 2, units[0]).astype(np.float32))
    layers = [
        Layer(rng.normal(size=(n, m)).astype(np.float32), rng.normal(size=m).astype(np.float32))
        for n, m in zip(units, units[1:], strict=False)
    ]
    return Head(scaler, tuple(layers))


def vectors(n_features: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(7, n_features)).astype(np.float32)


def test_a_linear_head_is_a_softmax_over_standard_scores():
    head, X = head_of(4, 3), vectors(4)
    scores = (X - head.scaler.mean) / head.scaler.deviation
    expected = softmax(scores @ head.layers[0].kernel + head.layers[0].bias, axis=1)
    np.testing.assert_allclose(head.predict_proba(X), expected, rtol=1e-5)


def test_hidden_layers_are_rectified():
    head, X = head_of(4, 5, 3), vectors(4)
    hidden = np.maximum(
        ((X - head.scaler.mean) / head.scaler.deviation) @ head.layers[0].kernel + head.layers[0].bias, 0
    )
    expected = softmax(hidden @ head.layers[1].kernel + head.layers[1].bias, axis=1)
    np.testing.assert_allclose(head.predict_proba(X), expected, rtol=1e-5)


def test_probabilities_stay_finite_for_logits_of_any_size():
    head = head_of(4, 3)
    huge = Head(head.scaler, (Layer(head.layers[0].kernel * np.float32(1e6), head.layers[0].bias),))
    probabilities = huge.predict_proba(vectors(4))
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_every_trained_weight_is_counted_and_the_scaler_is_not():
    assert head_of(4, 3).n_parameters == 4 * 3 + 3
    assert head_of(4, 5, 3).n_parameters == 4 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("units", [(4, 3), (4, 5, 3), (2, *[3] * 11, 2)], ids=["linear", "hidden", "deep"])
def test_a_head_comes_back_equal_and_of_the_same_bytes(units: tuple[int, ...]):
    head = head_of(*units)
    back = from_npz(head.to_npz(), "s3://b/head.npz")
    assert back.to_npz() == head.to_npz()
    assert len(back.layers) == len(head.layers)
    for one, other in zip(back.layers, head.layers, strict=True):
        assert np.array_equal(one.kernel, other.kernel)
        assert np.array_equal(one.bias, other.bias)
    assert np.array_equal(back.predict_proba(vectors(units[0])), head.predict_proba(vectors(units[0])))


def test_the_bytes_tell_heads_apart_and_not_the_hour():
    assert head_of(4, 3).to_npz() != head_of(4, 3, seed=1).to_npz()
    with zipfile.ZipFile(io.BytesIO(head_of(4, 3).to_npz())) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_pickled_object_in_the_archive_is_refused():
    sink = io.BytesIO()
    np.savez(
        sink, mean=np.array([print], dtype=object), deviation=np.ones(1), kernel_0=np.ones((1, 1)), bias_0=np.ones(1)
    )
    with pytest.raises(ArtifactIntegrityError, match="s3://b/head.npz: .*allow_pickle=False"):
        from_npz(sink.getvalue(), "s3://b/head.npz")


def test_the_temperature_divides_logits_and_changes_no_decision():
    head, X = head_of(4, 3), vectors(4)
    cooled = dataclasses.replace(head, temperature=2.5)

    np.testing.assert_allclose(cooled.predict_proba(X), softmax(head.logits(X) / 2.5, axis=1), rtol=1e-5)
    assert np.array_equal(cooled.logits(X), head.logits(X))
    assert np.array_equal(cooled.predict(X), head.predict(X))
    assert cooled.predict_proba(X).dtype == np.float32


def test_thresholds_decide_and_change_no_probability():
    head, X = head_of(4, 3), vectors(4)
    eager = dataclasses.replace(head, thresholds=np.array([1.0, 1.0, 1e-9]))

    assert np.array_equal(eager.predict_proba(X), head.predict_proba(X))
    assert eager.predict(X).tolist() == [2] * 7 != head.predict(X).tolist()


def test_temperature_and_thresholds_come_back():
    head = dataclasses.replace(head_of(4, 3), temperature=1 / 3, thresholds=np.array([0.1, 1 / 3, 0.7]))

    back = from_npz(head.to_npz(), "s3://b/head.npz")

    assert back.temperature == 1 / 3
    assert back.thresholds is not None
    assert back.thresholds.tolist() == [0.1, 1 / 3, 0.7]
    assert back.to_npz() == head.to_npz() != head_of(4, 3).to_npz()


def test_without_thresholds_or_with_equal_ones_the_most_probable_class_is_decided():
    rng = np.random.default_rng(0)
    y_score = rng.dirichlet(np.ones(10), size=2000).astype(np.float32)
    y_score[:500, 3] = y_score[:500].max(axis=1)  # and neighbours of it that only the last bit tells apart
    y_score[:500, 7] = np.nextafter(y_score[:500, 3], np.float32(1))

    for thresholds in (None, np.full(10, 0.1), np.full(10, 0.3)):
        assert np.array_equal(decide(y_score, thresholds), y_score.argmax(axis=1))


def test_the_probability_that_exceeds_its_threshold_by_the_largest_factor_wins_and_of_equals_the_first():
    y_score = np.array([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25]])

    assert decide(y_score, np.array([0.6, 0.2, 0.05])).tolist() == [2, 2]
    assert decide(y_score, np.array([0.5, 0.25, 0.25])).tolist() == [0, 0]
    assert decide(y_score, None).dtype == np.int64
