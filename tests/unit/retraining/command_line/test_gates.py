from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.retraining.artifacts import Approval, GateResult, Incumbent
from include.retraining.command_line.gates import explain
from include.retraining.command_line.main import main
from include.retraining.errors import ConfigurationError
from include.retraining.promotion.decision import Request, decide
from include.retraining.run import APPROVAL, DECISION, EVALUATION, INTAKE, PROMOTION, SNAPSHOT, Run, run_key
from include.retraining.storage.memory import InMemoryStore
from tests.builders import RUN_ID, STARTED_AT, WINDOW, make_config, make_intake, make_metrics, make_run, make_snapshot
from tests.promotions import CHALLENGER, CHAMPION, make_evaluation, make_move
from tests.unit.retraining.promotion.evidences import make_evidence

REQUEST = Request(RUN_ID, STARTED_AT, by="schedule")
STRICT = [
    {"gate": "floor", "metric": "recall:*", "minimum": 0.6},
    {"gate": "newer_data"},
]


def asked(store: InMemoryStore, run: str = RUN_ID, *classifiers: str, as_json: bool = False) -> int:
    arguments = argparse.Namespace(run=run, json=as_json)
    return explain(arguments, store, classifiers or ("birds", "flowers"))


def a_run(store: InMemoryStore, classifier: str = "flowers", **recipe: Any) -> Run:
    return make_run(store, make_config(classifier, **recipe))


@pytest.fixture
def store(store: InMemoryStore, monkeypatch: pytest.MonkeyPatch) -> InMemoryStore:
    """The store that the command line finds, and a terminal that is wide enough for a gate in a line."""
    monkeypatch.setenv("COLUMNS", "100")
    return store


@pytest.fixture
def refused(store: InMemoryStore) -> Run:
    """A run whose challenger is bad at poppies and orchids, against a champion."""
    run = a_run(store, gates=STRICT)
    evaluation = make_evaluation(make_metrics({"daisy": 0.9, "poppy": 0.5, "orchid": 0.4}), make_metrics())
    run.record(DECISION, decide(run.config, make_evidence(evaluation), REQUEST))
    return run


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_every_gate_is_listed_with_verdict_and_numbers_and_every_failing_one_is_a_reason(store, refused, capsys):
    assert asked(store) == 0

    lines = said(capsys)
    assert "floor recall:daisy passed 0.9000 0.6000 0.9000; at least 0.6000 is asked" in lines
    assert "floor recall:poppy refused 0.5000 0.6000 0.5000; at least 0.6000 is asked" in lines
    assert any(line.startswith("newer data passed – – its data ends at") for line in lines)
    assert [line for line in lines if line.startswith("refused because")] == [
        "refused because floor recall:poppy: 0.5000; at least 0.6000 is asked",
        "refused because floor recall:orchid: 0.4000; at least 0.6000 is asked",
    ]


def test_the_decision_is_summed_up_with_incumbent_challenger_and_what_results(store, refused, capsys):
    asked(store)

    lines = said(capsys)
    assert "verdict refused" in lines
    assert f"challenger {CHALLENGER}" in lines
    assert f"incumbent {CHAMPION}" in lines
    assert f"resulting {CHAMPION}" in lines
    assert "dry run no" in lines
    assert "re-baseline –" in lines
    assert "asked by schedule" in lines
    assert "first model gates" in lines
    assert "champion not moved by this run: the decision is a refusal" in lines


@pytest.mark.parametrize("run", [RUN_ID, run_key(RUN_ID), f"flowers/{RUN_ID}", f"flowers/{run_key(RUN_ID)}"])
def test_a_run_is_named_by_its_id_or_its_key_with_or_without_the_classifier(store, refused, capsys, run):
    assert asked(store, run) == 0
    assert "verdict refused" in said(capsys)


def test_as_json_the_decision_itself_is_printed(store, refused, capsys):
    assert asked(store, as_json=True) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["challenger"], shown["champion"], shown["approved"]) == (CHALLENGER, CHAMPION, False)
    assert [gate["passed"] for gate in shown["gates"]] == [True, False, False, True]
    assert shown["policy"]["gates"][0]["metric"] == "recall:*"


def test_a_run_of_that_name_in_two_classifiers_must_be_named_with_one(store, refused, capsys):
    a_run(store, "birds").record(DECISION, decide(make_config("birds"), make_evidence(), REQUEST))

    with pytest.raises(ConfigurationError, match=r"birds and flowers have one of this name\. Write birds/scheduled__"):
        asked(store)
    assert asked(store, f"birds/{RUN_ID}") == 0
    assert asked(store, RUN_ID, "birds") == 0
    assert "verdict approved" in said(capsys)


