from __future__ import annotations

import dataclasses
import json
import logging
from datetime import timedelta

import pytest

from include.retraining import journal, registry, steps
from include.retraining.artifacts import Move, Retirement, RollbackOrder, VersionRecord
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.promotion import rollback
from include.retraining.promotion.champion import settle, touch
from include.retraining.promotion.promotion import promote
from include.retraining.promotion.rollback import roll_back
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, Manifest, read_manifest, sha256
from include.retraining.storage.records import to_json
from tests.builders import CLASSIFIER, LABELS, STARTED_AT, WINDOW, make_candidate, make_config, make_lineage, make_run
from tests.promotions import PROVENANCE, crown, make_decision
from tests.stores import DyingStore, RememberingStore, holding

KEY = layout.champion(CLASSIFIER)
CONFIG = make_config()
AT = STARTED_AT + timedelta(days=9)


def publish(store: InMemoryStore, name: str, labels: tuple[str, ...] = LABELS) -> VersionRecord:
    """A version with labels and a window of its own, whose model nobody can load."""
    lineage = make_lineage(window_end=WINDOW.end + timedelta(days=len(name)))
    files = {
        registry.MODEL: name.encode(),
        registry.LABELS: json.dumps(labels).encode(),
        registry.LINEAGE: to_json(lineage),
        registry.CANDIDATE: to_json(make_candidate()),
    }
    version = registry.version_name(lineage, {file: sha256(body) for file, body in files.items()})
    manifest = registry.publish_version(store, CLASSIFIER, version, files, PROVENANCE)
    return VersionRecord(version, f"s3://memory/{layout.version(CLASSIFIER, version)}", manifest.digest, 0.0)


def promoted(store: InMemoryStore, name: str, labels: tuple[str, ...] = LABELS) -> VersionRecord:
    """A version that a run of its own made champion."""
    version = publish(store, name, labels)
    run = make_run(store, run_id=f"run of {name}")
    champion, _ = registry.champion(store, CLASSIFIER)
    decision = make_decision(
        challenger=version.name,
        challenger_digest=version.digest,
        champion=champion.version if champion else None,
        run_id=run.run_id,
    )
    assert isinstance(promote(run, decision, decide_again=None), Move)
    return version


def order(version: VersionRecord | str | None = None, run_id: str = "manual__1", **fields) -> RollbackOrder:
    name = version.name if isinstance(version, VersionRecord) else version
    return dataclasses.replace(RollbackOrder(name, "recall fell", run_id, AT, "ada"), **fields)


def reigning(store: InMemoryStore) -> str:
    return registry.champion(store, CLASSIFIER)[0].version


