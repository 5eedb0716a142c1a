"""The project's documents, and what of Markdown their tests need to read."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


def read(path: str) -> str:
    """Returns a file of the repository."""
    return (REPOSITORY / path).read_text(encoding="utf-8")


def name_of(document: Path) -> str:
    """Returns how a document is called in a test's name."""
    return document.relative_to(REPOSITORY).as_posix()


def prose(text: str) -> str:
    """Returns a document without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def code_lines(text: str) -> list[str]:
    """Returns the lines of a document's code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def code_spans(text: str) -> list[str]:
    """Returns what stands between backticks in a document's prose."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def links(text: str) -> list[str]:
    """Returns the targets of a document's links, without those to other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Returns the anchors that a document's headings get."""
    headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
