"""A plain document as a value: what a model card says, apart from how Markdown and HTML write it.

Every text is taken literally; whoever renders escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """An identifier: a digest, the name of a file or of a version."""

    text: str


Text = str | Code


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names with a value each."""

    rows: tuple[tuple[str, Text], ...]


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """Lines of code.

    Attributes:
        language: Its name in Markdown.
        text: The lines.
    """

    language: str
    text: str


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        columns: Headings.
        rows: Cells, as many a row as there are headings.
        n_left: How many columns, from the left, are words; the others are numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    n_left: int = 1


Part = Paragraph | Facts | Bullets | Listing | Table


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Document:
    """All of it.

    Attributes:
        title: Its heading.
        lead: The sentence that nobody must miss.
        sections: What follows.
        foot: What it was made of.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    foot: str
