"""Pictures that a run stored, as `data:` URIs: the report loads nothing from elsewhere, so it carries them itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining.storage.base import ObjectStore, key_of

MOST_CHARACTERS = 3_000_000
"""What all pictures of a page may take, base64 included: beyond it a browser on a phone would feel the page."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as a page shows it.

    Attributes:
        uri: Where it is stored.
        source: A `data:` URI; empty where it is not shown.
        absence: Why it is not shown; empty where it is.
    """

    uri: str
    source: str
    absence: str = ""


def embed_pictures(
    store: ObjectStore, uris: Sequence[str], *, most_characters: int = MOST_CHARACTERS
) -> dict[str, EmbeddedPicture]:
    """Reads stored PNG files; one that cannot be shown is named with the reason, not fatal.

    Args:
        store: Where from.
        uris: Of the pictures, the most important first: they share the room in this order.
        most_characters: What all of them may take.

    Returns:
        By URI, in the order given.
    """
    too_large = f"left out: the pictures of the page would take more than {most_characters:,} bytes"
    room = most_characters
    pictures: dict[str, EmbeddedPicture] = {}
    for uri in uris:
        picture = _embed(store, uri)
        pictures[uri] = EmbeddedPicture(uri, "", too_large) if len(picture.source) > room else picture
        room -= len(pictures[uri].source)
    return pictures


def _embed(store: ObjectStore, uri: str) -> EmbeddedPicture:
    try:
        body = store.get(key_of(store, uri))
    except KeyError:
        return EmbeddedPicture(uri, "", "it is not in the store any more")
    except ValueError as error:
        return EmbeddedPicture(uri, "", str(error))
    if not body.startswith(_PNG):
        return EmbeddedPicture(uri, "", "what is stored there is no PNG file")
    return EmbeddedPicture(uri, f"data:image/png;base64,{base64.b64encode(body).decode()}")
