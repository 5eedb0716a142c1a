"""One page that shows the most doubtful images. All of them are listed in the CSV of `doubt_list.py`.

The page carries all that it shows and runs nothing. Keys and labels are what somebody delivered: all is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment

from include.retraining.artifacts import LabelDoubt
from include.retraining.intake.names import shown_name
from include.retraining.templating import escaping_environment

TEMPLATES = Path(__file__).parent / "templates"
MOST_SHOWN = 60


def doubt_sheet(classifier: str, doubts: Sequence[LabelDoubt], *, n_rows: int, n_doubted: int, csv_name: str) -> bytes:
    """Returns the page as one HTML document that loads nothing from elsewhere; equal for equal doubts.

    Args:
        classifier: Name of the classifier.
        doubts: The most doubtful images, with their pictures; the first `MOST_SHOWN` are shown.
        n_rows: Images looked at.
        n_doubted: Images doubted.
        csv_name: Name of the list of all, in the same folder.
    """
    page = (
        _environment()
        .get_template("label_doubts.html.j2")
        .render(
            classifier=classifier,
            doubts=doubts[:MOST_SHOWN],
            n_rows=n_rows,
            n_doubted=n_doubted,
            csv_name=csv_name,
        )
    )
    return page.encode()


@cache
def _environment() -> Environment:
    environment = escaping_environment(TEMPLATES)
    environment.filters.update(count="{:,}".format, probability="{:.3f}".format, name=shown_name)
    return environment
