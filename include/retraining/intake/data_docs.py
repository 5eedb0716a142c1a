"""Great Expectations' pages about a validation, as files in memory. Where they are published is in `acceptance.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

SITE = "batch"
INDEX = "index.html"
DECORATIVE = ".gif"  # 3.4 MB a site: animations of a guided tour that the pages are told not to show


def build_data_docs(context: Any) -> dict[str, bytes]:
    """Returns the pages of everything that was validated in a context, by file name.

    Args:
        context: A Great Expectations context.

    Side effects:
        None that stays: the pages are written to a temporary folder, which is removed.
    """
    with tempfile.TemporaryDirectory() as folder:
        context.add_data_docs_site(
            site_name=SITE,
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder},
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            },
        )
        context.build_data_docs(site_names=[SITE])
        files = [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != DECORATIVE]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}
