"""The Jinja environment of every page: everything is escaped, and numbers look the same everywhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from jinja2 import Environment

from include.retraining.intake.names import shown_name
from include.retraining.templating import escaping_environment

TEMPLATES = Path(__file__).parent / "templates"
UNDEFINED = "–"


def make_environment(*directories: Path) -> Environment:
    """Builds the environment over some directories and, last, the shared templates of this package."""
    environment = escaping_environment(*directories, TEMPLATES)
    environment.filters.update(
        count=count,
        score=score,
        percent=percent,
        difference=difference,
        signed=signed,
        figure=figure,
        megabytes=megabytes,
        moment=moment,
        words=words,
        name=shown_name,
    )
    return environment


def count(value: int) -> str:
    """Returns a whole number with thousands apart."""
    return f"{value:,}"


def score(value: float | None) -> str:
    """Returns a metric with four digits, or a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:.4f}"


def percent(share: float | None) -> str:
    """Returns a share in [0, 1] as percent, or a dash where it is undefined."""
    return UNDEFINED if share is None else f"{100 * share:.1f}\u00a0%"


def difference(value: float | None, reference: float | None) -> str:
    """Returns how much a metric is above a reference, signed, or a dash where one is undefined."""
    if value is None or reference is None:
        return UNDEFINED
    return signed(value - reference)


def signed(value: float | None) -> str:
    """Returns a difference with its sign and four digits, or a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:+.4f}".replace("-", "−")


def figure(value: float | None) -> str:
    """Returns what a gate compares: a share or a difference with four digits, larger numbers with at most two."""
    if value is None:
        return UNDEFINED
    text = f"{value:.4f}" if abs(value) < 2 and value else f"{value:,.2f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def megabytes(size: int) -> str:
    """Returns a number of bytes in units of a million."""
    return f"{size / 1e6:,.1f}\u00a0MB"


def moment(value: datetime) -> str:
    """Returns a moment to the minute; every moment of the project is in UTC."""
    return f"{value:%Y-%m-%d %H:%M} UTC"


def words(name: str) -> str:
    """Returns an identifier as words."""
    return name.replace("_", " ")
