"""How a delivered name is stored and shown: it may hold anything. What a name means as a key is in `listing.py`."""

from __future__ import annotations

import re

from include.retraining.storage.publishing import sha256

LONGEST_STORED = 100
LONGEST_SHOWN = 120


def safe_name(name: str) -> str:
    """Returns a file name of harmless characters that is unique to a name.

    Example:
        >>> safe_name("incoming/flowers/2026-01-02/a b.png")
        'cfa85d302e9438ca-a_b.png'
    """
    tail = re.sub(r"[^A-Za-z0-9._-]+", "_", name.rpartition("/")[2])[-LONGEST_STORED:]
    return f"{sha256(name.encode())[:16]}-{tail}"


def shown_name(name: str) -> str:
    r"""Returns a name as a person may see it: what is not printable is escaped, what is too long is cut.

    Control characters steer terminals, and marks of writing direction make a name look like another.

    Example:
        >>> print(shown_name("a\x1b[2J\n.png"))
        a\x1b[2J\n.png
    """
    printable = "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in name)
    return printable if len(printable) <= LONGEST_SHOWN else f"{printable[: LONGEST_SHOWN - 1]}…"
