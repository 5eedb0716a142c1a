"""Numbers that say what a picture shows: brightness, contrast, sharpness, perceptual hash. No number is judged here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

NEAR_CONSTANT_CONTRAST = 0.004
"""Below it a picture shows next to nothing: its standard deviation is one grey level of 255."""

HASH_BITS = 256
_HASH_INPUT = 32  # side of the picture that is transformed
_HASH_SIDE = 16  # lowest frequencies of each axis
_COEFFICIENT_DECIMALS = 6
_BAND_PIXELS = 2**18  # a large picture's Laplacian is taken in bands that fit into a processor's cache
_LEVELS = np.arange(256, dtype=np.int64)


@dataclass(frozen=True)
class Measurements:
    """What a picture shows, in numbers.

    Attributes:
        perceptual_hash: 256 bits in hexadecimal; empty where near-constant, since it would be a hash of noise.
        brightness: Mean of the grey picture, in [0, 1].
        contrast: Its standard deviation, in [0, 0.5].
        sharpness: Variance of its Laplacian, of values 0 to 255; 0 for pictures of less than 3 × 3 pixels.
        near_constant: Whether the contrast is below `NEAR_CONSTANT_CONTRAST`.
    """

    perceptual_hash: str
    brightness: float
    contrast: float
    sharpness: float
    near_constant: bool


def measure(picture: Image.Image) -> Measurements:
    """Returns the measurements of a picture, at its full size.

    Args:
        picture: Mode RGB. Grey is luma by ITU-R BT.601, as Pillow converts.
    """
    grey = picture.convert("L")
    brightness, contrast = _brightness_and_contrast(grey)
    near_constant = contrast < NEAR_CONSTANT_CONTRAST
    return Measurements(
        perceptual_hash="" if near_constant else perceptual_hash(grey),
        brightness=round(brightness, 4),
        contrast=round(contrast, 4),
        sharpness=round(laplacian_variance(np.asarray(grey)), 2),
        near_constant=near_constant,
    )


def laplacian_variance(grey: np.ndarray) -> float:
    """Returns the variance of the 4-neighbour Laplacian over the inner pixels: small where a picture is blurred.

    Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy: a comparative study". Sums are whole
    numbers, so that the result is the same on every machine.

    Args:
        grey: uint8, shape `(height, width)`.

    Returns:
        At least 0; 0 where there is no inner pixel.
    """
    height, width = grey.shape
    count = (height - 2) * (width - 2)
    if height < 3 or width < 3:
        return 0.0
    total = squares = 0.0  # whole numbers below 2**53
    rows = max(1, _BAND_PIXELS // width)
    for start in range(0, height - 2, rows):
        band = grey[start : start + rows + 2].astype(np.float64)
        laplacian = band[:-2, 1:-1] + band[2:, 1:-1]
        laplacian += band[1:-1, :-2]
        laplacian += band[1:-1, 2:]
        laplacian -= 4 * band[1:-1, 1:-1]
        total += float(laplacian.sum())
        laplacian *= laplacian  # not a dot product: for one of this length BLAS starts threads
        squares += float(laplacian.sum())
    return float((squares - total * total / count) / count)


def perceptual_hash(grey: Image.Image) -> str:
    """Returns the DCT hash of a picture: it changes in few bits when the picture is scaled, or saved with loss.

    The picture is scaled to 32 × 32, and a bit tells for each of its 16 × 16 lowest frequencies whether it is above
    their median. Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.1, with
    256 bits instead of 64 to tell small pictures apart.

    Args:
        grey: Mode L.

    Returns:
        64 hexadecimal digits, the lowest frequencies first.
    """
    scaled = grey.resize((_HASH_INPUT, _HASH_INPUT), Image.Resampling.LANCZOS)
    frequencies = _COSINES @ np.asarray(scaled, dtype=np.float64) @ _COSINES.T
    # Frequencies that a symmetric picture lacks are 0 but for the last digits, which differ between machines.
    flat = frequencies.round(_COEFFICIENT_DECIMALS).ravel()
    ordered = np.sort(flat)
    median = (ordered[HASH_BITS // 2 - 1] + ordered[HASH_BITS // 2]) / 2
    return np.packbits(flat > median).tobytes().hex()


def _brightness_and_contrast(grey: Image.Image) -> tuple[float, float]:
    """Returns mean and standard deviation over 255, from whole numbers."""
    histogram = np.array(grey.histogram(), dtype=np.int64)
    count = grey.width * grey.height
    total, squares = int(histogram @ _LEVELS), int(histogram @ (_LEVELS * _LEVELS))
    variance = (squares * count - total * total) / (count * count)
    return total / count / 255, variance**0.5 / 255


def _dct_rows() -> np.ndarray:
    """Returns the first rows of the orthonormal DCT-II matrix, shape `(16, 32)`."""
    frequency, position = np.arange(_HASH_SIDE)[:, np.newaxis], np.arange(_HASH_INPUT)
    cosines = np.cos(np.pi * frequency * (2 * position + 1) / (2 * _HASH_INPUT))
    cosines[0] /= np.sqrt(2)
    rows: np.ndarray = cosines * np.sqrt(2 / _HASH_INPUT)
    return rows


_COSINES = _dct_rows()
