from __future__ import annotations

import dataclasses
import json

import pytest

from include.retraining import journal, registry
from include.retraining.artifacts import ChampionPointer
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError, StorageUnavailableError
from include.retraining.promotion.champion import move_champion, read_damaged_reign, read_reign, settle, touch
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.records import to_json
from tests.builders import CLASSIFIER, WINDOW
from tests.promotions import CHALLENGER, CHAMPION, make_decision, make_move
from tests.stores import DyingStore, holding

KEY = layout.champion(CLASSIFIER)
FIRST = make_move(CHAMPION, run_id="first")
SECOND = make_move(CHALLENGER, incumbent=CHAMPION, run_id="second")


def move_to(store: InMemoryStore, move) -> ChampionPointer:
    """A whole move, as every mover makes it."""
    pointer, etag = settle(store, CLASSIFIER)
    moved = move_champion(store, CLASSIFIER, move, digest="d1" * 32, pointer=pointer, etag=etag)
    journal.append(store, CLASSIFIER, move)
    return moved


def moves_of(store: InMemoryStore) -> list:
    return [entry.move for entry in journal.entries(store, CLASSIFIER) if entry.move is not None]


def edit(store: InMemoryStore, **fields: object) -> None:
    store.put(KEY, json.dumps(json.loads(store.get(KEY)) | fields).encode())


def test_where_nothing_was_promoted_there_is_nothing_to_settle():
    store = InMemoryStore()

    assert settle(store, CLASSIFIER) == (None, None)
    assert store.objects == {}


def test_the_pointer_names_the_version_the_one_before_and_the_whole_move():
    store = InMemoryStore()
    move_to(store, FIRST)

    pointer = move_to(store, SECOND)

    assert registry.champion(store, CLASSIFIER)[0] == pointer
    assert (pointer.version, pointer.previous, pointer.move, pointer.generation) == (CHALLENGER, CHAMPION, SECOND, 2)
    assert pointer.uri == f"s3://memory/models/flowers/versions/{CHALLENGER}/"
    assert (pointer.run_id, pointer.window_end) == ("second", WINDOW.end)
    assert moves_of(store) == [FIRST, SECOND]


def test_a_move_whose_mover_was_killed_before_the_journal_had_it_is_entered_by_the_next_reader_once():
    store = InMemoryStore()
    move_champion(store, CLASSIFIER, FIRST, digest="d1" * 32, pointer=None, etag=None)
    assert moves_of(store) == []

    settled = settle(store, CLASSIFIER)

    assert moves_of(store) == [FIRST]
    assert settle(store, CLASSIFIER) == settled == registry.champion(store, CLASSIFIER)
    assert moves_of(store) == [FIRST]


def test_of_two_who_read_the_same_pointer_one_moves_it():
    store = InMemoryStore()
    move_to(store, FIRST)
    pointer, etag = settle(store, CLASSIFIER)
    move_champion(store, CLASSIFIER, SECOND, digest="d2" * 32, pointer=pointer, etag=etag)

    with pytest.raises(PointerMovedError):
        move_champion(store, CLASSIFIER, make_move("another"), digest="d3" * 32, pointer=pointer, etag=etag)

    assert registry.champion(store, CLASSIFIER)[0].version == CHALLENGER


def test_a_tag_that_was_read_before_a_move_and_its_reversal_does_not_fit_again():
    store = InMemoryStore()
    move_to(store, FIRST)
    _, etag = settle(store, CLASSIFIER)
    move_to(store, SECOND)
    move_to(store, FIRST)

    assert registry.champion(store, CLASSIFIER)[0].version == CHAMPION
    assert registry.champion(store, CLASSIFIER)[1] != etag


def test_touching_changes_the_tag_and_nothing_that_the_pointer_says():
    store = InMemoryStore()
    pointer = move_to(store, FIRST)
    _, etag = settle(store, CLASSIFIER)

    touch(store, CLASSIFIER, pointer, etag)

    touched, newer = registry.champion(store, CLASSIFIER)
    assert touched == dataclasses.replace(pointer, generation=2)
    assert newer != etag
    with pytest.raises(PointerMovedError):
        touch(store, CLASSIFIER, pointer, etag)


def test_a_pointer_from_before_it_carried_a_move_is_read_and_moved():
    store = InMemoryStore()
    move_to(store, FIRST)
    old = {key: value for key, value in json.loads(store.get(KEY)).items() if key not in ("generation", "move")}
    store.put(KEY, json.dumps(old).encode())

    reign = read_reign(store, CLASSIFIER)
    assert (reign.version, reign.pointer.generation, reign.pointer.move) == (CHAMPION, 0, None)

    move_to(store, SECOND)
    assert read_reign(store, CLASSIFIER).version == CHALLENGER
    assert moves_of(store) == [FIRST, SECOND]


