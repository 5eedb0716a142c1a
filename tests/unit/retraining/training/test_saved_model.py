from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from include.retraining.pictures import decode_image
from include.retraining.training import saved_model
from include.retraining.training.head import decide
from include.retraining.training.inference import predict_proba
from include.retraining.training.saved_model import GRAPH, canonical, predict, to_files
from tests.builders import LABELS

SIZE = 12


def textured_model() -> keras.Model:
    """Three probabilities that depend on where in a resized image it is bright."""
    keras.utils.clear_session()
    pixels = keras.Input((None, None, 3), dtype="uint8", name="pixels")
    values = keras.layers.Resizing(SIZE, SIZE, antialias=True, name="resizing")(pixels)
    values = keras.layers.Rescaling(1 / 255, name="scaled")(values)
    values = keras.layers.Conv2D(4, 3, strides=3, name="conv", kernel_initializer=normal(0))(values)
    values = keras.layers.Flatten(name="flat")(values)
    values = keras.layers.Dense(3, "softmax", name="probabilities", kernel_initializer=normal(1))(values)
    return keras.Model(pixels, values, name="textured")


def normal(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=1.0, seed=seed)


def image_files() -> list[bytes]:
    """Files of several kinds and sizes, one of them of the network's own size."""
    rng = np.random.default_rng(0)
    files = []
    for width, height, format in ((12, 12, "PNG"), (40, 25, "JPEG"), (9, 31, "PNG"), (64, 64, "BMP"), (31, 17, "GIF")):
        sink = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(sink, format)
        files.append(sink.getvalue())
    return files


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return textured_model()


@pytest.fixture(scope="module")
def files(model: keras.Model) -> dict[str, bytes]:
    return to_files(model, LABELS, None, image_size=SIZE)


def probabilities_of(model: keras.Model, images: list[bytes]) -> np.ndarray:
    return predict_proba(model, [decode_image(image) for image in images])


def test_image_files_of_many_sizes_get_the_model_s_probabilities_each_its_own(
    model: keras.Model, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(saved_model, "BATCH", 2)
    expected = probabilities_of(model, image_files())

    served = predict(files, image_files())

    np.testing.assert_allclose(served.probabilities, expected, atol=1e-5)
    assert served.probabilities.dtype == np.float32
    assert served.labels == tuple(LABELS[index] for index in expected.argmax(axis=1))
    assert np.ptp(expected, axis=0).min() > 0.05  # else any model would do


def test_thresholds_decide_the_labels_and_leave_the_probabilities(model: keras.Model, files: dict[str, bytes]):
    thresholds = np.array([0.05, 0.9, 0.4], np.float32)

    served = predict(to_files(model, LABELS, thresholds, image_size=SIZE), image_files())

    plain = predict(files, image_files())
    assert np.array_equal(served.probabilities, plain.probabilities)
    assert served.labels == tuple(LABELS[index] for index in decide(plain.probabilities, thresholds))
    assert served.labels != plain.labels


def loaded(files: dict[str, bytes], folder) -> tf.Module:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return tf.saved_model.load(str(folder))


def test_its_signatures_say_what_they_take_and_give(files: dict[str, bytes], tmp_path):
    signatures = loaded(files, tmp_path).signatures

    assert set(signatures) == {"serving_default", "serve_bytes", "serve_pixels"}
    for name, key, shape, dtype in (
        ("serving_default", "images", [None], tf.string),
        ("serve_bytes", "images", [None], tf.string),
        ("serve_pixels", "pixels", [None, None, None, 3], tf.uint8),
    ):
        (spec,) = signatures[name].structured_input_signature[1].values()
        assert (spec.name, spec.shape.as_list(), spec.dtype) == (key, shape, dtype)
        outputs = signatures[name].structured_outputs
        assert {key: (it.shape.as_list(), it.dtype) for key, it in outputs.items()} == {
            "probabilities": ([None, 3], tf.float32),
            "labels": ([None], tf.string),
        }


def test_pixels_get_the_same_probabilities_as_their_files(model: keras.Model, files: dict[str, bytes], tmp_path):
    image = image_files()[1]

    served = loaded(files, tmp_path).signatures["serve_pixels"](pixels=tf.constant(decode_image(image)[np.newaxis]))

    np.testing.assert_allclose(served["probabilities"], probabilities_of(model, [image]), atol=1e-5)


def test_no_image_at_all_gets_no_answer_and_no_error(files: dict[str, bytes], tmp_path):
    served = loaded(files, tmp_path).signatures["serve_bytes"](images=tf.constant([], tf.string))

    assert served["probabilities"].shape == (0, 3)
    assert served["labels"].shape == (0,)


def test_a_broken_file_is_an_error_of_its_batch(files: dict[str, bytes]):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid PNG data"):
        predict(files, [*image_files(), image_files()[0][:100]])


def test_a_model_that_is_built_and_saved_again_has_the_same_bytes(model: keras.Model, files: dict[str, bytes]):
    assert to_files(model, LABELS, None, image_size=SIZE) == files
    assert to_files(textured_model(), LABELS, None, image_size=SIZE) == files


def test_another_weight_another_label_and_another_threshold_give_other_bytes(
    model: keras.Model, files: dict[str, bytes]
):
    other = textured_model()
    kernel, bias = other.get_layer("probabilities").get_weights()
    other.get_layer("probabilities").set_weights([kernel, bias + 0.1])

    made = [
        files,
        to_files(other, LABELS, None, image_size=SIZE),
        to_files(model, LABELS[::-1], None, image_size=SIZE),
        to_files(model, LABELS, np.full(3, 0.5, np.float32), image_size=SIZE),
    ]

    assert len({tuple(sorted(one.items())) for one in made}) == 4


def test_the_files_are_a_graph_and_its_variables_and_name_no_folder_of_this_machine(files: dict[str, bytes]):
    assert set(files) == {GRAPH, "variables/variables.index", "variables/variables.data-00000-of-00001"}
    assert b".py" not in files[GRAPH]
    assert b"/tmp" not in files[GRAPH]


def test_functions_are_numbered_by_the_order_in_which_they_were_made(files: dict[str, bytes]):
    library = saved_model_pb2.SavedModel.FromString(files[GRAPH]).meta_graphs[0].graph_def.library
    names = [function.signature.name for function in library.function]

    assert names == sorted(names)
    assert max(int(name.rpartition("_")[2]) for name in names) < 500
    assert canonical(files[GRAPH]) == files[GRAPH]
