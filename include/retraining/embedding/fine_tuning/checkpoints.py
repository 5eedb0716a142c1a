"""Training checkpoints: all that the next epoch depends on, kept in the store after each epoch.

A checkpoint's place follows from the digest of the training's inputs. A repeated task therefore finds it without having
been told where it is: Airflow's task state is not needed, and a run without Airflow resumes in the same way.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import MANIFEST, publish, read_published

logger = logging.getLogger(__name__)

STATE = "state.npz"
KEPT = 2
"""Checkpoints that stay: the last one, and the one before it in case the last one is damaged."""


@dataclass(frozen=True)
class TrainingState:
    """A training after an epoch.

    Attributes:
        epoch: Epochs that are done.
        network: The network's variables, in its order; those of random layers among them.
        optimizer: The optimizer's variables, in its order: step number, moments.
        loss: Mean training loss by epoch.
        seconds: How long each epoch took.
    """

    epoch: int
    network: tuple[np.ndarray, ...]
    optimizer: tuple[np.ndarray, ...]
    loss: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()

    def to_npz(self) -> bytes:
        """Returns the state as a NumPy archive."""
        arrays: dict[str, np.ndarray] = {"loss": np.array(self.loss), "seconds": np.array(self.seconds)}
        arrays |= {f"network_{index}": array for index, array in enumerate(self.network)}
        arrays |= {f"optimizer_{index}": array for index, array in enumerate(self.optimizer)}
        sink = io.BytesIO()
        np.savez(sink, **arrays)  # type: ignore[arg-type]
        return sink.getvalue()


def from_npz(body: bytes) -> TrainingState:
    """Returns the state that `TrainingState.to_npz` wrote; pickled objects are refused."""
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        loss = tuple(arrays["loss"].tolist())
        return TrainingState(
            epoch=len(loss),
            network=tuple(_numbered(arrays, "network")),
            optimizer=tuple(_numbered(arrays, "optimizer")),
            loss=loss,
            seconds=tuple(arrays["seconds"].tolist()),
        )


def state_of(network: keras.Model, loss: tuple[float, ...], seconds: tuple[float, ...]) -> TrainingState:
    """Returns the state of a compiled network after as many epochs as there are losses."""
    return TrainingState(
        epoch=len(loss),
        network=_arrays(network.variables),
        optimizer=_arrays(network.optimizer.variables),
        loss=loss,
        seconds=seconds,
    )


def restore(network: keras.Model, state: TrainingState) -> None:
    """Puts a state into a compiled network of the same recipe, whose optimizer is built."""
    for variables, arrays in ((network.variables, state.network), (network.optimizer.variables, state.optimizer)):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def keep_checkpoint(store: ObjectStore, classifier: str, digest: str, state: TrainingState) -> None:
    """Publishes the state after an epoch, then deletes all but the last two.

    What lies there already is replaced: it was damaged, or another attempt is at the same epoch, with the same weights.
    """
    prefix = layout.checkpoint(classifier, digest, state.epoch)
    store.delete(f"{prefix}{MANIFEST}")
    publish(store, prefix, {STATE: state.to_npz()})
    for epoch in _epochs(store, classifier, digest):
        if epoch <= state.epoch - KEPT:
            _delete(store, layout.checkpoint(classifier, digest, epoch))


def last_checkpoint(store: ObjectStore, classifier: str, digest: str) -> TrainingState | None:
    """Returns the newest state that is whole, or None where there is none; a damaged one is passed over."""
    for epoch in sorted(_epochs(store, classifier, digest), reverse=True):
        prefix = layout.checkpoint(classifier, digest, epoch)
        if not store.exists(f"{prefix}{MANIFEST}"):
            continue  # its writer was killed
        try:
            return from_npz(read_published(store, prefix, STATE))
        except ArtifactIntegrityError as error:
            logger.warning("the checkpoint of epoch %d is passed over: %s", epoch, error)
    return None


def forget_checkpoints(store: ObjectStore, classifier: str, digest: str) -> None:
    """Deletes every checkpoint of a training."""
    for epoch in _epochs(store, classifier, digest):
        _delete(store, layout.checkpoint(classifier, digest, epoch))


def _arrays(variables: Sequence[keras.Variable]) -> tuple[np.ndarray, ...]:
    return tuple(keras.ops.convert_to_numpy(variable) for variable in variables)


def _epochs(store: ObjectStore, classifier: str, digest: str) -> list[int]:
    return [int(name) for name in store.list_folders(layout.checkpoints(classifier, digest))]


def _delete(store: ObjectStore, prefix: str) -> None:
    # The manifest first, so that nobody takes the rest for a checkpoint.
    store.delete(f"{prefix}{MANIFEST}")
    store.delete(f"{prefix}{STATE}")


def _numbered(arrays: np.lib.npyio.NpzFile, name: str) -> Iterator[np.ndarray]:
    count = sum(key.startswith(f"{name}_") for key in arrays.files)
    return (arrays[f"{name}_{index}"] for index in range(count))
