"""Who looks at the images of a shard: this process, and where it pays a second one. What is looked for is elsewhere.

One process fetches small objects as fast as Python lets it, and decoding them would slow that down. A pool of
`multiprocessing` is not for workers of Celery, whose processes may have no children; a plain subprocess is for all. It
also ends by itself when this process is killed, since its input ends then.
"""

from __future__ import annotations

import json
import logging
import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, cast

from include.retraining.config import ImagePolicy
from include.retraining.intake.inspection.facts import ImageFacts, look_at

logger = logging.getLogger(__name__)

WORTH_A_PROCESS = 500  # images; it starts in 0.2 s, in which this process fetches and looks at some 150
CHUNK_IMAGES = 64
CHUNK_BYTES = 4 * 2**20
_REPOSITORY = Path(__file__).parents[4]
_LENGTH = struct.Struct("<q")  # of a body, -1 for an object that is missing; or the number of bodies
_READY = b"ready\n"

Bodies = Sequence[bytes | None]


def look_at_all(bodies: Iterable[bytes | None], count: int, policy: ImagePolicy) -> list[ImageFacts]:
    """Returns the facts about objects in their order.

    Args:
        bodies: What the objects hold; None for a missing one.
        count: How many there are.
        policy: The recipe's.

    Raises:
        MemoryError: If decoding takes more than there is.
        ChildProcessError: If the second process died over an image.
    """
    if count < WORTH_A_PROCESS or _cores() < 2:
        return [look_at(body, policy) for body in bodies]
    with SecondInspector(policy) as second:
        return _share(_chunks(bodies), second, policy)


def _cores() -> int:
    """Returns how many cores this process may use; macOS tells only how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(chunks: Iterable[Bodies], second: SecondInspector, policy: ImagePolicy) -> list[ImageFacts]:
    """Hands each chunk to the second inspector if it is free, and looks at it here if not."""
    facts: list[list[ImageFacts]] = []
    handed: list[int] = []  # number of the chunk that the second inspector has, if any
    for number, chunk in enumerate(chunks):
        facts.append([])
        if not second.is_free():
            facts[number] = [look_at(body, policy) for body in chunk]
            continue
        if handed:
            facts[handed.pop()] = second.answer()
        second.ask(chunk)
        handed.append(number)
    if handed:
        facts[handed.pop()] = second.answer()
    return [row for rows in facts for row in rows]


def _chunks(bodies: Iterable[bytes | None]) -> Iterator[Bodies]:
    chunk: list[bytes | None] = []
    size = 0
    for body in bodies:
        chunk.append(body)
        size += len(body or b"")
        if len(chunk) == CHUNK_IMAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class SecondInspector:
    """A process that looks at one chunk of objects at a time.

    Args:
        policy: The recipe's.
    """

    def __init__(self, policy: ImagePolicy) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "include.retraining.intake.inspection.inspectors", policy.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # One picture at a time is no work for several threads of a BLAS.
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY), "OPENBLAS_NUM_THREADS": "1"},
        )
        self._questions = cast("BinaryIO", self._process.stdin)
        self._answers = cast("BinaryIO", self._process.stdout)
        self._state: Literal["starting", "idle", "asked", "failed"] = "starting"

    def __enter__(self) -> SecondInspector:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with suppress(BrokenPipeError):  # closing writes what is left
            self._questions.close()

    def is_free(self) -> bool:
        """Tells whether a chunk may be handed to it: it has started, and has answered what it was asked before."""
        if self._state == "starting" and self._has_written():
            self._state = "idle" if self._read_line() == _READY else "failed"
            if self._state == "failed":
                logger.warning("no second process to inspect images, exit status %s", self._process.wait())
        return self._state == "idle" or (self._state == "asked" and self._has_written())

    def ask(self, chunk: Bodies) -> None:
        """Hands it a chunk; it must be free, and its answer to an earlier one taken."""
        try:
            _write_chunk(self._questions, chunk)
        except BrokenPipeError as error:
            raise self._death() from error
        self._state = "asked"

    def answer(self) -> list[ImageFacts]:
        """Waits for the facts about the chunk that it was handed."""
        line = self._read_line()
        self._state = "idle"
        if not line:
            raise self._death()
        rows = json.loads(line)
        if rows is None:
            raise MemoryError("an image takes more memory to decode than the worker has")
        return [ImageFacts(**row) for row in rows]

    def _has_written(self) -> bool:
        return bool(select.select([self._answers], [], [], 0)[0])

    def _read_line(self) -> bytes:
        return self._answers.readline()

    def _death(self) -> ChildProcessError:
        status = self._process.wait()
        return ChildProcessError(
            f"The process that inspects images ended with status {status} in the middle of its work; -9 means that it "
            "was killed, mostly for its memory. Give the worker more, or lower intake.images.maximum_pixels."
        )


def serve(questions: BinaryIO, answers: BinaryIO, policy: ImagePolicy) -> None:
    """Is the second process: answers each chunk with a line of JSON, null where memory did not suffice."""
    answers.write(_READY)
    answers.flush()
    while (chunk := _read_chunk(questions)) is not None:
        try:
            rows = [vars(look_at(body, policy)) for body in chunk]
        except MemoryError:
            rows = None
        answers.write(json.dumps(rows).encode() + b"\n")
        answers.flush()


def _write_chunk(stream: BinaryIO, chunk: Bodies) -> None:
    stream.write(_LENGTH.pack(len(chunk)))
    for body in chunk:
        stream.write(_LENGTH.pack(-1 if body is None else len(body)))
        stream.write(body or b"")
    stream.flush()


def _read_chunk(stream: BinaryIO) -> Bodies | None:
    """Returns the next chunk, or None where there will be none."""
    count = stream.read(_LENGTH.size)
    if len(count) < _LENGTH.size:
        return None
    lengths_and_bodies = (_LENGTH.unpack(stream.read(_LENGTH.size))[0] for _ in range(_LENGTH.unpack(count)[0]))
    return [None if length < 0 else stream.read(length) for length in lengths_and_bodies]


def _serve_as_process() -> None:
    # What a decoder's library might print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, ImagePolicy.model_validate_json(sys.argv[1]))


if __name__ == "__main__":
    _serve_as_process()
