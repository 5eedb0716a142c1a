from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest

from include.retraining.artifacts import Weights
from include.retraining.embedding.networks import weight_files
from include.retraining.embedding.networks.imagenet_weights import Download
from include.retraining.embedding.networks.weight_files import download, load_hdf5, read_weights_file, to_hdf5
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage.memory import InMemoryStore

BODY = b"some weights"
SHA256 = hashlib.sha256(BODY).hexdigest()
SOURCE = "a.weights.h5"


def small_network(*, filters: int = 4, value: float = 1.0, depth: int = 1) -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    for _ in range(depth):
        x = keras.layers.Conv2D(filters, 3, kernel_initializer=keras.initializers.Constant(value))(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(pixels, x, name="small")


def earlier_format(model: keras.Model, folder: Path) -> bytes:
    path = folder / "whole_model.h5"
    model.save(path)
    return path.read_bytes()


def store_with(key: str, body: bytes = BODY) -> InMemoryStore:
    store = InMemoryStore("lake")
    store.put(key, body)
    return store


def test_a_file_in_the_bucket_is_read():
    store = store_with("weights/a.weights.h5")

    assert read_weights_file(store, Weights("s3://lake/weights/a.weights.h5", SHA256)) == BODY


def test_a_local_file_is_read_by_its_path(tmp_path: Path):
    path = tmp_path / "a.h5"
    path.write_bytes(BODY)

    assert read_weights_file(InMemoryStore(), Weights(str(path), SHA256)) == BODY


def test_a_relative_path_starts_at_the_root_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert (weight_files._ROOT / "pyproject.toml").exists()
    monkeypatch.setattr(weight_files, "_ROOT", tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a.h5").write_bytes(BODY)

    assert read_weights_file(InMemoryStore(), Weights("weights/a.h5", SHA256)) == BODY


def test_another_bucket_is_refused_with_what_to_do():
    with pytest.raises(ConfigurationError, match=r"another bucket than the run's, lake\. Copy the file to s3://lake/"):
        read_weights_file(InMemoryStore("lake"), Weights("s3://pond/a.weights.h5", SHA256))


@pytest.mark.parametrize("source", ["s3://lake/model.pkl", "/weights/model.pth", "model.keras", "model.h5.exe"])
def test_what_is_not_named_as_hdf5_is_refused(source: str):
    with pytest.raises(ConfigurationError, match=r"not named as a file of weights in HDF5.*model\.save_weights"):
        read_weights_file(InMemoryStore("lake"), Weights(source, SHA256))


def test_a_missing_object_is_an_error():
    with pytest.raises(ArtifactIntegrityError, match=r"s3://lake/a\.h5: expected sha256 \w+, got no such object"):
        read_weights_file(InMemoryStore("lake"), Weights("s3://lake/a.h5", SHA256))


def test_a_missing_local_file_is_an_error_without_a_traceback_for_its_message(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"there is no file .*a\.h5 to read: No such file or directory\. Name"):
        read_weights_file(InMemoryStore(), Weights(str(tmp_path / "a.h5"), SHA256))


def test_a_flipped_bit_is_refused():
    store = store_with("a.h5", b"Some weights")

    with pytest.raises(ArtifactIntegrityError, match=f"expected sha256 {SHA256}, got sha256 (?!{SHA256})"):
        read_weights_file(store, Weights("s3://lake/a.h5", SHA256))


def test_what_was_written_is_read_to_the_last_bit():
    source, target = small_network(value=0.3), small_network(value=0.0)

    load_hdf5(target, to_hdf5(source), SOURCE)

    for expected, result in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_equal_weights_give_equal_bytes_whatever_was_built_before():
    first = small_network()
    second = small_network()

    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    assert to_hdf5(first) == to_hdf5(first)
    assert to_hdf5(small_network(value=2.0)) != to_hdf5(first)


def test_the_random_state_of_a_layer_is_not_in_the_bytes():
    network = small_network()
    before = to_hdf5(network)

    network(np.zeros((2, 8, 8, 3), np.float32), training=True)
    network.layers[3].set_weights(small_network().layers[3].get_weights())  # training moved the statistics too

    assert to_hdf5(network) == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_earlier_format_of_keras_is_read(tmp_path: Path):
    source, target = small_network(value=0.3), small_network(value=0.0)

    load_hdf5(target, earlier_format(source, tmp_path), "a.h5")

    np.testing.assert_array_equal(target.get_weights()[0], source.get_weights()[0])


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"filters": 5}, r"layers/batch_normalization/vars/0 has shape \(5,\) in the network and \(4,\) in the file"),
        ({"depth": 2}, r"conv2d_1/vars/0 has shape \(3, 3, 4, 4\) in the network and is not there in the file"),
    ],
)
def test_weights_of_another_network_are_refused_by_their_first_difference(other: dict[str, int], difference: str):
    with pytest.raises(ConfigurationError, match=rf"a\.weights\.h5 holds other weights than small has: .*{difference}"):
        load_hdf5(small_network(**other), to_hdf5(small_network()), SOURCE)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"filters": 5}, r"array 0 has shape \(3, 3, 3, 5\) in the network and \(3, 3, 3, 4\) in the file"),
        ({"depth": 2}, r"array 2 has shape \(3, 3, 4, 4\) in the network and \(4,\) in the file"),
    ],
)
def test_so_are_those_of_the_earlier_format(other: dict[str, int], difference: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=difference):
        load_hdf5(small_network(**other), earlier_format(small_network(), tmp_path), "a.h5")


@pytest.mark.parametrize("body", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 64])
def test_bytes_that_are_no_hdf5_are_refused(body: bytes):
    with pytest.raises(ConfigurationError, match="is no HDF5, whatever its name says"):
        load_hdf5(small_network(), body, SOURCE)


def test_a_download_is_asked_of_keras_with_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def get_file(*arguments: object, **options: object) -> str:
        asked.append((arguments, options))
        (tmp_path / "kept").write_bytes(BODY)
        return str(tmp_path / "kept")

    monkeypatch.setattr(keras.utils, "get_file", get_file)

    assert download(Download("https://weights.test/folder/a.h5", "0123")) == BODY
    assert asked == [(("a.h5", "https://weights.test/folder/a.h5"), {"cache_subdir": "models", "file_hash": "0123"})]


def test_a_download_without_a_network_says_how_to_get_the_file():
    with pytest.raises(
        ConfigurationError,
        match=r"https://weights\.test/a\.h5 cannot be downloaded: .*~/\.keras/models, .*`weights: s3://<bucket>/",
    ):
        download(Download("https://weights.test/a.h5", "0123"))
