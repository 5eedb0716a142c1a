"""NumPy's files, read back without trusting what they hold: an array of objects is a pickle, and is not loaded."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy

from include.retraining.errors import ArtifactIntegrityError

# What zip and NumPy raise on bytes that are no archive or array, are cut short, or hold objects.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
    *(ValueError, TypeError, KeyError, OverflowError, EOFError, OSError, RuntimeError),
)


def from_npz(body: bytes, uri: str) -> dict[str, np.ndarray]:
    """Returns the arrays that `np.savez` wrote, by name.

    Args:
        body: The archive.
        uri: Where it comes from, for the error.

    Raises:
        ArtifactIntegrityError: If the bytes are no archive of arrays of plain numbers or texts.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except _BROKEN as error:
        raise ArtifactIntegrityError(uri, "a NumPy archive of plain arrays", _said(error)) from error


def from_npy(body: bytes, uri: str) -> np.ndarray:
    """Returns the array that `np.save` wrote.

    Args:
        body: The file.
        uri: Where it comes from, for the error.

    Raises:
        ArtifactIntegrityError: If the bytes are no array of plain numbers or texts.
    """
    try:
        return _array(body)
    except _BROKEN as error:
        raise ArtifactIntegrityError(uri, "a NumPy file of a plain array", _said(error)) from error


def _array(body: bytes) -> np.ndarray:
    array: np.ndarray = npy.read_array(io.BytesIO(body), allow_pickle=False)
    return array


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
