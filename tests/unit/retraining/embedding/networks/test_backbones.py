from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from include.retraining.artifacts import Weights
from include.retraining.embedding.networks.architectures import ARCHITECTURES
from include.retraining.embedding.networks.backbones import build_backbone, load_weights, save_weights
from include.retraining.embedding.networks.imagenet_weights import PACKAGES, download_of
from include.retraining.embedding.networks.preprocessing import IMAGENET_STD
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage.memory import InMemoryStore

IMAGENET = Weights("imagenet", "not looked at")
KERAS_MODELS = {
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50),
    "resnet50_v2": (keras.applications.ResNet50V2, keras.applications.resnet_v2),
    "inception_v3": (keras.applications.InceptionV3, keras.applications.inception_v3),
    "xception": (keras.applications.Xception, keras.applications.xception),
    "mobilenet_v2": (keras.applications.MobileNetV2, keras.applications.mobilenet_v2),
    "mobilenet_v3_small": (keras.applications.MobileNetV3Small, keras.applications.mobilenet_v3),
    "mobilenet_v3_large": (keras.applications.MobileNetV3Large, keras.applications.mobilenet_v3),
    "efficientnet_b0": (keras.applications.EfficientNetB0, keras.applications.efficientnet),
    "efficientnet_v2_b0": (keras.applications.EfficientNetV2B0, keras.applications.efficientnet_v2),
    "convnext_tiny": (keras.applications.ConvNeXtTiny, keras.applications.convnext),
    "densenet121": (keras.applications.DenseNet121, keras.applications.densenet),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16),
}


def images(size: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 255, (2, size, size, 3)).astype(np.float32)


