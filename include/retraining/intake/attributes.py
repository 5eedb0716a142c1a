"""The attributes of an image: what a manifest says of it in other columns than the known ones, kept as one text."""

from __future__ import annotations

import json
from collections.abc import Mapping

MAXIMUM_NUMBER = 32
MAXIMUM_CHARACTERS = 200


def attributes_text(values: Mapping[str, str]) -> str:
    """Returns attributes as a table holds them, equal for equal ones whatever their order.

    Args:
        values: Text by column; a column without text is left out.

    Returns:
        A JSON object of texts with sorted keys and no spaces; empty where there are no attributes.

    Raises:
        ValueError: If there are too many, or one is too long; the message goes on after the number of a line.

    Example:
        >>> attributes_text({"site": "north", "camera": "3", "note": ""})
        '{"camera":"3","site":"north"}'
    """
    said = {name: text for name, text in values.items() if text}
    if len(said) > MAXIMUM_NUMBER:
        raise ValueError(
            f"says {len(said)} things beside image, label, group and split, and {MAXIMUM_NUMBER} are kept at most: "
            "leave out the columns that nobody compares models by"
        )
    for name, text in said.items():
        if len(text) > MAXIMUM_CHARACTERS:
            raise ValueError(
                f"has {len(text)} characters as {name!r}, and {MAXIMUM_CHARACTERS} are kept at most: "
                "shorten them or leave out the column"
            )
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if said else ""


def attributes_of(text: str) -> dict[str, str]:
    """Returns the attributes that a table holds as a text: text by column, empty ones left out."""
    return {str(name): str(value) for name, value in json.loads(text).items()} if text else {}
