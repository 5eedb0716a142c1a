"""A document as Markdown in GitHub's dialect. Whatever a value holds is text, and never markup or a link."""

from __future__ import annotations

import re
from functools import singledispatch

from include.retraining.reporting.document import (
    Bullets,
    Code,
    Document,
    Facts,
    Listing,
    Paragraph,
    Section,
    Table,
    Text,
)

_MARKUP = re.compile(r"[\\`*_\[\]<>|~&#@!]")
_PLAIN_CODE = re.compile(r"[A-Za-z0-9 ._:/+=,-]+")
_LINK = re.compile(r"(?i)(:(?=//)|(?<=www)\.)")
_BLOCK = re.compile(r"^([-+=]+|\d+[.)])(?=\s|$|[-+=])")


def to_markdown(document: Document) -> str:
    """Returns a document as Markdown, equal for equal documents."""
    blocks = [f"# {escape(document.title)}", escape(document.lead)]
    blocks += [block for section in document.sections for block in _section(section)]
    return "\n\n".join([*blocks, f"---\n\n{escape(document.foot)}"]) + "\n"


def escape(text: str) -> str:
    r"""Returns text as Markdown that shows just this text, in one line.

    Example:
        >>> print(escape("a|b `c` <img> https://x.y"))
        a\|b \`c\` \<img\> https\://x.y
    """
    line = " ".join("".join(it if it.isprintable() else " " for it in text).split())
    line = _MARKUP.sub(lambda found: f"\\{found[0]}", line)
    line = _LINK.sub(lambda found: f"\\{found[0]}", line)
    return _BLOCK.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line)


def _section(section: Section) -> list[str]:
    return [f"## {escape(section.title)}", *(_block(part) for part in section.parts)]


@singledispatch
def _block(part: object) -> str:
    raise TypeError(f"Expected a part of a document; got {type(part).__name__}.")


@_block.register
def _paragraph(part: Paragraph) -> str:
    return escape(part.text)


@_block.register
def _facts(part: Facts) -> str:
    return "\n".join(f"- {escape(name)}: {_text(value)}" for name, value in part.rows)


@_block.register
def _bullets(part: Bullets) -> str:
    return "\n".join(f"- {escape(item)}" for item in part.items)


@_block.register
def _listing(part: Listing) -> str:
    return f"```{part.language}\n{part.text}\n```"


@_block.register
def _table(part: Table) -> str:
    ruler = ("---" if place < part.n_left else "---:" for place in range(len(part.columns)))
    lines = (map(escape, part.columns), ruler, *(map(_text, row) for row in part.rows))
    return "\n".join([f"{escape(part.caption)}:", "", *(f"| {' | '.join(cells)} |" for cells in lines)])


def _text(text: Text) -> str:
    """Returns a value; an identifier that holds more than identifiers do is shown as words."""
    if isinstance(text, Code) and _PLAIN_CODE.fullmatch(text.text):
        return f"`{text.text}`"
    return escape(text.text if isinstance(text, Code) else text)
