from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.retraining.artifacts import PromotionDecision, Window
from include.retraining.command_line import runs
from include.retraining.command_line.main import main
from include.retraining.errors import DataContractError
from include.retraining.pipeline import Outcome, Wishes
from include.retraining.run import EVALUATION, INTAKE, SELECTION, Run
from tests.builders import make_intake, make_selection
from tests.promotions import make_decision, make_evaluation

RUN_ID = "command-line__2026-01-05_2026-01-06"


@pytest.fixture
def retrained(store, monkeypatch):
    """Replaces the pipeline by one that records a run and decides as told; returns what it was called with."""
    called: dict[str, Any] = {}

    def prepare(decision: PromotionDecision) -> dict[str, Any]:
        def retrain(run: Run, wishes: Wishes, *, progress: Any) -> Outcome:
            called.update(run=run, wishes=wishes)
            progress("inspect_images", 0, 2)
            progress("inspect_images", 2, 2)
            run.record(INTAKE, make_intake())
            run.record(SELECTION, make_selection())
            run.record(EVALUATION, make_evaluation())
            return Outcome(delivered=True, decision=decision, report_uri="s3://memory/report.html")

        monkeypatch.setattr(runs, "retrain", retrain)
        return called

    return prepare


def test_a_window_without_a_delivery_is_said_and_is_no_error(store, capsys):
    assert main(["run", "flowers", "--from", "2026-01-05", "--to", "2026-01-06"]) == 0

    captured = capsys.readouterr()
    assert captured.out == "Nothing was delivered for flowers from 2026-01-05 to 2026-01-06.\n"
    assert captured.err == "list_batch: 1/1\n"
    assert [key for key in store.objects if not key.startswith("runs/")] == []


def test_json_says_so_too(store, capsys):
    assert main(["run", "flowers", "--from", "2026-01-05", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run_id": "command-line__2026-01-05_2026-01-05",
        "outcome": {"delivered": False, "decision": None, "report_uri": ""},
        "intake": None,
    }


def test_days_in_the_wrong_order_are_refused(store, capsys):
    assert main(["run", "flowers", "--from", "2026-01-06", "--to", "2026-01-05"]) == 1
    assert (
        capsys.readouterr().err
        == "error: --to: expected 2026-01-06 or a later day, got 2026-01-05. Swap the two days\n"
    )


@pytest.mark.parametrize(
    ("arguments", "end"),
    [([], datetime(2026, 1, 6, tzinfo=UTC)), (["--to", "2026-01-06"], datetime(2026, 1, 7, tzinfo=UTC))],
)
def test_the_last_day_is_itself_included_and_is_the_first_where_none_is_named(retrained, arguments, end):
    called = retrained(make_decision())

    assert main(["run", "flowers", "--from", "2026-01-05", *arguments]) == 0
    assert called["run"].window == Window(start=datetime(2026, 1, 5, tzinfo=UTC), end=end)


@pytest.mark.parametrize(("arguments", "allowed"), [([], True), (["--no-promote"], False)])
def test_a_run_may_promote_unless_it_is_told_not_to(retrained, arguments, allowed):
    called = retrained(make_decision())

    main(["run", "flowers", "--from", "2026-01-05", *arguments])

    assert called["wishes"].allowed is allowed


@pytest.mark.parametrize(("arguments", "asked"), [([], False), (["--register-baseline"], True)])
def test_a_run_registers_a_baseline_only_where_it_is_asked_to(retrained, arguments, asked):
    called = retrained(make_decision())

    main(["run", "flowers", "--from", "2026-01-05", *arguments])

    assert called["wishes"].register_baseline is asked


@pytest.mark.parametrize(("arguments", "asked"), [([], False), (["--rebaseline"], True)])
def test_a_run_replaces_a_champion_that_cannot_be_scored_only_where_it_is_asked_to(retrained, arguments, asked):
    called = retrained(make_decision())

    main(["run", "flowers", "--from", "2026-01-05", *arguments])

    assert called["wishes"].rebaseline is asked


def test_a_run_knows_who_started_it(retrained, monkeypatch):
    called = retrained(make_decision())
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")

    main(["run", "flowers", "--from", "2026-01-05"])

    assert called["run"].started_by == "ada"


def test_a_dry_run_says_what_the_gates_said_and_that_nothing_moved(retrained, capsys):
    retrained(make_decision(is_dry_run=True))

    assert main(["run", "flowers", "--from", "2026-01-05", "--no-promote"]) == 0

    lines = capsys.readouterr().out.splitlines()
    at = lines.index("challenger 20260103T0200-aaaaaaaaaaaa: approved, and not promoted")
    assert lines[at + 1].startswith("  because the run was asked to decide only")


def test_the_same_days_are_the_same_run(retrained):
    called = retrained(make_decision())

    for _ in range(2):
        main(["run", "flowers", "--from", "2026-01-05", "--to", "2026-01-06"])
        assert called["run"].run_id == RUN_ID


def test_it_ends_with_the_numbers_the_gates_and_the_decision(retrained, capsys):
    retrained(make_decision())

    assert main(["run", "flowers", "--from", "2026-01-05"]) == 0

    captured = capsys.readouterr()
    lines = [" ".join(line.split()) for line in captured.out.splitlines()]
    assert "delivered 520, accepted 500, skipped 8, quarantined 12" in lines
    assert "smote · linear 0.8000 ± 0.0071 0.8000 0.8000" in lines
    assert "none · linear 0.7000 ± 0.0071 0.7000 0.6500" in lines
    assert f"{make_selection().because} Test rows are not used to choose." in lines
    assert "challenger 20260103T0200-aaaaaaaaaaaa: promoted" in lines
    assert lines[-1] == "report s3://memory/report.html"
    assert captured.err == "inspect_images: 2/2\n"


def test_a_refusal_is_told_with_its_reasons_and_is_no_error(retrained, capsys):
    retrained(make_decision("macro_recall fell", "ece is undefined"))

    assert main(["run", "flowers", "--from", "2026-01-05"]) == 0

    lines = capsys.readouterr().out.splitlines()
    at = lines.index("challenger 20260103T0200-aaaaaaaaaaaa: not promoted")
    assert lines[at + 1 : at + 3] == ["  because macro_recall fell", "  because ece is undefined"]


def test_json_has_the_decision_and_the_intake(retrained, capsys):
    retrained(make_decision("macro_recall fell"))

    assert main(["run", "flowers", "--from", "2026-01-05", "--to", "2026-01-06", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["run_id"] == RUN_ID
    assert shown["outcome"]["decision"]["reasons"] == ["macro_recall fell"]
    assert shown["outcome"]["decision"]["decided_at"] == "2026-01-03T02:00:05+00:00"
    assert shown["intake"]["delivered"] == 520
    assert list(shown["intake"]["batch_uris"]) == ["2026-01-02"]


def test_a_refused_delivery_is_an_error_for_the_data_owner(store, monkeypatch, capsys):
    def retrain(*_: object, **__: object) -> Outcome:
        raise DataContractError("s3://memory/incoming/flowers/2026-01-05/", ["no image was accepted"])

    monkeypatch.setattr(runs, "retrain", retrain)

    assert main(["run", "flowers", "--from", "2026-01-05"]) == 1
    assert "no image was accepted. The data owner must correct the delivery" in capsys.readouterr().err
