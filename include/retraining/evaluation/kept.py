"""Results that are computed once: whoever comes second, a retry or another run at the same time, gets the first's."""

from __future__ import annotations

import logging
from collections.abc import Callable

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import (
    MANIFEST,
    Manifest,
    content_type_of,
    get_verified,
    read_manifest,
    read_manifest_if_any,
    sha256,
)

logger = logging.getLogger(__name__)


def kept_once(store: ObjectStore, prefix: str, file: str, compute: Callable[[], bytes]) -> bytes:
    """Returns what is kept under a prefix, computing and keeping it if nothing is.

    Unlike `publish`, it is for results that differ from one computation to the next, as times do, and as the last
    digits of probabilities do between kinds of hardware.

    Args:
        store: Where it is kept.
        prefix: Ends in a slash; belongs to this result alone.
        file: What the name of the file ends in, such as `scores.npy`.
        compute: Gives the result; called only if none is kept.

    Side effects:
        Writes the file under a name that its digest begins, then the manifest, unless there is one by then.

    Raises:
        ArtifactIntegrityError: If what is kept is missing or not what was written.
    """
    manifest = read_manifest_if_any(store, prefix)
    if manifest is None:
        manifest = _keep(store, prefix, file, compute())
    else:
        logger.info("kept already, not computed again uri=%s", uri_of(store, prefix))
    if len(manifest.files) != 1:
        raise ArtifactIntegrityError(uri_of(store, prefix), "one file", f"{len(manifest.files)} files")
    ((name, digest),) = manifest.files.items()
    return get_verified(store, f"{prefix}{name}", digest)


def _keep(store: ObjectStore, prefix: str, file: str, body: bytes) -> Manifest:
    digest = sha256(body)
    name = f"{digest[:16]}-{file}"  # two writers with different results write different files
    store.put(f"{prefix}{name}", body, content_type=content_type_of(name))
    manifest = Manifest({name: digest})
    if store.replace(f"{prefix}{MANIFEST}", manifest.to_json(), etag=None):
        return manifest
    return read_manifest(store, prefix)
