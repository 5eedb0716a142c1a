from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from include.retraining import journal
from include.retraining.artifacts import Retirement
from include.retraining.errors import PointerMovedError, StorageUnavailableError
from include.retraining.promotion.audit import Audit, Problem, audit
from include.retraining.promotion.champion import settle
from include.retraining.promotion.promotion import promote
from include.retraining.registry import MODEL, PROVENANCE
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, Manifest, read_manifest, sha256
from include.retraining.storage.records import to_json
from tests.builders import STARTED_AT
from tests.corruptions import CLASSIFIER, Registry, build_registry
from tests.promotions import crown, publish_made_version
from tests.stores import DyingStore, holding

POINTER = f"s3://memory/{layout.champion(CLASSIFIER)}"


class MovingStore(InMemoryStore):
    """Somebody moves the champion once it was read for the first time."""

    move: Callable[[], object] | None = None

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects.update(objects)

    def get(self, key):
        body = super().get(key)
        if key == layout.champion(CLASSIFIER) and self.move is not None:
            move, self.move = self.move, None
            move()
        return body


@pytest.fixture
def built() -> Registry:
    """A champion, a former one, and an approved challenger."""
    return build_registry(InMemoryStore())


def point(store: InMemoryStore, **fields: object) -> None:
    key = layout.champion(CLASSIFIER)
    store.put(key, json.dumps(json.loads(store.get(key)) | fields).encode())


def remove(store: InMemoryStore, version: str) -> None:
    for found in list(store.list(layout.version(CLASSIFIER, version))):
        store.delete(found.key)


def test_a_registry_without_damage_has_no_problem_and_is_only_read(built: Registry):
    store = DyingStore(0, built.store.objects)

    assert audit(store, CLASSIFIER) == Audit(problems=(), notes=(), n_versions=3, n_entries=5)


def test_an_empty_registry_has_no_problem():
    assert audit(InMemoryStore(), CLASSIFIER) == Audit(problems=(), notes=(), n_versions=0, n_entries=0)


def test_versions_without_a_champion_are_no_problem():
    store = InMemoryStore()
    publish_made_version(store, classifier=CLASSIFIER)

    assert audit(store, CLASSIFIER) == Audit(problems=(), notes=(), n_versions=1, n_entries=0)


def test_a_move_that_its_killed_mover_did_not_enter_is_noted_and_no_problem(built: Registry):
    dying = DyingStore(1, built.store.objects)
    run = dataclasses.replace(built.run, store=dying)
    with pytest.raises(StorageUnavailableError):
        promote(run, built.decision, decide_again=None)
    left = holding(dying.objects)
    assert left.get(layout.champion(CLASSIFIER)) != built.store.get(layout.champion(CLASSIFIER))

    found = audit(left, CLASSIFIER)

    assert found.problems == ()
    assert found.notes == (Problem(POINTER, "its move is not in the journal yet; the next mover enters it."),)
    settle(left, CLASSIFIER)
    assert audit(left, CLASSIFIER) == Audit(problems=(), notes=(), n_versions=3, n_entries=6)


def test_a_pointer_that_moved_from_where_the_journal_never_was_is_a_problem(built: Registry):
    pointer, _ = settle(built.store, CLASSIFIER)
    forged = {**json.loads(to_json(pointer.move)), "incumbent": built.challenger.name, "run_id": "nobody"}
    point(built.store, previous=built.challenger.name, move=forged)

    (problem,) = audit(built.store, CLASSIFIER).problems

    assert problem.where == POINTER
    assert "the journal's last move went to" in problem.sentence


@pytest.mark.parametrize("field", ["version", "previous"])
def test_a_pointer_that_contradicts_its_own_move_is_a_problem(built: Registry, field: str):
    point(built.store, **{field: built.challenger.name})

    problems = audit(built.store, CLASSIFIER).problems

    assert any(it.where == POINTER and "its own move went from" in it.sentence for it in problems)


def test_an_earlier_pointer_that_was_put_back_is_a_problem(built: Registry):
    earlier = built.store.get(layout.champion(CLASSIFIER))
    promote(built.run, built.decision, decide_again=None)
    built.store.put(layout.champion(CLASSIFIER), earlier)

    (problem,) = audit(built.store, CLASSIFIER).problems

    assert problem.where == POINTER
    assert f"the journal's last move went to {built.challenger.name}" in problem.sentence


def test_a_pointer_that_was_removed_is_a_problem(built: Registry):
    built.store.delete(layout.champion(CLASSIFIER))

    (problem,) = audit(built.store, CLASSIFIER).problems

    assert problem == Problem(
        POINTER, f"expected version {built.current.name}, to which the journal's last move went, got no object."
    )


