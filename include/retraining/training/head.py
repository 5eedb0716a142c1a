"""A trained head as a value: dense layers on top of standard scores. Keras trains it; numpy is enough to apply it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from include.retraining.embedding.scaling import Scaler


@dataclass(frozen=True)
class Layer:
    """A dense layer.

    Attributes:
        kernel: Shape `(n_inputs, n_units)`, float32.
        bias: Shape `(n_units,)`, float32.
    """

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Head:
    """Scaler, hidden layers with ReLU, and a softmax layer.

    Attributes:
        scaler: Fitted on the train rows.
        layers: In order; the last one gives the logits.
    """

    scaler: Scaler
    layers: tuple[Layer, ...]

    @property
    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(layer.kernel.size + layer.bias.size for layer in self.layers)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Returns probabilities, shape `(n_samples, n_classes)`, from vectors of shape `(n_samples, n_features)`."""
        values = self.scaler.transform(X)
        for layer in self.layers[:-1]:
            values = np.maximum(values @ layer.kernel + layer.bias, 0)
        logits = values @ self.layers[-1].kernel + self.layers[-1].bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def to_npz(self) -> bytes:
        """Returns the head as a NumPy archive; equal heads give equal bytes."""
        arrays = {"mean": self.scaler.mean, "deviation": self.scaler.deviation}
        for index, layer in enumerate(self.layers):
            arrays |= {f"kernel_{index}": layer.kernel, f"bias_{index}": layer.bias}
        sink = io.BytesIO()
        np.savez(sink, **arrays)  # type: ignore[arg-type]
        return sink.getvalue()


def from_npz(body: bytes) -> Head:
    """Returns the head that `Head.to_npz` wrote; pickled objects are refused."""
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        depth = sum(name.startswith("kernel_") for name in arrays)
        layers = tuple(Layer(arrays[f"kernel_{index}"], arrays[f"bias_{index}"]) for index in range(depth))
        return Head(Scaler(arrays["mean"], arrays["deviation"]), layers)