def moves_of(store: InMemoryStore) -> list[Move]:
    return [entry.move for entry in journal.readable_entries(store, CLASSIFIER) if entry.move is not None]


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were proven sound; those here hold no model that could be loaded."""
    proven: list[str] = []

    def prove(store, classifier, version) -> Manifest:
        proven.append(version)
        return read_manifest(store, layout.version(classifier, version))

    monkeypatch.setattr(rollback, "require_sound", prove)
    return proven


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


@pytest.fixture
def champions(store: InMemoryStore, proven: list[str]) -> list[VersionRecord]:
    """Three champions, one after the other."""
    return [promoted(store, name) for name in ("a", "bb", "ccc")]


def test_the_champion_goes_back_to_the_one_before_it_and_the_journal_knows_who_and_why(
    store: InMemoryStore, champions: list[VersionRecord], proven: list[str]
):
    _, second, third = champions

    move = roll_back(CONFIG, store, order())

    assert move == Move(
        incumbent=third.name,
        resulting=second.name,
        run_id="manual__1",
        moved_at=AT,
        window_end=WINDOW.end + timedelta(days=2),
        kind="rollback",
        by="ada",
        reason="recall fell",
    )
    pointer, _ = registry.champion(store, CLASSIFIER)
    assert (pointer.version, pointer.digest, pointer.previous) == (second.name, second.digest, third.name)
    assert (pointer.window_end, pointer.move, pointer.generation) == (move.window_end, move, 4)
    assert registry.champion_problems(store, CLASSIFIER) == []
    assert moves_of(store)[-1] == move
    assert proven == [second.name]


def test_going_back_twice_goes_further_back_and_never_forth(store: InMemoryStore, champions: list[VersionRecord]):
    first, second, _ = champions
    roll_back(CONFIG, store, order())

    move = roll_back(CONFIG, store, order(run_id="manual__2"))

    assert (move.incumbent, move.resulting) == (second.name, first.name)
    with pytest.raises(ConfigurationError, match="no former champion that is neither withdrawn nor retired"):
        roll_back(CONFIG, store, order(run_id="manual__3"))
    assert reigning(store) == first.name


def test_after_a_rollback_and_a_promotion_the_way_back_leads_past_what_was_left(
    store: InMemoryStore, champions: list[VersionRecord]
):
    _, second, _ = champions
    roll_back(CONFIG, store, order())
    promoted(store, "dddd")

    assert roll_back(CONFIG, store, order(run_id="manual__2")).resulting == second.name


def test_a_person_may_name_any_former_champion_even_one_that_was_left(
    store: InMemoryStore, champions: list[VersionRecord]
):
    first, _, third = champions

    assert roll_back(CONFIG, store, order(first)).resulting == first.name
    assert roll_back(CONFIG, store, order(third, run_id="manual__2")).resulting == third.name


def test_a_retired_version_is_passed_over_and_refused_by_name(store: InMemoryStore, champions: list[VersionRecord]):
    first, second, third = champions
    journal.append(store, CLASSIFIER, Retirement((second.name,), "bob", STARTED_AT, "the sixth former champion"))

    with pytest.raises(ConfigurationError, match="it was removed: the sixth former champion"):
        roll_back(CONFIG, store, order(second))
    assert reigning(store) == third.name

    assert roll_back(CONFIG, store, order()).resulting == first.name


def test_a_challenger_that_never_was_champion_is_nothing_to_go_back_to(
    store: InMemoryStore, champions: list[VersionRecord]
):
    refused = publish(store, "refused")

    with pytest.raises(ConfigurationError, match="it never was champion"):
        roll_back(CONFIG, store, order(refused))

    assert reigning(store) == champions[-1].name


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (lambda champions: order(champions[-1]), "it is the champion already"),
        (lambda champions: order(champions[0], reason=" "), "rollback, reason: there is none"),
        (lambda _: order("20300101T0000-000000000000"), "it never was champion"),
        (lambda _: order("../../elsewhere"), "elsewhere"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_what_is_wrong(
    store: InMemoryStore, champions: list[VersionRecord], asked, problem: str
):
    before = dict(store.objects)

    with pytest.raises((ConfigurationError, ArtifactIntegrityError), match=problem):
        roll_back(CONFIG, store, asked(champions))

    assert store.objects == before


def test_where_nothing_was_promoted_there_is_nothing_to_go_back_to(store: InMemoryStore, proven: list[str]):
    with pytest.raises(ConfigurationError, match="there is no former champion"):
        roll_back(CONFIG, store, order())


def test_a_former_champion_whose_files_are_gone_is_refused_by_name(
    store: InMemoryStore, champions: list[VersionRecord]
):
    store.delete(f"{layout.version(CLASSIFIER, champions[0].name)}{MANIFEST}")

    with pytest.raises(ConfigurationError, match=f"{champions[0].name}/ holds no published version"):
        roll_back(CONFIG, store, order(champions[0]))


def test_a_forged_version_is_refused_though_its_manifest_fits_its_files(
    store: InMemoryStore, champions: list[VersionRecord]
):
    prefix = layout.version(CLASSIFIER, champions[0].name)
    manifest = read_manifest(store, prefix)
    store.put(f"{prefix}{registry.MODEL}", b"another")
    store.put(f"{prefix}{MANIFEST}", Manifest({**manifest.files, registry.MODEL: sha256(b"another")}).to_json())

    with pytest.raises(ArtifactIntegrityError, match=f"expected content {champions[0].digest} as decided about"):
        roll_back(CONFIG, store, order(champions[0]))

    assert reigning(store) == champions[-1].name


def test_an_unsound_version_is_refused_before_the_pointer_moves(store: InMemoryStore):
    first, second = promoted(store, "a"), promoted(store, "bb")

    with pytest.raises(ArtifactIntegrityError, match="one without"):
        roll_back(CONFIG, store, order(first))

    assert reigning(store) == second.name
    assert len(moves_of(store)) == 2


OTHERS = ("daisy", "poppy", "tulip")


def recipe_with(labels: tuple[str, ...]) -> ClassifierConfig:
    return make_config(labels=labels)


def test_a_version_with_other_labels_is_another_service_and_refused(store: InMemoryStore, proven: list[str]):
    first = promoted(store, "a", OTHERS)
    second = promoted(store, "bb")

    with pytest.raises(ConfigurationError, match="labels daisy, poppy, tulip, and the recipe daisy, poppy, orchid"):
        roll_back(CONFIG, store, order(first))

    assert (reigning(store), proven) == (second.name, [])


@pytest.mark.parametrize("champions_labels", [LABELS, OTHERS])
def test_the_labels_may_be_those_that_are_served_or_those_of_the_recipe(
    store: InMemoryStore, proven: list[str], champions_labels: tuple[str, ...]
):
    first = promoted(store, "a", OTHERS)
    promoted(store, "bb", champions_labels)
    recipe = recipe_with(LABELS if champions_labels == OTHERS else OTHERS)

    assert roll_back(recipe, store, order(first)).resulting == first.name


def remove_entry(store: InMemoryStore) -> None:
    store.delete(f"{layout.history(CLASSIFIER)}00000002.json")


def garble_entry(store: InMemoryStore) -> None:
    store.put(f"{layout.history(CLASSIFIER)}00000002.json", b"{")


@pytest.mark.parametrize("damage", [remove_entry, garble_entry])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_broken_journal_is_warned_of_and_does_not_stop_a_rollback(
    store: InMemoryStore, champions: list[VersionRecord], caplog, damage, is_named: bool
):
    _, second, _ = champions
    damage(store)

    with caplog.at_level(logging.WARNING):
        move = roll_back(CONFIG, store, order(second if is_named else None))

    assert (reigning(store), move.resulting) == (second.name, second.name)
    assert "in a damaged registry" in caplog.text
    assert moves_of(store)[-1] == move
    assert journal.problems(store, CLASSIFIER)
    assert roll_back(CONFIG, store, order(second)) == move


def edit(store: InMemoryStore, **fields: object) -> None:
    store.put(KEY, json.dumps(json.loads(store.get(KEY)) | fields).encode())


@pytest.mark.parametrize(
    ("damage", "incumbent"),
    [
        pytest.param(
            lambda store: edit(store, version="20300101T0000-000000000000"),
            "20300101T0000-000000000000",
            id="names nothing",
        ),
        pytest.param(lambda store: edit(store, version="../../elsewhere"), None, id="names something elsewhere"),
        pytest.param(lambda store: store.put(KEY, b"no JSON"), None, id="no JSON"),
        pytest.param(lambda store: store.put(KEY, b"[]"), None, id="another JSON"),
        pytest.param(lambda store: store.delete(KEY), None, id="deleted"),
    ],
)
def test_a_broken_pointer_is_repaired_by_a_rollback(
    store: InMemoryStore, champions: list[VersionRecord], damage, incumbent: str | None
):
    _, second, _ = champions
    damage(store)

    move = roll_back(CONFIG, store, order(second))

    assert (move.incumbent, move.resulting) == (incumbent, second.name)
    assert reigning(store) == second.name
    assert registry.champion_problems(store, CLASSIFIER) == []
    assert journal.problems(store, CLASSIFIER) == []
    assert roll_back(CONFIG, store, order(second)) == move
    assert isinstance(promoted(store, "dddd"), VersionRecord)


def test_a_pointer_that_somebody_edited_is_repaired_with_the_very_version_that_it_names(
    store: InMemoryStore, champions: list[VersionRecord]
):
    first, _, third = champions
    edit(store, version=first.name, uri=first.uri, digest=first.digest)

    move = roll_back(CONFIG, store, order(first))

    assert (move.incumbent, move.resulting, reigning(store)) == (None, first.name, first.name)
    assert roll_back(CONFIG, store, order(third, run_id="manual__2")).incumbent == first.name


def test_a_champion_from_before_pointers_carried_moves_can_be_left(store: InMemoryStore, proven: list[str]):
    first, second = publish(store, "a"), publish(store, "bb")
    crown(store, first)
    crown(store, second)

    move = roll_back(CONFIG, store, order())

    assert (move.incumbent, move.resulting) == (second.name, first.name)


def test_a_rollback_that_is_killed_at_any_write_is_completed_by_its_repeat(
    store: InMemoryStore, champions: list[VersionRecord]
):
    undisturbed = RememberingStore(store.objects)
    move = roll_back(CONFIG, undisturbed, order())
    assert len(undisturbed.states) >= 2

    for writes in range(len(undisturbed.states)):
        dying = DyingStore(writes, store.objects)
        with pytest.raises(StorageUnavailableError):
            roll_back(CONFIG, dying, order())
        left = holding(dying.objects)
        assert roll_back(CONFIG, left, order()) == move
        assert left.objects == undisturbed.objects


def test_a_repeat_moves_nothing_though_somebody_promoted_meanwhile(
    store: InMemoryStore, champions: list[VersionRecord]
):
    move = roll_back(CONFIG, store, order())
    newer = promoted(store, "dddd")

    assert roll_back(CONFIG, store, order()) == move

    assert reigning(store) == newer.name


class OvertakenStore(InMemoryStore):
    """Something else happens between the read and the write of the pointer, once."""

    def __init__(self, objects, happens) -> None:
        super().__init__()
        self.objects.update(objects)
        self.happens = happens

    def replace(self, key, body, **options):
        if key == KEY and self.happens is not None:
            happens, self.happens = self.happens, None
            happens(self)
        return super().replace(key, body, **options)


def test_an_order_is_about_the_champion_that_it_was_given_for(store: InMemoryStore, champions: list[VersionRecord]):
    raced = OvertakenStore(store.objects, lambda store: promoted(store, "dddd"))

    with pytest.raises(ConfigurationError, match=f"the champion changed from {champions[-1].name} to .* meanwhile"):
        roll_back(CONFIG, raced, order())

    assert reigning(raced) == publish(InMemoryStore(), "dddd").name


def test_a_pointer_that_was_only_touched_is_moved_all_the_same(store: InMemoryStore, champions: list[VersionRecord]):
    raced = OvertakenStore(store.objects, lambda store: touch(store, CLASSIFIER, *settle(store, CLASSIFIER)))

    assert roll_back(CONFIG, raced, order()).resulting == champions[1].name


@pytest.mark.parametrize("error", [None, ArtifactIntegrityError("s3://memory/a", "a file", "none")])
def test_the_step_rolls_back_and_a_card_that_cannot_be_written_does_not_undo_it(
    store: InMemoryStore, champions: list[VersionRecord], monkeypatch: pytest.MonkeyPatch, error: Exception | None
):
    published = []

    def publish_cards(config, store, versions) -> None:
        published.append((config, list(versions)))
        if error is not None:
            raise error

    monkeypatch.setattr("include.retraining.reporting.cards.publish_cards", publish_cards)

    move = steps.roll_back(CONFIG, store, order())

    assert published == [(CONFIG, [champions[2].name, champions[1].name])]
    assert reigning(store) == move.resulting == champions[1].name
