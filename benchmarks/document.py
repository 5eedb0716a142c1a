"""`python -m benchmarks.document`: writes docs/benchmarks.md from the results, or with `--check` compares it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import REPOSITORY, RESULTS

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
CIRCUMSTANCES = ("title", "command", "method", "versions", "cores", "commit")
HEAD = """# Benchmarks

Made by `python -m benchmarks.document` from the files in `benchmarks/results/`; do not edit. No figure stands here
without the command that gave it. Seconds depend on the machine; ratios are taken within one run.
"""


def main(arguments: list[str]) -> int:
    """Writes the document, or compares; returns the exit status."""
    text = document(RESULTS)
    if "--check" not in arguments:
        DOCUMENT.write_text(text, encoding="utf-8")
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/benchmarks.md is not what benchmarks/results gives: run `python -m benchmarks.document`.\n")
    return 1


def document(results: Path) -> str:
    """Returns the document's text, one section a result file in the order of their names."""
    sections = [_section(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(results.glob("*.json"))]
    return "\n".join([HEAD, *sections])


def _section(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    tables = {name: value for name, value in result.items() if _is_table(value)}
    figures = {name: value for name, value in result.items() if name not in tables}
    rows = [f"| `{name}` | {value} |" for name, value in _flat(figures)]
    return "\n".join(
        [
            f"## {result['title']}\n",
            f"{result['method']}\n",
            f"`{result['command']}`, {result['cores']} cores, commit `{result['commit']}`, {versions}.\n",
            *(line for name, table in tables.items() for line in _table(name, table)),
            *(["| figure | value |", "|---|---|", *rows, ""] if rows else []),
        ]
    )


def _is_table(value: Any) -> bool:
    """Tells whether a figure is a list of rows that are shown side by side: those of which each has a `features`."""
    return isinstance(value, list) and bool(value) and all(isinstance(it, Mapping) and "features" in it for it in value)


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    body = ["| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |" for row in rows]
    return [f"`{name}`:\n", *head, *body, ""]


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['mean']:.2f} ± {value['sd']:.2f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _flat(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in result.items():
        if not prefix and name in CIRCUMSTANCES:
            continue
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            value = {str(number): item for number, item in enumerate(value, start=1)}
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
