from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.retraining.config import ImagePolicy
from include.retraining.intake.inspection import inspectors
from include.retraining.intake.inspection.facts import look_at
from include.retraining.intake.inspection.inspectors import SecondInspector, look_at_all, serve
from tests.unit.retraining.intake.deliveries import encoded, picture, png

POLICY = ImagePolicy(formats=("PNG",))
BODIES = [png(1), None, b"", png(2), b"<html>", encoded(picture(3), "JPEG"), png(4)[:50]]


def told(facts: object) -> str:
    """What is the same for equal facts, though NaN is not itself."""
    return str([{**vars(row), "problem": str(row.problem)} for row in facts])


EXPECTED = told([look_at(body, POLICY) for body in BODIES])


@pytest.fixture(scope="module")
def second() -> Iterator[SecondInspector]:
    with SecondInspector(POLICY) as second:
        wait_until_free(second)
        yield second


def wait_until_free(second: SecondInspector) -> None:
    deadline = time.monotonic() + 60
    while not second.is_free():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def bodies_that_wait_for(second: SecondInspector, count: int) -> Iterator[bytes]:
    for number in range(count):
        if number % inspectors.CHUNK_IMAGES == inspectors.CHUNK_IMAGES - 1:
            wait_until_free(second)
        yield png(number % 7)


def test_a_second_process_finds_the_same_facts(second: SecondInspector):
    second.ask(BODIES)

    assert told(second.answer()) == EXPECTED


def test_it_starts_wherever_a_worker_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)

    with SecondInspector(POLICY) as second:
        wait_until_free(second)


def test_a_chunk_that_is_larger_than_a_pipe_is_no_matter(second: SecondInspector):
    large = encoded(picture(5, 600)), encoded(picture(6, 600))
    assert len(large[0]) > 2**17

    second.ask([*large, None])

    assert told(second.answer()) == told([look_at(body, POLICY) for body in (*large, None)])


def test_it_is_not_free_before_it_has_answered(second: SecondInspector):
    second.ask([encoded(picture(5, 1000))] * 3)

    assert not second.is_free()

    wait_until_free(second)
    assert len(second.answer()) == 3


def test_what_it_does_is_what_is_tested_here_without_a_process():
    questions, answers = io.BytesIO(), io.BytesIO()
    inspectors._write_chunk(questions, BODIES)
    inspectors._write_chunk(questions, [])
    questions.seek(0)

    serve(questions, answers, POLICY)

    hello, first, last = answers.getvalue().splitlines()
    assert (hello, last) == (b"ready", b"[]")
    assert first.count(b"bytes_sha256") == len(BODIES)


@pytest.mark.parametrize("free", [True, False], ids=["free", "at work"])
def test_both_processes_together_keep_the_order(monkeypatch: pytest.MonkeyPatch, free: bool):
    monkeypatch.setattr(inspectors, "CHUNK_IMAGES", 2)

    with SecondInspector(POLICY) as second:
        bodies = bodies_that_wait_for(second, 21) if free else (png(number % 7) for number in range(21))
        facts = inspectors._share(inspectors._chunks(bodies), second, POLICY)

    assert told(facts) == told([look_at(png(number % 7), POLICY) for number in range(21)])


def test_chunks_are_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspectors, "CHUNK_IMAGES", 3)
    monkeypatch.setattr(inspectors, "CHUNK_BYTES", 10)

    chunks = list(inspectors._chunks([b"a", None, b"c", bytes(50), b"d", bytes(9), b"e"]))

    assert [[len(body or b"") for body in chunk] for chunk in chunks] == [[1, 0, 1], [50], [1, 9], [1]]


@pytest.mark.parametrize(("cores", "worth"), [({0}, 1), ({0, 1}, 100)], ids=["one core", "few images"])
def test_no_process_is_started_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch, cores: set[int], worth: int):
    def refuse(policy: ImagePolicy) -> None:
        raise AssertionError("was started")

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores)
    monkeypatch.setattr(inspectors, "WORTH_A_PROCESS", worth)
    monkeypatch.setattr(inspectors, "SecondInspector", refuse)

    assert told(look_at_all(BODIES, len(BODIES), POLICY)) == EXPECTED


def test_many_images_are_shared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(inspectors, "WORTH_A_PROCESS", 1)

    assert told(look_at_all(BODIES, len(BODIES), POLICY)) == EXPECTED


def test_a_process_that_cannot_start_is_done_without(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(inspectors.sys, "executable", "/bin/false")

    with SecondInspector(POLICY) as second:
        second._process.wait()
        facts = inspectors._share([BODIES, BODIES], second, POLICY)

    assert told(facts[: len(BODIES)]) == told(facts[len(BODIES) :]) == EXPECTED
    assert "no second process to inspect images, exit status 1" in caplog.text


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_process_that_is_killed_is_an_error_that_says_so(when: str):
    with SecondInspector(POLICY) as second:
        wait_until_free(second)
        if when == "while":
            second.ask([png(1)] * 2000)
        second._process.kill()
        second._process.wait()

        with pytest.raises(ChildProcessError, match="status -9 .* lower intake.images.maximum_pixels"):
            second.ask([png(1)] * 2000) if when == "before" else second.answer()


def test_a_lack_of_memory_in_the_second_process_is_one_here(monkeypatch: pytest.MonkeyPatch, second: SecondInspector):
    def fail(body: bytes, policy: ImagePolicy) -> None:
        raise MemoryError

    questions, answers = io.BytesIO(), io.BytesIO()
    inspectors._write_chunk(questions, BODIES)
    questions.seek(0)
    monkeypatch.setattr(inspectors, "look_at", fail)
    serve(questions, answers, POLICY)
    monkeypatch.setattr(second, "_read_line", lambda: answers.getvalue().splitlines()[-1])

    with pytest.raises(MemoryError):
        second.answer()


def test_it_ends_when_nobody_asks_any_more():
    with SecondInspector(POLICY) as second:
        wait_until_free(second)
        second._questions.close()

        assert second._process.wait(timeout=30) == 0


def test_no_process_is_left_when_the_store_goes_away(monkeypatch: pytest.MonkeyPatch):
    started: list[SecondInspector] = []

    class Noted(SecondInspector):
        def __init__(self, policy: ImagePolicy) -> None:
            super().__init__(policy)
            started.append(self)

    def bodies() -> Iterator[bytes]:
        yield png(1)
        raise ConnectionError("the store went away")

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(inspectors, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(inspectors, "SecondInspector", Noted)

    with pytest.raises(ConnectionError):
        look_at_all(bodies(), 5, POLICY)

    assert started[0]._process.returncode is not None
