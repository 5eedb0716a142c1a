"""Whether a version was trained on none of the rows that it is tested on.

Splits are decided once for each image, so it always holds unless somebody changed what is stored. Then a test would be
worth nothing, and nobody would see it: so it is looked at, for the champion in the snapshot that it was trained from.
"""

from __future__ import annotations

import pandas as pd

from include.retraining.artifacts import Lineage
from include.retraining.dataset.snapshot import IMAGES
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.run import Run
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import from_parquet

SHOWN = 3


def trained_images(rows: pd.DataFrame) -> pd.Series:
    """Returns the image ids that a model learned from, or that it was chosen and calibrated by: all but the test rows.

    Args:
        rows: A frozen dataset; `image_id` and `split` are enough.
    """
    ids: pd.Series = rows.loc[rows["split"] != "test", "image_id"]
    return ids


def images_of_lineage(run: Run, lineage: Lineage) -> pd.Series:
    """Returns the image ids that an older version was trained on, from the snapshot that its lineage names.

    Raises:
        ArtifactIntegrityError: If that snapshot is gone, or is not the one that the lineage names.
    """
    key = f"{layout.snapshot(run.classifier, lineage.snapshot_digest)}{IMAGES}"
    uri = uri_of(run.store, key)
    try:
        body = run.store.get(key)
    except KeyError as error:
        raise ArtifactIntegrityError(uri, "the snapshot that the version was trained from", "no object") from error
    # The lineage names the content, so that a manifest beside it, which could be forged as well, is not asked.
    if not lineage.snapshot_digest or not sha256(body).startswith(lineage.snapshot_digest):
        raise ArtifactIntegrityError(uri, f"sha256 {lineage.snapshot_digest}…", f"sha256 {sha256(body)}")
    return trained_images(from_parquet(body, SNAPSHOT, uri, columns=["image_id", "split"]))


def require_unseen(run: Run, test_rows: pd.DataFrame, trained: pd.Series, *, version: str) -> None:
    """Stops where a version was trained on rows that it is to be tested on.

    Args:
        run: Whose test rows they are.
        test_rows: Schema `SNAPSHOT`.
        trained: Image ids that the version was trained on.
        version: Its name.

    Raises:
        ConfigurationError: If it was; a few of the image ids are named.
    """
    seen = test_rows.loc[test_rows["image_id"].isin(trained), "image_id"]
    if seen.empty:
        return
    more = ", …" if len(seen) > SHOWN else ""
    raise ConfigurationError(
        f"classifier {run.classifier}, test split",
        f"version {version} was trained on {len(seen)} of the {len(test_rows)} test images, so that its test is worth "
        f"nothing: {', '.join(seen[:SHOWN])}{more}. The split of an image is decided once and for ever: somebody "
        "changed or removed stored batches, or accepted their images anew under other splits",
        "Restore the batches from a backup; or give the classifier with its new splits a name of its own",
    )


def require_own_snapshot(lineage: Lineage, digest: str, *, uri: str) -> None:
    """Refuses a challenger that says that it was made from another snapshot than its run's.

    Args:
        lineage: The challenger's.
        digest: Of the run's snapshot.
        uri: Of the lineage, for the error.

    Raises:
        ArtifactIntegrityError: If the snapshots are two.
    """
    if lineage.snapshot_digest != digest:
        raise ArtifactIntegrityError(uri, f"snapshot {digest}, the run's", f"snapshot {lineage.snapshot_digest}")
