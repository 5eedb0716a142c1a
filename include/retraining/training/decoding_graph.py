"""Decodes the bytes of an image file with TensorFlow's operations alone, to the pixels that Pillow gives in training.

The pixels are the same, bit for bit, for PNG files of every kind and for grey and RGB JPEG files. Where they are not:

* JPEG in CMYK: by 1 of 255 at most, since TensorFlow rounds down.
* GIF: transparent pixels are black, not white.
* BMP: alpha is ignored; palettes of fewer than 8 bits and compressed files are an error.
* PNG of 16 bits in colour with one transparent colour (`tRNS`): that colour may be missed.
* An orientation that stands in XMP alone (`orientation_graph.py`).
* Formats that TensorFlow does not know are an error, as are broken files; an error is one of the whole batch.
"""

from __future__ import annotations

import tensorflow as tf

from include.retraining.training.orientation_graph import upright_jpeg, upright_png

_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
_GREY = 0  # colour type of a PNG
_UNCOMPRESSED = (0, 3)  # BI_RGB and BI_BITFIELDS


def decode(body: tf.Tensor) -> tf.Tensor:
    """Returns an image's pixels.

    Args:
        body: A whole PNG, JPEG, BMP or GIF file, a scalar string; of an animation the first frame counts.

    Returns:
        uint8, RGB, shape `(height, width, 3)`: upright, transparent pixels on white, 16 bits to 8.

    Raises:
        tf.errors.InvalidArgumentError: If it is no image, a broken one, or of a kind that cannot be read.
    """
    cases = [(_PNG, _decode_png), (_JPEG, _decode_jpeg), (_BMP, _decode_bmp)]
    pixels = tf.case(
        [(_begins_with(body, start), lambda decoder=decoder: decoder(body)) for start, decoder in cases],
        default=lambda: tf.io.decode_image(body, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def _begins_with(body: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.strings.substr(body, 0, len(start)) == start


def _header(body: tf.Tensor, start: int, n_bytes: int, kind: tf.DType) -> tf.Tensor:
    """Returns numbers, lowest byte first, from the beginning of a file; 0 where it is shorter than that."""
    end = start + n_bytes
    filled = tf.strings.join([tf.strings.substr(body, 0, end), bytes(end)])
    return tf.io.decode_raw(tf.strings.substr(filled, start, n_bytes), kind)


def _decode_png(body: tf.Tensor) -> tf.Tensor:
    depth, colour_type = tf.unstack(_header(body, 24, 2, tf.uint8), 2)
    pixels = tf.case(
        [
            (
                (colour_type == _GREY) & (depth == 16),
                lambda: _from_16_bits(tf.io.decode_png(body, channels=1, dtype=tf.uint16)),
            ),
            (depth < 8, lambda: _on_white(_from_few_bits(tf.io.decode_png(body, channels=4), depth))),
        ],
        default=lambda: _on_white(tf.io.decode_png(body, channels=4)),
    )
    return upright_png(pixels, body)


def _decode_jpeg(body: tf.Tensor) -> tf.Tensor:
    # By default TensorFlow takes the fast transform, which is off by up to 8 of 255.
    return upright_jpeg(tf.io.decode_jpeg(body, channels=3, dct_method="INTEGER_ACCURATE"), body)


def _decode_bmp(body: tf.Tensor) -> tf.Tensor:
    bits = _header(body, 28, 2, tf.uint16)[0]
    compression = _header(body, 30, 4, tf.int32)[0]
    check = tf.debugging.Assert(tf.reduce_any(compression == _UNCOMPRESSED), ["A compressed BMP file."])
    with tf.control_dependencies([check] if check is not None else []):
        body = tf.identity(body)
    return tf.cond(bits == 8, lambda: _from_palette(body), lambda: tf.io.decode_image(body, channels=3))


def _from_palette(body: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a BMP file with one byte a pixel; TensorFlow by itself takes it for a grey value."""
    header_bytes = tf.io.decode_raw(tf.strings.substr(body, 14, 4), tf.int32)[0]
    entries = tf.io.decode_raw(tf.strings.substr(body, 14 + header_bytes, 256 * 4), tf.uint8)
    blue_green_red = tf.reshape(entries[: tf.size(entries) // 4 * 4], (-1, 4))[:, :3]
    return tf.gather(tf.reverse(blue_green_red, [1]), tf.cast(tf.io.decode_bmp(body)[..., 0], tf.int32))


def _from_16_bits(grey: tf.Tensor) -> tf.Tensor:
    """Returns grey values of 16 bits, `(height, width, 1)`, divided by 257 and rounded, in three channels."""
    return tf.tile(tf.cast((tf.cast(grey, tf.int32) + 128) // 257, tf.uint8), (1, 1, 3))


def _from_few_bits(rgba: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Returns RGBA of a PNG of fewer than 8 bits a pixel; where it has no alpha, TensorFlow fills in 2 ** bits - 1."""
    alpha = rgba[..., 3:]
    filling = tf.bitwise.left_shift(tf.constant(1, tf.uint8), depth) - 1
    return tf.concat([rgba[..., :3], tf.where(tf.reduce_all(alpha == filling), 255 * tf.ones_like(alpha), alpha)], -1)


def _on_white(rgba: tf.Tensor) -> tf.Tensor:
    """Returns RGBA pixels composited on white, by Pillow's integer arithmetic.

    References:
        Pillow, `src/libImaging/AlphaComposite.c`, where the lower image is opaque.
    """
    wide = tf.cast(rgba, tf.int32)
    colour, alpha = wide[..., :3], wide[..., 3:]
    mixed = (colour * alpha + 255 * (255 - alpha) + 128) * 128
    shift = tf.bitwise.right_shift
    return tf.cast(shift(shift(shift(mixed, 8) + mixed, 8), 7), tf.uint8)