@pytest.mark.parametrize("run", ["manual__2026", "trees/manual__2026", "..", "", "/", "flowers/", "../flowers"])
def test_a_run_that_is_nowhere_is_an_error_that_says_where_it_was_looked_for(store, refused, run):
    with pytest.raises(ConfigurationError, match="nothing was recorded of it; looked under runs/birds/"):
        asked(store, run)


def test_a_run_that_came_to_no_decision_says_how_far_it_came_and_what_is_missing(store):
    run = a_run(store)
    run.record(INTAKE, make_intake())
    run.record(SNAPSHOT, make_snapshot())

    with pytest.raises(ConfigurationError) as caught:
        asked(store)

    assert "it came to no decision: the last step that it recorded is snapshot.json" in caught.value.problem
    assert caught.value.problem.endswith(f"the first record that is missing is s3://memory/{run.prefix}embedding.json")


def test_a_run_of_which_only_something_else_is_there_recorded_no_step(store):
    a_run(store).record("label_doubts.json", make_intake())

    with pytest.raises(ConfigurationError, match="none of the steps before it"):
        asked(store)


def test_an_evaluation_without_a_decision_lacks_the_decision_alone(store):
    run = a_run(store)
    for name in (INTAKE, SNAPSHOT, "embedding.json", "selection.json", "version.json", EVALUATION):
        run.record(name, make_intake())

    with pytest.raises(ConfigurationError, match=r"recorded is evaluation\.json, .* missing is s3.*/decision\.json"):
        asked(store)


def test_after_a_promotion_the_move_is_told(store, capsys):
    run = a_run(store)
    run.record(DECISION, decide(run.config, make_evidence(), REQUEST))
    run.record(PROMOTION, make_move(CHALLENGER))

    asked(store)

    assert f"champion none -> {CHALLENGER}" in said(capsys)


@pytest.mark.parametrize(
    ("approved", "by", "told"),
    [
        (True, "Ada", "a person approved by Ada"),
        (False, "Ada", "a person rejected by Ada"),
        (False, "", "a person no answer in time, which means no"),
    ],
)
def test_what_a_person_said_is_told(store, capsys, approved: bool, by: str, told: str):
    run = a_run(store)
    run.record(DECISION, decide(run.config, make_evidence(), REQUEST))
    answered_at = datetime(2026, 1, 3, 9, tzinfo=UTC)
    run.record(APPROVAL, Approval(CHALLENGER, RUN_ID, approved=approved, by=by, answered_at=answered_at))

    asked(store)

    lines = said(capsys)
    assert told in lines
    assert f"champion not moved by this run{'' if approved else ': a person must approve'}" in lines


def test_a_first_model_that_waits_for_a_person_says_so(store, capsys):
    run = a_run(store, promotion={"first_model": "by_hand"})
    run.record(DECISION, decide(run.config, make_evidence(), REQUEST))

    asked(store)

    lines = said(capsys)
    assert {"verdict approved", "resulting –", "dry run yes", "first model by_hand"} <= set(lines)
    assert "there is no champion yet, and the recipe leaves the first one to a person" in " ".join(lines)


def test_a_re_baseline_says_what_was_wrong_with_the_champion(store, capsys):
    run = a_run(store, gates=[*STRICT, {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 0.0}])
    evaluation = make_evaluation(incumbent=Incumbent(CHAMPION, "c4" * 32, WINDOW.start, "its snapshot is gone"))
    request = Request(RUN_ID, STARTED_AT, rebaseline=True)
    run.record(DECISION, decide(run.config, make_evidence(evaluation), request))

    asked(store)

    assert "re-baseline its snapshot is gone" in said(capsys)


def test_a_decision_from_before_policies_were_kept_is_explained_too(store, capsys):
    run = a_run(store)
    decision = decide(run.config, make_evidence(), REQUEST)
    old = {name: value for name, value in vars(decision).items() if name not in ("policy", "by", "test_digest")}
    run.record(DECISION, type(decision)(**{**old, "gates": (GateResult("floor", True, "0.8 is enough"),)}))

    assert asked(store) == 0
    assert "floor passed – – 0.8 is enough" in said(capsys)


@pytest.mark.parametrize("options", [[], ["--classifier", "flowers"]])
def test_the_command_line_looks_among_the_classifiers_that_have_a_recipe(store, refused, capsys, options):
    assert main(["gates", "explain", RUN_ID, *options]) == 0
    assert "verdict refused" in said(capsys)


def test_the_command_line_says_that_a_run_came_to_no_decision_and_fails(store, capsys):
    a_run(store).record(INTAKE, make_intake())

    assert main(["gates", "explain", RUN_ID]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: run {RUN_ID} of flowers: it came to no decision: the last step")
