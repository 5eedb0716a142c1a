"""The Data Docs of a day: Great Expectations' pages in a plain dress, an index of ours before them, as files in memory.

Each page carries all that it shows, and no script: it can be served anywhere, even where it must load nothing. Where
they are published is in `acceptance.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader

from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED
from include.retraining.intake.reasons import Reason
from include.retraining.intake.validation.validated_tables import shifts
from include.retraining.templating import escaping_environment

if TYPE_CHECKING:
    from include.retraining.intake.drift.drift import DriftFigures
    from include.retraining.intake.summary import BatchSummary

SITE = "batch"
INDEX = "index.html"
CONTACT_SHEET = "contact_sheet.html"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Overview:
    """What the index tells before it leads further.

    Attributes:
        classifier: Name of the classifier.
        day: Day of the delivery.
        summary: What was counted over the verdicts.
        drift: Shifts against the batches before.
        warnings: One sentence a warning.
        failures: One sentence a reason to refuse the batch.
    """

    classifier: str
    day: date
    summary: BatchSummary
    drift: DriftFigures
    warnings: tuple[str, ...]
    failures: tuple[str, ...]


class PlainPageView(DefaultJinjaPageView):  # type: ignore[misc]
    """Renders Great Expectations' pages with our frame in place of theirs, which loads ten files from elsewhere."""

    def __init__(self, custom_styles_directory: str | None = None, custom_views_directory: str | None = None) -> None:
        super().__init__(custom_styles_directory, custom_views_directory)
        self.env.loader = ChoiceLoader([FileSystemLoader(TEMPLATES), self.env.loader])


def build_data_docs(context: Any, overview: Overview, contact_sheet: bytes) -> dict[str, bytes]:
    """Returns the pages of a day by file name: index, contact sheet, one validation, one suite.

    Args:
        context: A Great Expectations context that holds one suite and one validation result.
        overview: What the index tells.
        contact_sheet: A page that shows the images that are held back.

    Side effects:
        None that stays: the pages are written to a temporary folder, which is removed.

    Raises:
        RuntimeError: If Great Expectations did not render a page; it only logs that.
    """
    pages = _their_pages(context)
    validation = [name for name in pages if name.startswith("validations/")]
    suite = [name for name in pages if name.startswith("expectations/")]
    if len(validation) != 1 or len(suite) != 1:
        raise RuntimeError(f"Expected one page of a validation and one of a suite, got {sorted(pages)}.")
    index = _render_index(overview, {"validation": validation[0], "suite": suite[0], "contact_sheet": CONTACT_SHEET})
    return {INDEX: index, CONTACT_SHEET: contact_sheet, **pages}


def _their_pages(context: Any) -> dict[str, bytes]:
    view = {"module_name": PlainPageView.__module__, "class_name": PlainPageView.__name__}
    with tempfile.TemporaryDirectory() as folder:
        context.add_data_docs_site(
            site_name=SITE,
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder},
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "site_section_builders": {
                    "expectations": {"view": view},
                    "validations": {"view": view},
                },
            },
        )
        context.build_data_docs(site_names=[SITE])
        files = [path for path in Path(folder).rglob("*.html") if path != Path(folder, INDEX)]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}


def _render_index(overview: Overview, links: Mapping[str, str]) -> bytes:
    environment = escaping_environment(TEMPLATES)
    outcomes = overview.summary.outcomes
    reasons = [(code, Reason(code).meaning, n) for code, n in sorted(overview.summary.first_reasons.items())]
    return (
        environment.get_template("index.html.j2")
        .render(
            overview=overview,
            links=links,
            counts={name: outcomes[name] for name in (ACCEPTED, SKIPPED, QUARANTINED)},
            reasons=sorted(reasons, key=lambda row: -row[2]),
            shifts=list(shifts(overview.drift)),
        )
        .encode()
    )