def maps_of(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(model(pixels, training=False))


def assert_the_table_knows(backbone: keras.Model) -> None:
    architecture = ARCHITECTURES[backbone.name]
    names = [layer.name for layer in backbone.layers]
    assert architecture.layers[-1] == names[-1]
    assert set(architecture.layers) <= set(names)
    first = next(index for index, name in enumerate(names) if name.startswith(architecture.trained_from))
    trained = sum(layer.count_params() for layer in backbone.layers[first:])
    assert 0.5 * backbone.count_params() < trained < backbone.count_params()


class KerasFiles:
    """Stands for the place where Keras downloads from: every file it asks for is the one that was put there."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.asked: list[tuple[Any, ...]] = []
        for module in ("keras.src.utils.file_utils", "keras.utils"):  # keras.applications' way to it, and ours
            monkeypatch.setattr(f"{module}.get_file", self.get_file)

    def get_file(self, fname: str, origin: str, cache_subdir: str = "datasets", file_hash: str | None = None) -> str:
        self.asked.append((fname, origin, cache_subdir, file_hash))
        return str(self.path)

    def put(self, backbone: keras.Model) -> None:
        if backbone.name == "efficientnet_b0":  # Keras's file has standard deviations where variances belong
            mean, variance, count = backbone.get_layer("normalization").get_weights()
            assert variance == pytest.approx(np.square(IMAGENET_STD))
            backbone.get_layer("normalization").set_weights([mean, np.array(IMAGENET_STD), count])
        backbone.save(self.path)


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined:UserWarning")
@pytest.mark.parametrize("name", KERAS_MODELS)
def test_it_is_the_network_of_keras_with_its_preprocessing_and_its_download(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    size = 96 if name == "mobilenet_v2" else ARCHITECTURES[name].minimum_size
    files = KerasFiles(tmp_path / "weights.h5", monkeypatch)
    backbone = build_backbone(name, size)
    assert_the_table_knows(backbone)
    expected = maps_of(backbone, images(size))
    files.put(backbone)

    build, module = KERAS_MODELS[name]
    of_keras = build(weights="imagenet", include_top=False, input_shape=(size, size, 3))
    for variable in backbone.weights:
        variable.assign(np.zeros(variable.shape))
    load_weights(InMemoryStore(), backbone, name, IMAGENET)

    scale = np.abs(expected).max()
    np.testing.assert_allclose(maps_of(of_keras, module.preprocess_input(images(size))), expected, atol=1e-4 * scale)
    np.testing.assert_array_equal(maps_of(backbone, images(size)), expected)
    assert files.asked[0] == files.asked[1]
    assert files.asked[0][1] == download_of(name, size).url
    assert expected.std() > 0
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * expected.std()


@pytest.mark.parametrize("name", PACKAGES)
def test_the_table_knows_the_layers_of_the_lite_networks(name: str):
    assert_the_table_knows(build_backbone(name, 32))


def test_names_and_weights_do_not_depend_on_what_was_built_before():
    first = build_backbone("mobilenet_v3_small", 32)
    keras.layers.Conv2D(3, 3)  # takes a name

    second = build_backbone("mobilenet_v3_small", 32)

    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert {"activation", "activation_17", "re_lu"} <= {layer.name for layer in second.layers}
    assert first.get_config() == second.get_config()
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_with_random_layers_is_saved_and_trained_alike_each_time():
    first, second = (build_backbone("efficientnet_v2_b0", 32) for _ in range(2))

    assert save_weights(first) == save_weights(second)
    np.testing.assert_array_equal(
        np.asarray(first(images(32), training=True)), np.asarray(second(images(32), training=True))
    )


def test_a_random_start_keeps_the_scale_of_what_goes_through():
    backbone = build_backbone("efficientnet_lite0", 32)

    kernels = {name: backbone.get_layer(name).get_weights()[0] for name in ("block_8_depthwise_conv", "head_conv")}

    # He et al., 2015: variance 2 / fan-in, of 5 × 5 pixels in one channel, and of 320 channels in one pixel.
    assert kernels["block_8_depthwise_conv"].std() == pytest.approx(np.sqrt(2 / 25), rel=0.05)
    assert kernels["head_conv"].std() == pytest.approx(np.sqrt(2 / 320), rel=0.05)


def test_saved_weights_are_those_that_are_loaded():
    tuned, other = (build_backbone("efficientnet_v2_b0", 32) for _ in range(2))
    for variable in tuned.trainable_variables:
        variable.assign(variable * 1.25)
    body = save_weights(tuned)
    store = InMemoryStore("lake")
    store.put("tuned.weights.h5", body)

    weights = Weights("s3://lake/tuned.weights.h5", hashlib.sha256(body).hexdigest())
    load_weights(store, other, "efficientnet_v2_b0", weights)

    np.testing.assert_array_equal(maps_of(other, images(32)), maps_of(tuned, images(32)))


def test_a_file_that_keras_wrote_with_a_classifier_on_top_is_loaded(tmp_path: Path):
    of_keras = keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=7)
    of_keras.save_weights(tmp_path / "a.weights.h5")
    body = (tmp_path / "a.weights.h5").read_bytes()
    backbone = build_backbone("mobilenet_v3_small", 32)

    weights = Weights(str(tmp_path / "a.weights.h5"), hashlib.sha256(body).hexdigest())
    load_weights(InMemoryStore(), backbone, "mobilenet_v3_small", weights)

    last = of_keras.layers[[layer.name for layer in of_keras.layers].index("conv_1_bn") + 1]
    expected = maps_of(keras.Model(of_keras.input, last.output), images(32))
    np.testing.assert_allclose(maps_of(backbone, images(32)), expected, atol=1e-5 * np.abs(expected).max())


def test_weights_with_another_digest_are_not_loaded():
    backbone = build_backbone("efficientnet_lite0", 32)
    store = InMemoryStore("lake")
    store.put("tuned.weights.h5", save_weights(backbone))
    before = backbone.get_weights()[0]

    with pytest.raises(ArtifactIntegrityError, match="expected sha256 0000"):
        load_weights(store, backbone, "efficientnet_lite0", Weights("s3://lake/tuned.weights.h5", "0" * 64))

    np.testing.assert_array_equal(backbone.get_weights()[0], before)


def test_weights_of_a_sister_are_refused():
    lite1 = save_weights(build_backbone("efficientnet_lite1", 32))
    store = InMemoryStore("lake")
    store.put("lite1.weights.h5", lite1)

    weights = Weights("s3://lake/lite1.weights.h5", hashlib.sha256(lite1).hexdigest())
    with pytest.raises(ConfigurationError, match=r"other weights than efficientnet_lite0 has: layers/\S+ has shape"):
        load_weights(store, build_backbone("efficientnet_lite0", 32), "efficientnet_lite0", weights)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_lite_networks_take_their_weights_from_their_packages(name: str):
    backbone = build_backbone(name, 32)
    random_start = maps_of(backbone, images(32))

    load_weights(InMemoryStore(), backbone, name, IMAGENET)

    assert np.abs(maps_of(backbone, images(32)) - random_start).max() > 0.1


def test_a_random_start_is_kept_where_no_weights_are_asked_for():
    backbone = build_backbone("efficientnet_lite0", 32)
    before = backbone.get_weights()

    load_weights(InMemoryStore(), backbone, "efficientnet_lite0", Weights("none", "random, seed 0"))

    for a, b in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "efficientnet_lite0"])
def test_mixed_precision_keeps_pixels_and_weights_in_float32_and_no_global_policy(name: str):
    mixed = build_backbone(name, 32, precision="mixed")

    result = maps_of(mixed, images(32))

    before_network = [it for it in mixed.layers if isinstance(it, keras.layers.Rescaling | keras.layers.Normalization)]
    assert result.dtype == np.float16
    assert {layer.compute_dtype for layer in before_network} == {"float32"}
    assert {variable.dtype for variable in mixed.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    expected = maps_of(build_backbone(name, 32), images(32))
    assert np.abs(result - expected).max() < 0.02 * np.abs(expected).max()


def test_a_device_keeps_the_weights():
    backbone = build_backbone("mobilenet_v3_small", 32, device="cpu:0")

    assert all("CPU:0" in variable.value.device for variable in backbone.weights)
