"""A trained head as a value: dense layers on top of standard scores. Keras trains it; NumPy is enough to apply it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import arrays as archive


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
        temperature: What logits are divided by before the softmax, positive; above 1 it lowers confidence.
        thresholds: One a class, shape `(n_classes,)`, positive, float64; None: the most probable class is
            predicted.
    """

    scaler: Scaler
    layers: tuple[Layer, ...]
    temperature: float = 1.0
    thresholds: np.ndarray | None = None

    @property
    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(layer.kernel.size + layer.bias.size for layer in self.layers)

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Returns logits, not divided by the temperature, from vectors.

        Args:
            X: As the extractor made them, shape `(n_samples, n_features)`.

        Returns:
            Shape `(n_samples, n_classes)`, float32.
        """
        return logits_of(self.scaler.transform(X), self.layers)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Returns probabilities, shape `(n_samples, n_classes)`, from vectors of shape `(n_samples, n_features)`."""
        return softmax(self.logits(X) / np.float32(self.temperature))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Returns class ids, shape `(n_samples,)`, int64, from vectors of shape `(n_samples, n_features)`."""
        return decide(self.predict_proba(X), self.thresholds)

    def to_npz(self) -> bytes:
        """Returns the head as a NumPy archive; equal heads give equal bytes."""
        arrays = {"mean": self.scaler.mean, "deviation": self.scaler.deviation}
        for index, layer in enumerate(self.layers):
            arrays |= {f"kernel_{index}": layer.kernel, f"bias_{index}": layer.bias}
        arrays["temperature"] = np.array(self.temperature)
        if self.thresholds is not None:
            arrays["thresholds"] = self.thresholds
        sink = io.BytesIO()
        np.savez(sink, **arrays)  # type: ignore[arg-type]
        return sink.getvalue()


def from_npz(body: bytes, uri: str) -> Head:
    """Returns the head that `Head.to_npz` wrote.

    Args:
        body: The archive.
        uri: Where it comes from, for the error.

    Raises:
        ArtifactIntegrityError: If the bytes are none; pickled objects are refused.
    """
    arrays = archive.from_npz(body, uri)
    depth = sum(name.startswith("kernel_") for name in arrays)
    try:
        return Head(
            Scaler(arrays["mean"], arrays["deviation"]),
            tuple(Layer(arrays[f"kernel_{index}"], arrays[f"bias_{index}"]) for index in range(depth)),
            float(arrays["temperature"]),
            arrays.get("thresholds"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactIntegrityError(uri, "the arrays of a head", f"{sorted(arrays)}, or of other shapes") from error


def logits_of(values: np.ndarray, layers: tuple[Layer, ...]) -> np.ndarray:
    """Returns what layers make of standard scores, shape `(n_samples, n_classes)`, float32."""
    for layer in layers[:-1]:
        values = np.maximum(values @ layer.kernel + layer.bias, 0)
    logits: np.ndarray = values @ layers[-1].kernel + layers[-1].bias
    return logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities from logits of any size, shape `(n_samples, n_classes)`."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def decide(y_score: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Returns the predicted class ids: that of the probability which exceeds its threshold by the largest factor.

    Args:
        y_score: Probabilities, shape `(n_samples, n_classes)`.
        thresholds: One a class, shape `(n_classes,)`, positive; None, or all equal: the most probable class.

    Returns:
        Shape `(n_samples,)`, int64; of equals the first class.
    """
    # In float64, in which a division makes no equals of what differs in float32.
    scores = y_score if thresholds is None else y_score / thresholds.astype(np.float64)
    ids: np.ndarray = scores.argmax(axis=1)
    return ids