def test_a_champion_that_no_move_of_the_journal_made_is_a_problem():
    store = InMemoryStore()
    version = publish_made_version(store, classifier=CLASSIFIER)
    crown(store, version, classifier=CLASSIFIER)

    assert audit(store, CLASSIFIER).problems == (
        Problem(POINTER, f"no move in the journal made {version.name} the champion."),
    )


def test_a_journal_that_was_removed_with_its_head_is_missed_by_the_pointer(built: Registry):
    for key in [*built.entry_keys(), layout.journal_head(CLASSIFIER)]:
        built.store.delete(key)

    problems = audit(built.store, CLASSIFIER).problems

    assert problems == (Problem(POINTER, f"no move in the journal made {built.current.name} the champion."),)


def test_uploads_without_a_manifest_are_noted_and_no_problem(built: Registry):
    prefix = layout.version(CLASSIFIER, "20260105T0200-0123456789ab")
    built.store.put(f"{prefix}{MODEL}", b"half")

    found = audit(built.store, CLASSIFIER)

    assert (found.problems, found.n_versions) == ((), 3)
    assert found.notes == (Problem(f"s3://memory/{prefix}", "an upload that was not finished, or not yet."),)


def test_a_folder_that_is_called_as_no_version_is_a_problem(built: Registry):
    prefix = layout.version(CLASSIFIER, f"{built.older.name} (copy)")
    built.store.put(f"{prefix}{MANIFEST}", built.store.get(built.key(built.older, MANIFEST)))

    (problem,) = audit(built.store, CLASSIFIER).problems

    assert problem.where == f"s3://memory/{prefix}"
    assert problem.sentence.startswith("expected the name of a version")


@pytest.mark.parametrize("which", ["older", "challenger"])
def test_a_version_that_the_journal_names_and_that_is_gone_is_a_problem_unless_it_was_retired(
    built: Registry, which: str
):
    version = getattr(built, which)
    remove(built.store, version.name)

    (problem,) = audit(built.store, CLASSIFIER).problems
    journal.append(built.store, CLASSIFIER, Retirement((version.name,), "ada", STARTED_AT, "no longer needed"))

    assert problem.where == f"s3://memory/{built.key(version, MANIFEST)}"
    assert problem.sentence == f"expected version {version.name}, which the journal names, got nothing."
    assert audit(built.store, CLASSIFIER).problems == ()


def test_a_version_with_another_provenance_than_when_it_was_decided_about_is_a_problem(built: Registry):
    other = b'{"run_id": "nobody", "started_at": "2026-01-01T00:00:00Z", "by": ""}'
    manifest = read_manifest(built.store, layout.version(CLASSIFIER, built.challenger.name))
    built.store.put(built.key(built.challenger, PROVENANCE), other)
    forged = Manifest({**manifest.files, PROVENANCE: sha256(other)})
    built.store.put(built.key(built.challenger, MANIFEST), forged.to_json())

    (problem,) = audit(built.store, CLASSIFIER).problems

    assert problem.where == f"s3://memory/{built.key(built.challenger, MANIFEST)}"
    assert f"expected content {manifest.digest}, which race__challenger decided about" in problem.sentence


def test_all_damage_is_named_and_not_the_first_alone(built: Registry):
    built.store.delete(built.key(built.older, MODEL))
    built.store.put(built.key(built.current, MODEL), b"planted")
    built.store.delete(built.entry_keys()[0])
    point(built.store, uri="s3://elsewhere/")

    wheres = {problem.where for problem in audit(built.store, CLASSIFIER).problems}

    assert {f"s3://memory/{built.key(it, MODEL)}" for it in (built.older, built.current)} <= wheres
    assert {f"s3://memory/{layout.history(CLASSIFIER)}00000001.json", POINTER} <= wheres


def test_the_damage_of_the_champion_is_named_once(built: Registry):
    built.store.delete(built.key(built.current, MODEL))

    (problem,) = audit(built.store, CLASSIFIER).problems

    assert problem.where == f"s3://memory/{built.key(built.current, MODEL)}"


def test_a_move_during_the_audit_is_no_problem(built: Registry):
    store = MovingStore(built.store.objects)
    run = dataclasses.replace(built.run, store=store)
    store.move = lambda: promote(run, built.decision, decide_again=None)

    assert audit(store, CLASSIFIER) == Audit(problems=(), notes=(), n_versions=3, n_entries=6)


def test_a_pointer_that_never_stands_still_ends_the_audit():
    class RestlessStore(InMemoryStore):
        """Somebody moves the champion at every moment."""

        n_reads = 0

        def get(self, key):
            RestlessStore.n_reads += 1
            return b"%d" % self.n_reads if key == layout.champion(CLASSIFIER) else super().get(key)

    with pytest.raises(PointerMovedError):
        audit(RestlessStore(), CLASSIFIER)


def test_a_store_that_does_not_answer_is_an_error_and_no_damage(built: Registry):
    with pytest.raises(StorageUnavailableError):
        audit(DyingStore(-1, built.store.objects), CLASSIFIER)
