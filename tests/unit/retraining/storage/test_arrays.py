"""Bytes that would run code are in `tests/unit/retraining/test_untrusted_bytes.py`."""

from __future__ import annotations

import io

import numpy as np
import pytest

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.arrays import from_npy, from_npz

URI = "s3://b/k"
VALUES = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(1.5),
    "empty": np.zeros((0, 4), np.int64),
    "texts": np.array(["daisy", "ü"]),
}


def npz(**arrays: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def test_arrays_come_back_by_name_with_their_types():
    back = from_npz(npz(**VALUES), URI)

    assert list(back) == list(VALUES)
    for name, array in VALUES.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(back[name], array)


@pytest.mark.parametrize("name", VALUES)
def test_a_single_array_comes_back(name):
    assert np.array_equal(from_npy(npy(VALUES[name]), URI), VALUES[name])


def test_an_archive_is_no_array_nor_an_array_an_archive():
    with pytest.raises(
        ArtifactIntegrityError, match=f"{URI}: expected a NumPy archive of plain arrays, got BadZipFile"
    ):
        from_npz(npy(VALUES["matrix"]), URI)
    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected a NumPy file of a plain array, got ValueError"):
        from_npy(npz(**VALUES), URI)


@pytest.mark.parametrize("size", range(0, 152, 8))
def test_a_file_that_was_cut_is_refused(size):
    body = npy(VALUES["matrix"])
    assert len(body) == 152

    with pytest.raises(ArtifactIntegrityError, match=URI):
        from_npy(body[:size], URI)
