from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from demo import fashion_mnist
from demo.fashion_mnist import FILES, IdxFile, cache_directory, fetch_with_apt, is_cached, load, read_idx
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage.publishing import sha256

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def idx_body(array: np.ndarray, *, kind: int = 0x08) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def write_idx(directory: Path, body: bytes, shape: tuple[int, ...], name: str = "pixels.gz") -> IdxFile:
    (directory / name).write_bytes(gzip.compress(body))
    return IdxFile(name, shape, sha256(body))


def test_an_idx_file_is_read_with_its_shape(tmp_path):
    file = write_idx(tmp_path, idx_body(PIXELS), PIXELS.shape)

    read = read_idx(tmp_path / file.name, file)

    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, PIXELS)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        pytest.param(idx_body(PIXELS), (2, 4, 3), id="other shape"),
        pytest.param(idx_body(PIXELS), (2, 3), id="other rank"),
        pytest.param(idx_body(PIXELS, kind=0x0D), PIXELS.shape, id="floats"),
        pytest.param(idx_body(PIXELS)[:-1], PIXELS.shape, id="too short"),
        pytest.param(idx_body(PIXELS) + b"0", PIXELS.shape, id="too long"),
        pytest.param(b"", PIXELS.shape, id="empty"),
    ],
)
def test_another_header_or_length_is_refused_even_where_the_digest_agrees(tmp_path, body, shape):
    file = write_idx(tmp_path, body, shape)

    with pytest.raises(ArtifactIntegrityError, match="unsigned bytes of shape"):
        read_idx(tmp_path / file.name, file)


def test_other_content_is_refused_by_its_digest(tmp_path):
    file = write_idx(tmp_path, idx_body(PIXELS), PIXELS.shape)
    write_idx(tmp_path, idx_body(PIXELS + 1), PIXELS.shape)

    with pytest.raises(ArtifactIntegrityError, match=file.sha256):
        read_idx(tmp_path / file.name, file)


def test_what_is_not_gzip_is_refused(tmp_path):
    (tmp_path / "pixels.gz").write_bytes(b"<html>not found</html>")

    with pytest.raises(ArtifactIntegrityError, match="gzipped IDX file"):
        read_idx(tmp_path / "pixels.gz", IdxFile("pixels.gz", (1,), "0" * 64))


@pytest.fixture
def tiny_files(tmp_path, monkeypatch):
    """Four tiny files in the place of the real ones, and a source that brings them."""
    origin = tmp_path / "origin"
    origin.mkdir()
    arrays = {file.name: PIXELS if "images" in file.name else PIXELS[:, 0, 0] for file in FILES}
    files = tuple(write_idx(origin, idx_body(array), array.shape, name) for name, array in arrays.items())
    monkeypatch.setattr(fashion_mnist, "FILES", files)

    def source(target: Path) -> str:
        for file in files:
            (target / file.name).write_bytes((origin / file.name).read_bytes())
        return ""

    return source


def test_the_second_load_asks_no_source(tmp_path, tiny_files):
    cache = tmp_path / "cache"
    first = load(cache, [tiny_files])

    second = load(cache, [])

    np.testing.assert_array_equal(first.train_images, PIXELS)
    np.testing.assert_array_equal(second.test_labels, first.test_labels)
    assert is_cached(cache)


def test_the_next_source_is_asked_where_one_fails(tmp_path, tiny_files):
    data = load(tmp_path / "cache", [lambda _: "apt: there is no apt-get", tiny_files])

    np.testing.assert_array_equal(data.test_images, PIXELS)


def test_without_any_source_the_error_names_all_reasons_and_both_ways_out(tmp_path):
    cache = tmp_path / "cache"

    with pytest.raises(ConfigurationError) as caught:
        load(cache, [lambda _: "apt: no lists", lambda _: "keras.datasets: no network"])

    assert "apt: no lists; keras.datasets: no network" in str(caught.value)
    assert "dataset-fashion-mnist" in caught.value.cure
    assert "Keras" in caught.value.cure
    assert str(cache) in caught.value.cure
    assert list(cache.iterdir()) == []


def test_a_source_that_brings_other_files_leaves_none_in_the_cache(tmp_path, tiny_files):
    cache = tmp_path / "cache"

    def wrong(target: Path) -> str:
        tiny_files(target)
        (target / FILES[-1].name).write_bytes(gzip.compress(b"something else"))
        return ""

    with pytest.raises(ConfigurationError, match="expected sha256"):
        load(cache, [wrong])

    assert list(cache.iterdir()) == []


def test_without_apt_the_package_is_not_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "no apt-get" in fetch_with_apt(tmp_path)


def test_missing_package_lists_are_named_in_the_reason(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    script = "#!/bin/sh\necho 'E: Unable to locate package dataset-fashion-mnist' >&2\nexit 100\n"
    for name in ("apt-get", "dpkg"):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))

    reason = fetch_with_apt(tmp_path)

    assert "apt-get failed with status 100: E: Unable to locate package" in reason
    assert "`apt-get update`" in reason


def test_the_cache_is_where_the_variable_says():
    assert cache_directory({"RETRAIN_CACHE_DIR": "/var/cache/retrain"}) == Path("/var/cache/retrain/fashion-mnist")
    assert cache_directory({}).parts[-2:] == (".cache", "fashion-mnist")
