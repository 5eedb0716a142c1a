"""The exported model as a TensorFlow SavedModel, from the bytes of image files to probabilities and labels.

It is loaded with TensorFlow alone and holds no code of this project; TensorFlow Serving reads it as it is. Its bytes
depend on the model alone. How image files are decoded, and where that differs from training, is in `decoding_graph.py`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from include.retraining.embedding.extractors.resizing import resizing_layer
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.training.decoding_graph import decode

GRAPH = "saved_model.pb"
BATCH = 16
_FINGERPRINT = "fingerprint.pb"  # a random number, and digests of what lies beside it
_NUMBERED = re.compile(r".+_\d+")
_NUMBERED_ARGUMENT = re.compile(r'(?<=key: "_user_specified_name" value { s: ")\d+(?=")')


@dataclass(frozen=True)
class Served:
    """What a SavedModel says of images.

    Attributes:
        probabilities: Shape `(n_images, n_classes)`, float32, columns in the order of the recipe's labels.
        labels: The predicted one of each image, thresholds applied.
    """

    probabilities: np.ndarray
    labels: tuple[str, ...]


def to_files(
    model: keras.Model, labels: Sequence[str], thresholds: np.ndarray | None, *, image_size: int
) -> dict[str, bytes]:
    """Returns a model as the files of a SavedModel; equal models give equal bytes.

    Signatures:
        serve_bytes: The default one too. From `images`, whole PNG, JPEG, BMP or GIF files in any mixture of sizes,
            strings of shape `(n,)`.
        serve_pixels: From `pixels`, RGB, uint8 of shape `(n, height, width, 3)`.

    Both give `probabilities`, float32 of shape `(n, n_classes)`, and `labels`, strings of shape `(n,)`.

    Args:
        model: Layers that follow each other, from uint8 pixels `(n, height, width, 3)` to probabilities.
        labels: Class names in the order of the model's outputs.
        thresholds: One a class, shape `(n_classes,)`; None: the most probable class is predicted.
        image_size: Side of the square that the model resizes images to first.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve_pixels = _serve_pixels(model, labels, thresholds)
    module.serve_bytes = _serve_bytes(model, labels, thresholds, image_size)
    signatures = {
        "serving_default": module.serve_bytes,
        "serve_bytes": module.serve_bytes,
        "serve_pixels": module.serve_pixels,
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != _FINGERPRINT]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {**files, GRAPH: canonical(files[GRAPH])}


@contextmanager
def loaded(files: Mapping[str, bytes]) -> Iterator[tf.types.experimental.ConcreteFunction]:
    """Yields the signature `serve_bytes` of the SavedModel of these files, on the device that surrounds the call.

    Raises:
        ArtifactIntegrityError: If the name of a file leads out of the SavedModel.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, body in files.items():
            path = Path(folder) / name
            if not path.resolve().is_relative_to(Path(folder).resolve()):
                raise ArtifactIntegrityError(name, "the name of a file inside a SavedModel", "one that leads out of it")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        yield tf.saved_model.load(folder).signatures["serve_bytes"]


def predict(files: Mapping[str, bytes], images: Sequence[bytes]) -> Served:
    """Returns what the SavedModel of these files says of image files, by its signature `serve_bytes`."""
    with loaded(files) as serve:
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        served = [serve(images=tf.constant(list(batch))) for batch in batches]
    names = [name.decode() for outputs in served for name in outputs["labels"].numpy().tolist()]
    return Served(np.concatenate([outputs["probabilities"].numpy() for outputs in served]), tuple(names))


def canonical(body: bytes) -> bytes:
    """Returns a `saved_model.pb` whose functions are numbered from 0 and sorted by name.

    TensorFlow numbers them with a counter that runs as long as the process does; the order of the numbers is that in
    which the functions were made, the same in every process.
    """
    saved = saved_model_pb2.SavedModel.FromString(body)
    functions = [function for graph in saved.meta_graphs for function in graph.graph_def.library.function]
    names = {function.signature.name for function in functions if _NUMBERED.fullmatch(function.signature.name)}
    text = text_format.MessageToString(saved, as_one_line=True)
    # A name occurs inside others too: those of what a loop or a branch is handed.
    numbered = re.compile("|".join(rf"{re.escape(stem)}_\d+(?!\d)" for stem in sorted({_stem(name) for name in names})))
    numbers = {_number(name) for name in names} | {int(found) for found in _NUMBERED_ARGUMENT.findall(text)}
    rank = {number: index for index, number in enumerate(sorted(numbers))}

    def renamed(match: re.Match[str]) -> str:
        return f"{_stem(match[0])}_{rank[_number(match[0])]}" if match[0] in names else match[0]

    text = _NUMBERED_ARGUMENT.sub(lambda match: str(rank[int(match[0])]), numbered.sub(renamed, text))
    saved = text_format.Parse(text, saved_model_pb2.SavedModel())
    for graph in saved.meta_graphs:
        graph.graph_def.library.function.sort(key=lambda function: function.signature.name)
    result: bytes = saved.SerializeToString(deterministic=True)
    return result


def _stem(name: str) -> str:
    return name.rpartition("_")[0]


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _serve_pixels(
    model: keras.Model, labels: Sequence[str], thresholds: np.ndarray | None
) -> tf.types.experimental.GenericFunction:
    def serve_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return _outputs(model(pixels, training=False), labels, thresholds)

    spec = tf.TensorSpec((None, None, None, 3), tf.uint8, name="pixels")
    return tf.function(serve_pixels, input_signature=[spec], autograph=False)


def _serve_bytes(
    model: keras.Model, labels: Sequence[str], thresholds: np.ndarray | None, image_size: int
) -> tf.types.experimental.GenericFunction:
    resize = resizing_layer(image_size)
    side = tf.TensorSpec((image_size, image_size, 3), tf.float32)

    def serve_bytes(images: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.map_fn(lambda body: resize(tf.cast(decode(body), tf.float32)), images, fn_output_signature=side)
        # Layer by layer: the model itself would make whole numbers of what is resized already.
        for layer in model.layers[1:]:
            values = layer(values)
        return _outputs(values, labels, thresholds)

    spec = tf.TensorSpec((None,), tf.string, name="images")
    return tf.function(serve_bytes, input_signature=[spec], autograph=False)


def _outputs(probabilities: tf.Tensor, labels: Sequence[str], thresholds: np.ndarray | None) -> dict[str, tf.Tensor]:
    """Returns a signature's outputs; of the class by the formula of `head.decide`."""
    scores = probabilities
    if thresholds is not None:
        scores = tf.cast(probabilities, tf.float64) / tf.constant(thresholds, tf.float64)
    predicted = tf.gather(tf.constant(list(labels)), tf.argmax(scores, axis=1))
    return {"probabilities": probabilities, "labels": predicted}
