"""Which requests images are read with, and making them ahead of their use: threads, bounded, in the order asked for."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from include.retraining.artifacts import ImageRef
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.packs import PACK_BYTES
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import READ_AHEAD, READ_AHEAD_BYTES, THREADS, get_many
from include.retraining.storage.publishing import sha256

logger = logging.getLogger(__name__)

WORTH_IMAGES = 16  # as many requests cost more than one for a whole pack
WORTH_BYTES = PACK_BYTES // 8
MOST_HELD_PACKS = 4  # by the images that are taken; as many can be on their way
_FIRST_GUESS_BYTES = 2**20  # of an object whose size nobody knows
_GUESS_DECAY = 0.9

Found = bytes | memoryview | ArtifactIntegrityError
"""A file as it was accepted, or why there is none."""


@dataclass(frozen=True, eq=False)
class Request:
    """One GET for an image, or for all images of a pack that are wanted close to each other.

    Attributes:
        pack: Key of the pack; empty for a delivered object.
        refs: The images that it is for.
    """

    pack: str
    refs: Sequence[ImageRef]


def fetched(store: ObjectStore, refs: Sequence[ImageRef]) -> Iterator[bytes]:
    """Yields the files of images; see `images.read_bodies`."""
    pool = ThreadPoolExecutor(THREADS)
    ahead = _ReadAhead(store, plan_requests(refs), pool)
    try:
        for position, ref in enumerate(refs):
            found = ahead.take(position, ref)
            if isinstance(found, ArtifactIntegrityError):
                raise found
            yield bytes(found)
    finally:
        pool.shutdown(cancel_futures=True)  # what has begun ends; nobody asks for the rest


def plan_requests(refs: Sequence[ImageRef]) -> list[Request]:
    """Returns the request that each image is read with; images that share a pack may share one."""
    requests = []
    for stretch in _stretches(refs):
        by_pack = defaultdict(list)
        for ref in stretch:
            by_pack[ref.pack].append(ref)
        shared = {pack: Request(pack, wanted) for pack, wanted in by_pack.items() if pack and _is_worth_it(wanted)}
        requests += [shared.get(ref.pack) or Request("", (ref,)) for ref in stretch]
    return requests


def _stretches(refs: Sequence[ImageRef]) -> Iterator[Sequence[ImageRef]]:
    """Cuts images into stretches, in each of which so few packs occur that all of them may be held."""
    start = 0
    packs: set[str] = set()
    for position, ref in enumerate(refs):
        if ref.pack and ref.pack not in packs:
            if len(packs) == MOST_HELD_PACKS:
                yield refs[start:position]
                start, packs = position, set()
            packs.add(ref.pack)
    yield refs[start:]


def _is_worth_it(wanted: Sequence[ImageRef]) -> bool:
    return len(wanted) >= WORTH_IMAGES or sum(ref.size_bytes for ref in wanted) >= WORTH_BYTES


@dataclass
class _Asked:
    """A request that was made: what will come, the memory that it is taken to need, the images that nobody took yet."""

    answer: Future[Mapping[str, Found]]
    reserved_bytes: int
    n_left: int


class _ReadAhead:
    """Makes requests, one for each position, as far ahead of the images that are taken as there is room."""

    def __init__(self, store: ObjectStore, requests: Sequence[Request], pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._requests = requests
        self._pool = pool
        self._n_asked = 0  # positions whose requests were made
        self._asked: dict[Request, _Asked] = {}
        self._reserved_bytes = 0
        self._guess_bytes = _FIRST_GUESS_BYTES

    def take(self, position: int, ref: ImageRef) -> Found:
        """Waits for the image of a position; positions are taken in their order."""
        while self._n_asked <= position or self._has_room():
            self._ask(self._requests[self._n_asked])
            self._n_asked += 1
        request = self._requests[position]
        asked = self._asked[request]
        found = asked.answer.result()[ref.bytes_sha256]
        asked.n_left -= 1
        if asked.n_left == 0:
            del self._asked[request]
            self._reserved_bytes -= asked.reserved_bytes
        if not ref.size_bytes and not isinstance(found, ArtifactIntegrityError):
            self._guess_bytes = max(len(found), int(_GUESS_DECAY * self._guess_bytes))
        return found

    def _has_room(self) -> bool:
        """Tells whether the next request may be made, if there is one."""
        if self._n_asked == len(self._requests):
            return False
        request = self._requests[self._n_asked]
        if request in self._asked:
            return True
        return len(self._asked) < READ_AHEAD and self._reserved_bytes + self._bytes_of(request) <= READ_AHEAD_BYTES

    def _ask(self, request: Request) -> None:
        if request in self._asked:
            return
        size = self._bytes_of(request)
        answer = self._pool.submit(_answer, self._store, request)
        self._asked[request] = _Asked(answer, size, len(request.refs))
        self._reserved_bytes += size

    def _bytes_of(self, request: Request) -> int:
        return PACK_BYTES if request.pack else request.refs[0].size_bytes or self._guess_bytes


def _answer(store: ObjectStore, request: Request) -> Mapping[str, Found]:
    """Returns each image by its sha256, out of the pack as far as that has it."""
    found: dict[str, Found] = dict(_in_pack(store, request)) if request.pack else {}
    missing = [ref for ref in request.refs if ref.bytes_sha256 not in found]
    if request.pack:
        bodies = get_many(store, [ref.key for ref in missing], [ref.size_bytes for ref in missing])
    else:
        bodies = iter([_get_or_none(store, request.refs[0].key)])
    return found | {ref.bytes_sha256: _accepted(store, ref, body) for ref, body in zip(missing, bodies, strict=True)}


def _in_pack(store: ObjectStore, request: Request) -> Iterator[tuple[str, memoryview]]:
    """Yields those of the images of a request that the pack has as they were accepted, by their sha256."""
    body = memoryview(_get_or_none(store, request.pack) or b"")
    n_whole = 0
    for ref in request.refs:
        piece = body[ref.offset : ref.offset + ref.size_bytes]
        if hashlib.sha256(piece).hexdigest() == ref.bytes_sha256:
            n_whole += 1
            yield ref.bytes_sha256, piece
    if n_whole < len(request.refs):
        logger.warning(
            "pack %s is missing or damaged: %d of %d images are read from the objects that were delivered",
            uri_of(store, request.pack),
            len(request.refs) - n_whole,
            len(request.refs),
        )


def _accepted(store: ObjectStore, ref: ImageRef, body: bytes | None) -> Found:
    got = "no object" if body is None else f"sha256 {sha256(body)}"
    if body is not None and got == f"sha256 {ref.bytes_sha256}":
        return body
    return ArtifactIntegrityError(uri_of(store, ref.key), f"sha256 {ref.bytes_sha256}, as when it was accepted", got)


def _get_or_none(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyError:
        return None
