"""Turns a picture upright as its file's EXIF says, with TensorFlow's operations alone: part of the served graph.

Pillow does the same for training (`pictures.py`). Not here: an orientation that a file states in XMP alone, or in a
PNG's text, which Pillow reads too.
"""

from __future__ import annotations

import tensorflow as tf

ORIENTATION = 274  # the tag, of type SHORT in any file that follows the standard
_SHORT = 3
# Exif is a JPEG's first or second segment; a segment has at most 64 KiB.
_SEARCHED_BYTES = 2**17
_TRANSPOSED_FROM = 5
_MIRRORED, _UPSIDE_DOWN = (2, 3, 6, 7), (3, 4, 7, 8)  # after the transposition, if there is one


def upright_jpeg(pixels: tf.Tensor, body: tf.Tensor) -> tf.Tensor:
    """Returns the pixels `(height, width, channels)` of a JPEG file, a scalar string, as a viewer would show them."""
    return _upright(pixels, _orientation(tf.strings.substr(body, 0, _SEARCHED_BYTES), b"Exif\0\0"))


def upright_png(pixels: tf.Tensor, body: tf.Tensor) -> tf.Tensor:
    """Returns the pixels `(height, width, channels)` of a PNG file, a scalar string, as a viewer would show them."""
    return _upright(pixels, _orientation(body, b"eXIf"))


def _upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    pixels = tf.transpose(pixels, tf.where(orientation >= _TRANSPOSED_FROM, [1, 0, 2], [0, 1, 2]))
    reversals = [tf.reduce_any(orientation == which) for which in (_UPSIDE_DOWN, _MIRRORED)]
    return tf.reverse(pixels, tf.boolean_mask([0, 1], reversals))


def _orientation(body: tf.Tensor, marker: bytes) -> tf.Tensor:
    """Returns the orientation, 1 to 8, a scalar int64; 1 where nothing that can be read says otherwise.

    Args:
        body: A file, or its beginning.
        marker: What EXIF begins with: then comes a header as of TIFF files.

    References:
        Exif 2.32, section 4.5.2; TIFF 6.0, section 2.
    """
    raw = tf.concat([tf.io.decode_raw(body, tf.uint8), tf.zeros(16, tf.uint8)], axis=0)  # beyond the end there is 0
    start = _position(raw, marker)
    header = start + len(marker)
    order = _numbers(raw, header, 4, is_little=tf.constant(True))
    is_little = order == int.from_bytes(b"II*\0", "little")
    is_exif = (start >= 0) & (is_little | (order == int.from_bytes(b"MM\0*", "little")))
    directory = header + _numbers(raw, header + 4, 4, is_little=is_little)
    entries = directory + 2 + 12 * tf.range(_numbers(raw, directory, 2, is_little=is_little))
    is_orientation = (_numbers(raw, entries, 2, is_little=is_little) == ORIENTATION) & (
        _numbers(raw, entries + 2, 2, is_little=is_little) == _SHORT
    )
    values = tf.boolean_mask(_numbers(raw, entries + 8, 2, is_little=is_little), is_orientation)
    value = tf.concat([values, [1]], axis=0)[0]
    return tf.where(is_exif & (value >= 1) & (value <= 8), value, 1)


def _position(raw: tf.Tensor, marker: bytes) -> tf.Tensor:
    """Returns where bytes first have a marker, a scalar int64; -1 where they have none."""
    length = tf.size(raw) - len(marker)
    matches = [raw[index : length + index] == byte for index, byte in enumerate(marker)]
    found = tf.where(tf.reduce_all(matches, axis=0))[:, 0]
    return tf.concat([found, [-1]], axis=0)[0]


def _numbers(raw: tf.Tensor, at: tf.Tensor, n_bytes: int, *, is_little: tf.Tensor) -> tf.Tensor:
    """Returns the unsigned numbers of some bytes each at positions, int64 of the positions' shape; 0 beyond the end."""
    places = tf.clip_by_value(at[..., tf.newaxis] + tf.range(n_bytes, dtype=tf.int64), 0, tf.size(raw, tf.int64) - 1)
    weights = [256**index for index in range(n_bytes)]
    digits = tf.cast(tf.gather(raw, places), tf.int64)
    in_order = tf.where(is_little, tf.constant(weights, tf.int64), tf.constant(weights[::-1], tf.int64))
    return tf.reduce_sum(digits * in_order, axis=-1)
