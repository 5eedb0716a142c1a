from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from scipy.special import softmax

from include.retraining.embedding.scaling import Scaler
from include.retraining.training.head import Head, Layer, from_npz


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
    back = from_npz(head.to_npz())
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
    with pytest.raises(ValueError, match="allow_pickle=False"):
        from_npz(sink.getvalue())
