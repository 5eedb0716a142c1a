"""The input pipeline: bytes from the store become full batches of pixels, ahead of the network that waits for them.

A thread reads, others decode and resize, all of them a batch at a time, or a piece of one where its images are large.
What waits in memory is bounded by the number of threads, never by the number of images.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from include.retraining.artifacts import ImageRef
from include.retraining.dataset.images import read_bodies
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.pictures import UndecodableError, UnsupportedPixelsError, decode_image
from include.retraining.storage.base import ObjectStore, uri_of

AHEAD = 2  # pieces that wait for the network, beside one a thread that is being prepared
MOST_THREADS = 16
PIECE_BYTES = 8 * 2**20  # of files; one thread holds about as much
PIECE_PIXELS = 2**22  # decoded before they are resized: 12 MiB, and 48 MiB as float32

Piece = list[tuple[ImageRef, bytes]]
Change = Callable[[np.ndarray, str], np.ndarray]


class Resizer(Protocol):
    """What the input pipeline needs to know of an extractor."""

    batch_size: int
    image_size: int

    def resize(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns uint8 images as float32 of one size, shape `(n, image_size, image_size, 3)`; called by threads."""
        ...


@dataclass(frozen=True)
class Batch:
    """Input for one call of the network.

    Attributes:
        pixels: float32 in [0, 255], shape `(batch_size, image_size, image_size, 3)`; black behind the last image.
        n_images: How many images it holds.
    """

    pixels: np.ndarray
    n_images: int


def feed(
    store: ObjectStore,
    images: Sequence[ImageRef],
    extractor: Resizer,
    *,
    change: Change | None = None,
    threads: int | None = None,
) -> Generator[Batch, None, None]:
    """Yields images as batches, all full but the last, in the order asked for.

    Args:
        store: Where from.
        images: Each is compared with the digest that it was accepted with.
        extractor: Resizes, and says how large a batch is.
        change: Is given each resized image, uint8, with its id, and returns what to embed instead, of the same shape.
            It is resized first, so that a change costs the same however large the original is.
        threads: That decode and resize; by default one a core, less one that is left to the network.

    Raises:
        ArtifactIntegrityError: If an image is not the one that intake accepted.
    """
    pieces = _pieces(zip(images, read_bodies(store, images), strict=True), extractor.batch_size)
    prepared = _prepared(pieces, lambda piece: _pixels_of(store, piece, extractor, change), threads or _free_cores())
    try:
        yield from _whole_batches(prepared, extractor)
    finally:
        prepared.close()
        pieces.close()  # and with it the last reference to what reads ahead


def _prepared(
    pieces: Iterator[Piece], prepare: Callable[[Piece], np.ndarray], threads: int
) -> Generator[np.ndarray, None, None]:
    """Yields prepared pieces in order; reads and prepares some ahead. Leaves no thread behind when it is closed."""
    reader, preparers = ThreadPoolExecutor(1, "embedding-read"), ThreadPoolExecutor(threads, "embedding-prepare")
    waiting: deque[Future[np.ndarray | None]] = deque()

    def prepare_next(read: Future[Piece | None]) -> np.ndarray | None:
        piece = read.result()
        return None if piece is None else prepare(piece)

    try:
        while True:
            # The reader takes its turns in the order asked for, whichever thread waits for which of them.
            waiting.append(preparers.submit(prepare_next, reader.submit(next, pieces, None)))
            if len(waiting) < threads + AHEAD:
                continue
            found = waiting.popleft().result()
            if found is None:
                return
            yield found
    finally:
        reader.shutdown(cancel_futures=True)
        preparers.shutdown(cancel_futures=True)


def _pieces(found: Iterator[tuple[ImageRef, bytes]], batch_size: int) -> Generator[Piece, None, None]:
    """Yields images together up to a batch, or up to `PIECE_BYTES`; no piece reaches from one batch into the next."""
    piece: Piece = []
    in_batch = piece_bytes = 0
    for ref, body in found:
        piece.append((ref, body))
        in_batch, piece_bytes = in_batch + 1, piece_bytes + len(body)
        if in_batch == batch_size or piece_bytes >= PIECE_BYTES:
            yield piece
            piece, piece_bytes = [], 0
            in_batch %= batch_size
    if piece:
        yield piece


def _pixels_of(store: ObjectStore, piece: Piece, extractor: Resizer, change: Change | None) -> np.ndarray:
    """Decodes and resizes a piece; of large images only some are decoded at a time."""
    resized: list[np.ndarray] = []
    decoded: list[np.ndarray] = []
    n_pixels = 0
    for ref, body in piece:
        decoded.append(_decode(store, ref, body))
        n_pixels += decoded[-1].shape[0] * decoded[-1].shape[1]
        if n_pixels >= PIECE_PIXELS:
            resized.append(extractor.resize(decoded))
            decoded, n_pixels = [], 0
    if decoded:
        resized.append(extractor.resize(decoded))
    pixels = resized[0] if len(resized) == 1 else np.concatenate(resized)
    return pixels if change is None else _changed(pixels, [ref.image_id for ref, _ in piece], change)


def _changed(pixels: np.ndarray, image_ids: Sequence[str], change: Change) -> np.ndarray:
    whole = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
    changed = [change(image, image_id) for image, image_id in zip(whole, image_ids, strict=True)]
    return np.stack(changed).astype(np.float32)


def _whole_batches(prepared: Iterator[np.ndarray], extractor: Resizer) -> Iterator[Batch]:
    batch_size, side = extractor.batch_size, extractor.image_size
    batch, n_images = np.empty(0), 0
    for pixels in prepared:
        if len(pixels) == batch_size:  # the usual case, without a copy
            yield Batch(pixels, batch_size)
            continue
        if n_images == 0:
            batch = np.zeros((batch_size, side, side, 3), np.float32)
        batch[n_images : n_images + len(pixels)] = pixels
        n_images += len(pixels)
        if n_images == batch_size:
            yield Batch(batch, n_images)
            n_images = 0
    if n_images:
        yield Batch(batch, n_images)


def _decode(store: ObjectStore, ref: ImageRef, body: bytes) -> np.ndarray:
    try:
        return decode_image(body)
    except (UndecodableError, UnsupportedPixelsError) as error:
        expected = "an image that is decoded as it was when it was accepted"
        raise ArtifactIntegrityError(uri_of(store, ref.key), expected, str(error)) from error


def _free_cores() -> int:
    return min(MOST_THREADS, max(1, (os.cpu_count() or 1) - 1))
