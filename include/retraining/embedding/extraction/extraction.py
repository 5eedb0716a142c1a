"""One shard of images becomes stored vectors: read ahead, embedded, and written part by part beside the network."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from include.retraining.artifacts import ExtractorRecord, ImageRef
from include.retraining.config import EmbeddingConfig, StoredType
from include.retraining.embedding.extraction.feeding import Change, feed
from include.retraining.embedding.extraction.progress import LoggedProgress
from include.retraining.embedding.extraction.shards import Shard
from include.retraining.embedding.fingerprint import fingerprint, view_components
from include.retraining.embedding.store.vectors import stored_part, write_part
from include.retraining.errors import RetrainingError
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of

if TYPE_CHECKING:
    from include.retraining.embedding.extractors.extractor import Extractor

logger = logging.getLogger(__name__)

PART_IMAGES = 512  # a killed task computes at most two parts again; with vectors of five layers one has 4 MB
FLATTENED_PART_IMAGES = 32  # a flattened feature map is some hundred times as long

SMALL_INPUT = 128  # pixels a side; the layers of larger ones keep all cores busy, and caches full
MOST_CALLS = 4  # of the network at once: a call leaves cores, or an accelerator, idle between its layers
CHECKS_AT_ONCE = 8

Part = tuple[ImageRef, ...]
Progress = Callable[[int, int], None]


def extract(
    run: Run, shard: Shard, extractor: ExtractorRecord, *, progress: Progress | None = None, alone: bool = False
) -> str:
    """Computes and stores the vectors of a shard.

    Side effects:
        Publishes parts of the embedding store, one after the other. A repeat computes only the parts that are not
        stored yet, or not whole.

    Args:
        run: What and where.
        shard: The images.
        extractor: What embeds them.
        progress: Told how many of how many images are done; by default the log is.
        alone: Whether this process does nothing but embed. Then calls of the network share the cores (`share_cores`)
            where its input is small.

    Returns:
        URI under which the parts lie.

    Raises:
        ArtifactIntegrityError: If an image is not the one that intake accepted; parts before it stay.
        RetrainingError: If this worker's network does not give the vectors that it should (see `golden.py`).
    """
    config = run.config.embedding
    components = extractor.components
    vectors_of = fingerprint(view_components(components, config, shard.view) if shard.view else components)
    missing = _missing(run.store, vectors_of, _parts(shard.images, config))
    n_images = len(shard.images)
    n_stored = n_images - sum(map(len, missing))
    network = _ready_extractor(run.store, config, extractor, alone=alone) if missing else None
    tell = LoggedProgress() if progress is None else progress
    tell(n_stored, n_images)
    if network is not None:
        vectors = _embed(run.store, missing, network, change=_change(config, shard.view))
        with closing(_told(vectors, lambda done: tell(n_stored + done, n_images))) as told:
            _write(run.store, vectors_of, missing, told, stored_as=config.stored_as)
    logger.info("extracted images=%d stored_before=%d", n_images, n_stored)
    return uri_of(run.store, layout.embedding_parts(vectors_of))


def regrouped(arrays: Iterator[np.ndarray], lengths: Iterable[int]) -> Iterator[np.ndarray]:
    """Yields the rows of arrays, in order, as arrays of other lengths that have as many rows in all."""
    rest: np.ndarray | None = None
    for length in lengths:
        taken: list[np.ndarray] = []
        while length:
            rows = next(arrays) if rest is None else rest
            taken.append(rows[:length])
            rest = rows[length:] if len(rows) > length else None
            length -= len(taken[-1])
        yield np.concatenate(taken)


def _missing(store: ObjectStore, vectors_of: str, parts: Sequence[Part]) -> list[Part]:
    with ThreadPoolExecutor(CHECKS_AT_ONCE, "embedding-check") as pool:
        stored = pool.map(lambda part: stored_part(store, vectors_of, _ids(part)), parts)
        return [part for part, uri in zip(parts, stored, strict=True) if uri is None]


def _embed(
    store: ObjectStore, parts: Sequence[Part], network: Extractor, *, change: Change | None
) -> Generator[np.ndarray, None, None]:
    images = [image for part in parts for image in part]
    calls: deque[tuple[Future[np.ndarray], int]] = deque()
    at_once = calls_at_once()
    failure: RetrainingError | None = None
    with (
        closing(feed(store, images, network, change=change)) as batches,
        ThreadPoolExecutor(at_once, "embedding-network") as pool,
    ):
        try:
            for batch in batches:
                calls.append((pool.submit(network.vectors_of, batch.pixels), batch.n_images))
                if len(calls) > at_once:  # one waits, so that no caller ever does
                    vectors, n_images = calls.popleft()
                    yield vectors.result()[:n_images]
        except RetrainingError as error:
            failure = error  # what came before it is embedded all the same
        while calls:
            vectors, n_images = calls.popleft()
            yield vectors.result()[:n_images]
    if failure is not None:
        raise failure


def _told(vectors: Generator[np.ndarray, None, None], tell: Callable[[int], None]) -> Generator[np.ndarray, None, None]:
    done = 0
    with closing(vectors):
        for some in vectors:
            done += len(some)
            tell(done)
            yield some


def _write(
    store: ObjectStore, vectors_of: str, parts: Sequence[Part], vectors: Iterator[np.ndarray], *, stored_as: StoredType
) -> None:
    """Writes parts in order, each while the network works on the next; a kill loses no more than these two."""
    with ThreadPoolExecutor(1, "embedding-write") as writer:
        writing: Future[str] | None = None
        for part, rows in zip(parts, regrouped(vectors, map(len, parts)), strict=True):
            if writing is not None:
                writing.result()
            writing = writer.submit(write_part, store, vectors_of, _ids(part), rows, stored_as=stored_as)
        if writing is not None:
            writing.result()


def _parts(images: Part, config: EmbeddingConfig) -> list[Part]:
    """Cuts a shard into parts: by its images alone, so that a repeat finds what is stored."""
    size = FLATTENED_PART_IMAGES if config.pooling == "flatten" else PART_IMAGES
    return [images[start : start + size] for start in range(0, len(images), size)]


def _ids(part: Part) -> list[str]:
    return [image.image_id for image in part]


def _change(config: EmbeddingConfig, view: int) -> Change | None:
    if not view:
        return None
    from include.retraining.embedding.augmentation import build_augmenter  # loads Keras

    augment = build_augmenter(config.augmentation)
    return lambda image, image_id: augment(image, image_id, view)


def calls_at_once() -> int:
    """Returns how many calls of the network run side by side on this worker."""
    return min(MOST_CALLS, max(2, os.cpu_count() or 1))


def _ready_extractor(store: ObjectStore, config: EmbeddingConfig, record: ExtractorRecord, *, alone: bool) -> Extractor:
    from include.retraining.embedding.extractors.devices import share_cores  # these load TensorFlow: seconds
    from include.retraining.embedding.extractors.workers import ready_extractor

    if alone and config.image_size <= SMALL_INPUT:
        share_cores(calls_at_once())
    return ready_extractor(store, config, record)
