"""Whether an image file has the end that its format asks for; decoders are content with less. No pixel is read."""

from __future__ import annotations

_PNG_END = b"IEND\xae\x42\x60\x82"
_GIF_TRAILER, _GIF_IMAGE, _GIF_EXTENSION = 0x3B, 0x2C, 0x21
_GIF_TABLE = 0x80  # flag: a colour table follows, of 2 to the power of (1 + the lowest three bits) colours


def is_complete(format: str, body: bytes) -> bool:
    """Tells whether a file has its end; bytes behind it do no harm.

    Pillow decodes a PNG or GIF whose first frame is whole, though more was to follow. Of the other formats it refuses
    what is cut off.

    Args:
        format: As Pillow names it.
        body: The file, of which the header was read already.
    """
    if format == "PNG":
        return _PNG_END in body
    return format != "GIF" or _has_gif_trailer(body)


def _has_gif_trailer(body: bytes) -> bool:
    """Walks over the blocks to the trailer (GIF89a specification, appendix B)."""
    try:
        position = 13 + _table_bytes(body[10])
        while body[position] != _GIF_TRAILER:
            if body[position] == _GIF_IMAGE:
                position = _behind_sub_blocks(body, position + 11 + _table_bytes(body[position + 9]))
            elif body[position] == _GIF_EXTENSION:
                position = _behind_sub_blocks(body, position + 2)
            else:
                return False
    except IndexError:
        return False
    return True


def _table_bytes(flags: int) -> int:
    return 3 << (1 + (flags & 7)) if flags & _GIF_TABLE else 0


def _behind_sub_blocks(body: bytes, position: int) -> int:
    while (size := body[position]) != 0:
        position += 1 + size
    return position + 1