def test_the_reign_is_pointer_and_journal_of_one_moment():
    store = InMemoryStore()
    move_to(store, FIRST)
    move_to(store, SECOND)

    reign = read_reign(store, CLASSIFIER)

    assert (reign.version, reign.etag) == (CHALLENGER, registry.champion(store, CLASSIFIER)[1])
    assert reign.moves == [FIRST, SECOND]
    assert reign.moves_of("first", "promotion") == [FIRST]
    assert reign.moves_of("first", "rollback") == []


class MovedWhileReading(InMemoryStore):
    """Another run moves the champion after its pointer was read for the first time, and before the journal is."""

    def __init__(self, objects, move) -> None:
        super().__init__()
        self.objects.update(objects)
        self.move = move

    def list(self, prefix):
        if self.move is not None:
            move, self.move = self.move, None
            move_to(self, move)
        return super().list(prefix)


def test_a_move_between_the_two_reads_is_no_contradiction():
    store = InMemoryStore()
    move_to(store, FIRST)

    reign = read_reign(MovedWhileReading(store.objects, SECOND), CLASSIFIER)

    assert reign.version == CHALLENGER


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        pytest.param(lambda store: store.delete(KEY), "got no object", id="deleted"),
        pytest.param(lambda store: edit(store, version=CHAMPION), f"got version {CHAMPION}", id="edited"),
        pytest.param(lambda store: edit(store, digest="0" * 64), "as decided about, got", id="another digest"),
        pytest.param(lambda store: store.put(KEY, b"no JSON"), "a ChampionPointer record", id="no JSON"),
    ],
)
def test_a_pointer_that_contradicts_the_journal_stops_whoever_needs_both(damage, problem):
    store = InMemoryStore()
    move_to(store, FIRST)
    journal.append(store, CLASSIFIER, make_decision(challenger_digest="d1" * 32))
    move_to(store, SECOND)
    read_reign(store, CLASSIFIER)

    damage(store)

    with pytest.raises(ArtifactIntegrityError, match=problem) as caught:
        read_reign(store, CLASSIFIER)
    assert caught.value.uri == f"s3://memory/{KEY}"


def test_a_pointer_that_was_put_back_to_an_older_one_is_noticed():
    store = InMemoryStore()
    move_to(store, FIRST)
    before = store.get(KEY)
    move_to(store, SECOND)

    store.put(KEY, before)

    with pytest.raises(ArtifactIntegrityError, match=f"to version {CHALLENGER} by second, got version {CHAMPION}"):
        read_reign(store, CLASSIFIER)


def test_a_broken_journal_stops_whoever_needs_it():
    store = InMemoryStore()
    move_to(store, FIRST)
    move_to(store, SECOND)

    store.delete(f"{layout.history(CLASSIFIER)}00000001.json")

    with pytest.raises(ArtifactIntegrityError, match="a journal without gaps or changes"):
        read_reign(store, CLASSIFIER)


def test_of_a_damaged_registry_everything_is_read_that_can_be():
    store = InMemoryStore()
    move_to(store, FIRST)
    move_to(store, SECOND)
    store.put(f"{layout.history(CLASSIFIER)}00000001.json", b"{")

    reign = read_damaged_reign(store, CLASSIFIER)

    assert (reign.version, reign.moves) == (CHALLENGER, [SECOND])

    store.put(KEY, b"{")
    reign = read_damaged_reign(store, CLASSIFIER)
    assert (reign.pointer, reign.moves) == (None, [SECOND])
    assert store.replace(KEY, to_json(FIRST), etag=reign.etag)


def test_a_store_that_is_away_is_no_damage():
    store = InMemoryStore()
    move_to(store, FIRST)

    with pytest.raises(StorageUnavailableError):
        read_damaged_reign(DyingStore(-1, store.objects), CLASSIFIER)
    assert read_damaged_reign(holding(store.objects), CLASSIFIER).version == CHAMPION


def test_a_move_that_does_not_go_on_from_the_last_one_is_not_entered():
    store = InMemoryStore()
    move_to(store, FIRST)
    forged = dataclasses.replace(SECOND, incumbent="20251231T0200-cccccccccccc")
    edit(store, version=CHALLENGER, move=json.loads(to_json(forged)))

    settle(store, CLASSIFIER)

    assert moves_of(store) == [FIRST]
    with pytest.raises(ArtifactIntegrityError, match="the last move of the journal"):
        read_reign(store, CLASSIFIER)
