from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from include.retraining import journal
from include.retraining.reporting import overview
from include.retraining.reporting.overview import model_overview
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.records import write_record
from tests.builders import CLASSIFIER, WINDOW, make_candidate, make_lineage, make_metrics
from tests.promotions import crown, make_decision, make_move, publish_made_version


def test_an_empty_registry_is_no_error() -> None:
    shown = model_overview(InMemoryStore(), CLASSIFIER)

    assert shown.champion is None
    assert shown.versions == ()
    assert shown.last_decision is None
    assert shown.problems == ()


def test_versions_come_newest_first_with_their_metrics() -> None:
    store = InMemoryStore()
    old = publish_made_version(store, lineage=make_lineage(window_end=WINDOW.start))
    new = publish_made_version(store, candidate=make_candidate(validation=make_metrics(ece=0.07)))
    decision = make_decision(challenger=new.name)
    journal.append(store, CLASSIFIER, decision)
    crown(store, new)

    shown = model_overview(store, CLASSIFIER)

    assert [version.name for version in shown.versions] == [new.name, old.name]
    assert [version.is_champion for version in shown.versions] == [True, False]
    assert shown.versions[0].validation == make_metrics(ece=0.07)
    assert shown.versions[0].decision == decision
    assert shown.versions[0].report_key == "scheduled__2026-01-03T02-00-00-00-00"
    assert shown.versions[1].decision is None
    assert shown.versions[1].report_key is None
    assert shown.problems == ()


def test_refusing_the_champion_again_says_nothing_against_it() -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    approval = make_decision(challenger=version.name)
    again = make_decision("it is the champion already", challenger=version.name, run_id="later")
    for entry in (approval, make_move(version.name), again):
        journal.append(store, CLASSIFIER, entry)
    crown(store, version)

    shown = model_overview(store, CLASSIFIER)

    assert shown.versions[0].decision == approval
    assert shown.versions[0].was_promoted
    assert shown.last_decision == again
    assert shown.last_report_key == "later"


def test_a_broken_version_is_listed_with_its_error_and_the_others_are_read() -> None:
    store = InMemoryStore()
    whole = publish_made_version(store)
    store.put(f"{layout.version(CLASSIFIER, '20250101T0000-broken')}manifest.json", b"{}")
    older = publish_made_version(store, lineage=make_lineage(window_end=WINDOW.start))
    store.put(f"{layout.version(CLASSIFIER, older.name)}lineage.json", b"tampered with")

    versions = {version.name: version for version in model_overview(store, CLASSIFIER).versions}

    assert versions[whole.name].error == ""
    assert "expected a manifest" in versions["20250101T0000-broken"].error
    assert "lineage.json: expected sha256" in versions[older.name].error
    assert versions[older.name].validation is None


def test_a_version_whose_manifest_is_not_written_yet_does_not_exist() -> None:
    store = InMemoryStore()
    store.put(f"{layout.version(CLASSIFIER, '20260101T0000-unfinished')}model.keras", b"half")

    assert model_overview(store, CLASSIFIER).versions == ()


def test_a_champion_without_one_of_its_files_has_a_problem() -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    crown(store, version)
    store.delete(f"{layout.version(CLASSIFIER, version.name)}model.keras")

    assert model_overview(store, CLASSIFIER).problems == (f"{version.uri}model.keras is missing.",)


def test_a_champion_that_is_not_what_the_pointer_names_has_a_problem() -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    crown(store, dataclasses.replace(version, digest="0" * 64))

    (problem,) = model_overview(store, CLASSIFIER).problems

    assert problem == f"{version.uri}: expected content {'0' * 64} as the pointer says, got {version.digest}."


def test_a_champion_whose_files_are_all_gone_is_still_listed() -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    pointer = crown(store, version)
    for found in list(store.list(layout.version(CLASSIFIER, version.name))):
        store.delete(found.key)

    shown = model_overview(store, CLASSIFIER)

    assert shown.champion == pointer
    assert [(entry.name, entry.is_champion) for entry in shown.versions] == [(version.name, True)]
    assert "got nothing" in shown.versions[0].error
    assert "got nothing" in shown.problems[0]


@pytest.mark.parametrize("key", [layout.champion(CLASSIFIER), f"{layout.history(CLASSIFIER)}00000001.json"])
def test_a_pointer_or_journal_that_cannot_be_read_is_a_problem_and_versions_are_shown(key: str) -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    store.put(key, b"not JSON")

    shown = model_overview(store, CLASSIFIER)

    assert len(shown.problems) == 1
    assert key in shown.problems[0]
    assert [entry.name for entry in shown.versions] == [version.name]


def test_only_the_newest_versions_are_read_and_the_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "SHOWN_VERSIONS", 2)
    store = InMemoryStore()
    days = [make_lineage(window_end=WINDOW.end + timedelta(days=day)) for day in range(5)]
    versions = [publish_made_version(store, lineage=lineage) for lineage in days]
    crown(store, versions[1])

    shown = model_overview(store, CLASSIFIER)

    assert [version.name for version in shown.versions] == [versions[i].name for i in (4, 3, 1)]
    assert shown.n_versions == 5


def test_moves_come_newest_first_and_only_some_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "SHOWN_MOVES", 2)
    store = InMemoryStore()
    moves = [make_move(name, before) for name, before in (("a", None), ("b", "a"))]
    back = make_move("a", "b", kind="rollback", by="ana", reason="it was worse")
    for move in (*moves, back):
        journal.append(store, CLASSIFIER, move)

    shown = model_overview(store, CLASSIFIER)

    assert shown.moves == (back, moves[1])
    assert shown.n_moves == 3


def test_a_version_with_a_card_is_known_to_have_one() -> None:
    store = InMemoryStore()
    with_card, without = publish_made_version(store), publish_made_version(store, model=b"other")
    store.put(f"{layout.card(CLASSIFIER, with_card.name)}card.html", b"")

    versions = {version.name: version for version in model_overview(store, CLASSIFIER).versions}

    assert versions[with_card.name].has_card
    assert not versions[without.name].has_card


def test_a_journal_without_one_of_its_entries_has_a_problem_and_the_others_are_shown() -> None:
    store = InMemoryStore()
    for number in range(3):
        journal.append(store, CLASSIFIER, make_decision(run_id=f"run {number}"))
    store.delete(f"{layout.history(CLASSIFIER)}00000002.json")

    shown = model_overview(store, CLASSIFIER)

    assert "expected entry 2, got nothing" in shown.problems[0]
    assert shown.last_decision == make_decision(run_id="run 2")


def test_a_pointer_that_the_journal_contradicts_has_a_problem() -> None:
    store = InMemoryStore()
    first, second = publish_made_version(store), publish_made_version(store, model=b"other")
    moves = [make_move(first.name), make_move(second.name, first.name)]
    for move in moves:
        journal.append(store, CLASSIFIER, move)
    pointer = dataclasses.replace(crown(store, first), move=moves[0])
    write_record(store, layout.champion(CLASSIFIER), pointer)

    (problem,) = model_overview(store, CLASSIFIER).problems

    assert problem.startswith(
        f"s3://memory/models/flowers/champion.json: expected the last move of the journal, to version {second.name}"
    )


def test_a_move_that_is_not_in_the_journal_yet_is_no_problem() -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    journal.append(store, CLASSIFIER, make_move("another"))
    write_record(
        store, layout.champion(CLASSIFIER), dataclasses.replace(crown(store, version), move=make_move(version.name))
    )

    assert model_overview(store, CLASSIFIER).problems == ()
