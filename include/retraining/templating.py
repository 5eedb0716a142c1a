"""How every page of the project is rendered: all values are escaped, unknown ones are errors. No page is here."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def escaping_environment(*directories: Path) -> Environment:
    """Builds a Jinja environment over some directories, the first that has a template first."""
    return Environment(
        loader=FileSystemLoader(directories),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
