"""The images of a dataset: where their bytes can be read, and the bytes, as intake accepted them.

How requests are planned and made ahead is in `fetching.py`; how packs come to be is in `packs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from include.retraining.artifacts import ImageRef
from include.retraining.dataset.fetching import fetched
from include.retraining.packs import locate
from include.retraining.pictures import decode_image
from include.retraining.storage.base import ObjectStore


def image_refs(store: ObjectStore, classifier: str, rows: pd.DataFrame) -> list[ImageRef]:
    """Returns where the bytes of images can be read, in the order of the rows.

    Args:
        store: Where the packs are looked for, those of the rows' days only.
        classifier: Whose images they are.
        rows: Schema `SNAPSHOT`.
    """
    refs: list[ImageRef | None] = [None] * len(rows)
    for day, positions in rows.groupby("date", sort=True).indices.items():
        of_day = rows.iloc[positions]
        digests = list(of_day["bytes_sha256"])
        places = locate(store, classifier, day, digests)
        columns = (positions, of_day["image_id"], of_day["key"], digests, places)
        for position, image_id, key, digest, place in zip(*columns, strict=True):
            where = (place.pack, place.offset, place.size_bytes) if place else ()
            refs[position] = ImageRef(image_id, key, digest, *where)
    return [ref for ref in refs if ref is not None]


def locality_order(refs: Sequence[ImageRef]) -> list[ImageRef]:
    """Returns images as they lie in the store: those of a pack together, so that it is read once and whole."""
    return sorted(refs, key=lambda ref: (ref.pack, ref.offset, ref.key))


def read_bodies(store: ObjectStore, refs: Sequence[ImageRef]) -> Iterator[bytes]:
    """Yields the files of images in the order asked for, each as intake accepted it.

    An image is read from its pack where enough others near it in `refs` are in the same one, else, or where the pack is
    missing or damaged, from the delivered object. A pack has the accepted bytes even where the delivered object was
    changed or deleted since: then they are read all the same. Threads read ahead, about 64 MiB and a few packs at most.

    Args:
        store: Where from.
        refs: The images; `locality_order` is the cheapest order.

    Raises:
        ArtifactIntegrityError: If neither pack nor object has the bytes that were accepted.
    """
    return fetched(store, refs)


def read_images(store: ObjectStore, refs: Sequence[ImageRef]) -> Iterator[np.ndarray]:
    """Yields the pixels of images, each `(height, width, 3)`, uint8; the rest is as for `read_bodies`."""
    return map(decode_image, fetched(store, refs))
