from __future__ import annotations

import dataclasses

import pytest

from include.retraining import journal
from include.retraining.artifacts import ChampionPointer, Incumbent, PriorMetrics, Retirement
from include.retraining.journal import JournalEntry
from include.retraining.promotion.evidence import (
    difference_of,
    finite,
    gather_evidence,
    metric_of,
    withdrawn_versions,
)
from include.retraining.run import INTAKE
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.pointers import move_pointer
from tests.builders import LABELS, RUN_ID, STARTED_AT, WINDOW, make_intake, make_metrics, make_run
from tests.promotions import CHALLENGER, CHAMPION, make_difference, make_evaluation, make_move, make_scored_version
from tests.unit.retraining.promotion.evidences import make_evidence, make_slice

FORTH = make_move(CHALLENGER, CHAMPION)
BACK = make_move(CHAMPION, CHALLENGER, kind="rollback", by="Ada", reason="it called every poppy a daisy")
GONE = Retirement(versions=("ancient", CHALLENGER), by="Grace", retired_at=STARTED_AT, reason="older than 5 champions")


def entries(*what: object) -> list[JournalEntry]:
    return [
        JournalEntry(number=number, retirement=it) if isinstance(it, Retirement) else JournalEntry(number, move=it)  # type: ignore[arg-type]
        for number, it in enumerate(what, 1)
    ]


def test_evidence_is_the_pointer_the_intake_and_the_journal_as_they_are_now():
    run = make_run()
    pointer = ChampionPointer(CHAMPION, "s3://memory/x/", "0" * 64, WINDOW.start, None, RUN_ID, 1, move=BACK)
    move_pointer(run.store, layout.champion(run.classifier), pointer, etag=None)
    run.record(INTAKE, make_intake())
    journal.append(run.store, run.classifier, BACK)

    evidence = gather_evidence(run, make_evaluation())

    assert (evidence.champion, evidence.intake) == (pointer, make_intake())
    assert evidence.champion_etag is not None
    assert evidence.withdrawn == {CHALLENGER: "Ada rolled back from it: it called every poppy a daisy"}


def test_of_a_first_run_without_an_intake_there_is_no_more_evidence_than_its_evaluation():
    evidence = gather_evidence(make_run(InMemoryStore()), make_evaluation())

    assert evidence == make_evidence(intake=None)


def test_a_rollback_whose_mover_was_killed_before_the_journal_had_it_withdraws_all_the_same():
    run = make_run()
    pointer = ChampionPointer(CHAMPION, "s3://memory/x/", "0" * 64, WINDOW.start, None, RUN_ID, 1, move=BACK)
    move_pointer(run.store, layout.champion(run.classifier), pointer, etag=None)

    assert CHALLENGER in gather_evidence(run, make_evaluation()).withdrawn


def test_a_promotion_withdraws_nothing():
    assert withdrawn_versions(entries(FORTH)) == {}


def test_a_rollback_withdraws_what_it_left():
    assert withdrawn_versions(entries(FORTH, BACK)) == {
        CHALLENGER: "Ada rolled back from it: it called every poppy a daisy"
    }


def test_who_makes_a_withdrawn_version_champion_again_takes_that_back():
    assert withdrawn_versions(entries(FORTH, BACK, make_move(CHALLENGER, CHAMPION, by="Grace"))) == {}


def test_a_rollback_of_a_rollback_withdraws_the_other_one():
    again = make_move(CHALLENGER, CHAMPION, kind="rollback", by="Grace", reason="it was not the model")

    assert withdrawn_versions(entries(FORTH, BACK, again)) == {
        CHAMPION: "Grace rolled back from it: it was not the model"
    }


def test_what_retention_removed_is_withdrawn_for_good():
    assert withdrawn_versions(entries(FORTH, GONE)) == dict.fromkeys(
        ("ancient", CHALLENGER), "Grace had it removed: older than 5 champions"
    )


def test_a_move_that_was_faster_than_the_retention_annuls_it():
    assert set(withdrawn_versions(entries(GONE, FORTH))) == {"ancient"}


def test_a_number_is_found_overall_by_label_in_a_slice_and_under_a_prior():
    scored = make_scored_version(
        make_metrics({"daisy": 0.9, "poppy": 0.8, "orchid": 0.7}),
        slices=(make_slice("camera=north", 100, 0.6), make_slice("camera=south", 100, 0.5)),
        deployment=PriorMetrics(dict.fromkeys(LABELS, 1 / 3), 0.4, 0.3, 0.2, {"daisy": 0.1}),
    )

    assert metric_of(scored, "macro_recall") == pytest.approx(0.8)
    assert metric_of(scored, "recall:orchid") == pytest.approx(0.7)
    assert metric_of(scored, "recall:orchid", "camera=south") == 0.5
    assert metric_of(scored, "accuracy", prior="deployment") == 0.4
    assert metric_of(scored, "precision:daisy", prior="deployment") == 0.1


@pytest.mark.parametrize(
    ("metric", "where", "prior"),
    [
        ("beauty", "", "test"),
        ("recall", "", "test"),
        ("recall:rose", "", "test"),
        ("accuracy", "camera=east", "test"),
        ("accuracy", "", "deployment"),
        ("macro_f1", "camera=north", "test"),
        ("n_rows", "", "test"),
        ("confusion", "", "test"),
    ],
)
def test_what_is_not_there_is_missing(metric: str, where: str, prior: str):
    scored = make_scored_version(slices=(make_slice("camera=north"),))

    assert metric_of(scored, metric, where, prior) is None
    assert metric_of(None, "accuracy") is None


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf"), "0.5", (0.5,)])
def test_what_is_no_number_is_missing(value: object):
    assert finite(value) is None


def test_a_difference_is_found_by_metric_slice_and_prior_together():
    differences = (
        make_difference("accuracy", 0.1),
        make_difference("accuracy", 0.2, slice="camera=north"),
        make_difference("accuracy", 0.3, prior="deployment"),
    )
    evaluation = make_evaluation(champion=make_metrics(), differences=differences)

    assert difference_of(evaluation, "accuracy") == differences[0]
    assert difference_of(evaluation, "accuracy", "camera=north") == differences[1]
    assert difference_of(evaluation, "accuracy", prior="deployment") == differences[2]
    assert difference_of(evaluation, "accuracy", "camera=north", "deployment") is None
    assert difference_of(evaluation, "ece") is None


def test_a_champion_is_unscored_where_it_has_a_problem_or_no_numbers():
    there = make_evaluation(champion=make_metrics())
    broken = Incumbent(CHAMPION, "0" * 64, WINDOW.start, "a file is gone")

    assert make_evidence(make_evaluation()).unscored == ""
    assert make_evidence(there).unscored == ""
    assert make_evidence(dataclasses.replace(there, incumbent=broken)).unscored == "a file is gone"
    assert make_evidence(dataclasses.replace(there, champion=None)).unscored == "the evaluation has no numbers of it"
