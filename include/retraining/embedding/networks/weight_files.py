"""Files of weights in HDF5: found, compared with their digest, read into a network, written from one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import keras

from include.retraining.artifacts import Weights
from include.retraining.embedding.networks.imagenet_weights import Download
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage.base import ObjectStore, key_of

WHERE = "embedding.weights"
_ROOT = Path(__file__).parents[4]
_SUFFIXES = (".h5", ".hdf5")


def read_weights_file(store: ObjectStore, weights: Weights) -> bytes:
    """Returns the bytes of a file of weights, after they proved to be those of its digest.

    Args:
        store: Holds the file where its source starts with `s3://`.
        weights: The source may also be a path: absolute, or relative to the root of the repository.

    Raises:
        ConfigurationError: If the file is in another bucket, is none of HDF5 by its name, or is no local file.
        ArtifactIntegrityError: If the store has no such object, or the sha256 is another.
    """
    if not weights.source.endswith(_SUFFIXES):
        raise ConfigurationError(
            WHERE,
            f"{weights.source} is not named as a file of weights in HDF5, {' or '.join(_SUFFIXES)}",
            "Save the weights with Keras, model.save_weights('<name>.weights.h5'), without a classifier on top",
        )
    body = _read_object(store, weights) if weights.source.startswith("s3://") else _read_local(weights)
    digest = hashlib.sha256(body).hexdigest()
    if digest != weights.sha256:
        raise ArtifactIntegrityError(weights.source, f"sha256 {weights.sha256}", f"sha256 {digest}")
    return body


def download(file: Download) -> bytes:
    """Returns the bytes of a file that Keras downloads, and keeps in its own folder for the next time.

    Raises:
        ConfigurationError: If it cannot be had.
    """
    try:
        path = keras.utils.get_file(file.file, file.url, cache_subdir="models", file_hash=file.digest)
    except Exception as error:  # Keras raises no narrower class where there is no network.
        raise ConfigurationError(
            WHERE,
            f"{file.url} cannot be downloaded: {error}",
            f"Let the worker reach it, or put the file into its folder ~/.keras/models, or copy it into the bucket and "
            f"write `weights: s3://<bucket>/<folder>/{file.file}` with the weights_sha256 that sha256sum prints",
        ) from error
    return Path(path).read_bytes()


def load_hdf5(model: keras.Model, body: bytes, source: str) -> None:
    """Gives a network the weights of a file, after every array proved to be there in its shape.

    Args:
        model: The network.
        body: Keras's `.weights.h5`, or its earlier `.h5`: of the weights, or of a whole model. A classifier on top may
            be in a `.weights.h5` too, and is passed over.
        source: Where they come from, for the error.

    Raises:
        ConfigurationError: If the bytes are no HDF5, or hold the weights of another network.
    """
    is_earlier_format = _is_earlier_format(body, source)
    # Keras itself warns, and goes on, where a file lacks some layers.
    difference = _first_difference(model, body, is_earlier_format)
    if difference is not None:
        raise ConfigurationError(
            WHERE,
            f"{source} holds other weights than {model.name} has: {difference}",
            "Name a file that was saved from this network without a classifier on top",
        )
    with TemporaryDirectory() as folder:
        path = Path(folder, "read.h5" if is_earlier_format else "read.weights.h5")
        path.write_bytes(body)
        model.load_weights(path)


def to_hdf5(model: keras.Model) -> bytes:
    """Returns a network's weights as the bytes of a `.weights.h5`; equal weights give equal bytes.

    The random states of its layers are not among them: they change no vector.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "written.weights.h5")
        model.save_weights(path)
        return path.read_bytes()


def _read_object(store: ObjectStore, weights: Weights) -> bytes:
    try:
        key = key_of(store, weights.source)
    except ValueError:
        raise ConfigurationError(
            WHERE,
            f"{weights.source} lies in another bucket than the run's, {store.bucket}",
            f"Copy the file to s3://{store.bucket}/ and name it there",
        ) from None
    try:
        return store.get(key)
    except KeyError:
        raise ArtifactIntegrityError(weights.source, f"sha256 {weights.sha256}", "no such object") from None


def _read_local(weights: Weights) -> bytes:
    path = _ROOT / weights.source
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            WHERE,
            f"there is no file {weights.source} to read: {error.strerror}",
            "Name an object, s3://bucket/key, or a path that every worker has: absolute or from the repository's root",
        ) from None


def _is_earlier_format(body: bytes, source: str) -> bool:
    try:
        with h5py.File(io.BytesIO(body), "r") as file:
            return "layer_names" in file.attrs or "model_weights" in file
    except OSError:
        raise ConfigurationError(
            WHERE,
            f"{source} is no HDF5, whatever its name says",
            "Save the weights with Keras, model.save_weights('<name>.weights.h5'), and correct weights_sha256",
        ) from None


def _first_difference(model: keras.Model, body: bytes, is_earlier_format: bool) -> str | None:
    """Returns what differs first between the shapes that a network has and those of a file; None if nothing does."""
    with h5py.File(io.BytesIO(body), "r") as file:
        if is_earlier_format:
            expected, found = _ordered_shapes(model), dict(_earlier_shapes(file))
        else:
            with h5py.File(io.BytesIO(to_hdf5(model)), "r") as own:
                expected, found = _shapes(own), _shapes(file)
    for name, shape in expected.items():
        if found.get(name) != shape:
            return f"{name} has shape {shape} in the network and {found.get(name, 'is not there')} in the file"
    if is_earlier_format and len(found) > len(expected):
        return f"the network has {len(expected)} arrays and the file {len(found)}"
    return None


def _shapes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape

    file.visititems(keep)
    return shapes


def _ordered_shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    layers = [layer for layer in model.layers if layer.weights]
    variables = [it for layer in layers for it in (*layer.trainable_weights, *layer.non_trainable_weights)]
    return {f"array {index}": tuple(variable.shape) for index, variable in enumerate(variables)}


def _earlier_shapes(file: h5py.File) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the shapes of the earlier format, which knows weights by their order alone."""
    group = file if "layer_names" in file.attrs else file["model_weights"]
    index = 0
    for layer in _names(group.attrs, "layer_names"):
        for weight in _names(group[layer].attrs, "weight_names"):
            yield f"array {index}", group[layer][weight].shape
            index += 1


def _names(attributes: Mapping[str, object], kind: str) -> list[str]:
    names = attributes.get(kind, ())
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]  # type: ignore[attr-defined]
