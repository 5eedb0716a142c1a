from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from include.retraining.artifacts import BatchPointer, IntakeRecord, Window
from include.retraining.command_line import intake
from include.retraining.command_line.main import main
from include.retraining.errors import DataContractError
from include.retraining.intake.outcomes import VERDICTS_RECORD, DayVerdicts, Verdicts
from include.retraining.run import INTAKE, Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.pointers import move_pointer
from tests.builders import make_intake
from tests.unit.retraining.intake.deliveries import deliver, png

DAY = date(2026, 1, 5)
DATA_DOCS = "s3://memory/runs/flowers/command-line-intake__2026-01-05/intake/2026-01-05/data_docs/index.html"
RECORD = make_intake(
    batch_uris={DAY: "s3://memory/batches/flowers/2026-01-05/ab12/"},
    data_docs_uris={DAY: DATA_DOCS},
    warnings=("2026-01-05: no image of 'orchid' was delivered",),
)
REFUSAL = DataContractError("s3://memory/incoming/flowers/2026-01-05/", ["2026-01-05: 3 of 4 images are quarantined"])


def total(shown: dict[str, Any]) -> int:
    return shown["accepted"] + shown["skipped"] + sum(shown["quarantined"].values())


@pytest.fixture
def taken_in(store, monkeypatch):
    """Replaces all steps after the listing by some that leave a record; returns what they were called with."""
    deliver(store, {"a.png": png(1)}, ["a.png,daisy,,"], day=DAY)
    called: dict[str, Any] = {}

    def prepare(record: IntakeRecord = RECORD, *, revision: int = 1) -> dict[str, Any]:
        def take_in(run: Run, listings: list[str], *, register_baseline: bool, progress: Any) -> str:
            called.update(run=run, listings=listings, register_baseline=register_baseline)
            for day in record.batch_uris:
                key = layout.current_batch("flowers", day)
                move_pointer(store, key, BatchPointer(digest="ab12", revision=revision), etag=None)
            return run.record(INTAKE, record)

        monkeypatch.setattr(intake, "take_in", take_in)
        return called

    return prepare


@pytest.fixture
def refused(store, monkeypatch):
    """Replaces all steps after the listing by some that judge four images and refuse them."""
    deliver(store, {"a.png": png(1)}, ["a.png,daisy,,"], day=DAY)

    def take_in(run: Run, listings: list[str], *, register_baseline: bool, progress: Any) -> str:
        counts = {
            "delivered": 7,
            "outcomes": {"accepted": 1, "quarantined": 4, "skipped": 2},
            "first_reasons": {"duplicate": 2, "not_listed": 1, "unknown_label": 3},
        }
        key = f"{run.prefix}intake/2026-01-05/validation.json"
        store.put(key, json.dumps({**counts, "date": "2026-01-05", "findings": []}).encode())
        judged = DayVerdicts((), 7, ("it is late",), REFUSAL.failed_checks, uri_of(store, key), DATA_DOCS)
        run.record(VERDICTS_RECORD, Verdicts({DAY: judged}))
        raise REFUSAL

    monkeypatch.setattr(intake, "take_in", take_in)


def test_the_numbers_are_told_by_reason_with_the_batch_and_the_data_docs(taken_in, capsys):
    taken_in()

    assert main(["intake", "flowers", "2026-01-05"]) == 0

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "delivered 520, accepted 500, skipped 8, quarantined 12"
    assert any(line.startswith("unknown_label 3 The label is not one of the classifier's") for line in lines)
    assert any(line.startswith("duplicate_of_earlier_batch 5 An earlier batch holds") for line in lines)
    assert "warning: 2026-01-05: no image of 'orchid' was delivered" in lines
    at = lines.index("batch 2026-01-05: new")
    assert lines[at + 1] == "s3://memory/batches/flowers/2026-01-05/ab12/"
    assert lines[-2:] == ["Data Docs 2026-01-05:", DATA_DOCS]


@pytest.mark.parametrize(
    ("record", "revision", "news"),
    [
        (RECORD, 1, "batch 2026-01-05: new\n"),
        (RECORD, 3, "batch 2026-01-05: new revision, number 3\n"),
        (make_intake(unchanged=(DAY,), batch_uris=RECORD.batch_uris), 3, "already taken in: nothing changed\n"),
        (make_intake(batch_uris={}), 1, "no batch: no image is new\n"),
        (make_intake(baseline_registered=True), 1, "baseline: later batches are compared from 2026-01-05 on\n"),
    ],
)
def test_it_says_what_the_delivery_changed(taken_in, capsys, record, revision, news):
    taken_in(record, revision=revision)

    assert main(["intake", "flowers", "2026-01-05"]) == 0
    assert news in capsys.readouterr().out


def test_json_is_one_object_whose_numbers_add_up(taken_in, capsys):
    taken_in()

    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["delivered"], shown["accepted"], shown["skipped"]) == (520, 500, 8)
    assert shown["quarantined"] == {"truncated_or_corrupt": 9, "unknown_label": 3}
    assert shown["skipped_by"] == {"duplicate": 3, "duplicate_of_earlier_batch": 5}
    assert total(shown) == shown["delivered"]
    assert (shown["unchanged"], shown["revisions"]) == ([], {"2026-01-05": 1})
    assert shown["batch_uris"] == {"2026-01-05": "s3://memory/batches/flowers/2026-01-05/ab12/"}
    assert shown["data_docs_uris"] == {"2026-01-05": DATA_DOCS}
    assert shown["warnings"] == ["2026-01-05: no image of 'orchid' was delivered"]
    assert "error" not in shown


def test_it_is_about_the_one_day_and_a_run_of_its_own(taken_in):
    called = taken_in()

    main(["intake", "flowers", "2026-01-05"])

    assert called["run"].window == Window(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    assert called["run"].run_id == "command-line-intake__2026-01-05"
    assert called["register_baseline"] is False
    assert len(called["listings"]) == 1


def test_a_baseline_is_registered_where_it_is_asked_for(taken_in):
    called = taken_in()

    main(["intake", "flowers", "2026-01-05", "--register-baseline"])

    assert called["register_baseline"] is True


def test_a_refused_batch_is_an_error_beside_the_numbers(refused, capsys):
    assert main(["intake", "flowers", "2026-01-05"]) == 1

    captured = capsys.readouterr()
    assert captured.out.startswith("delivered 7, accepted 1, skipped 2, quarantined 4\n")
    assert "no batch: the delivery is refused" in captured.out
    assert DATA_DOCS in captured.out
    assert captured.err.splitlines()[-1] == f"error: {REFUSAL}"


def test_a_refused_batch_as_json_has_the_numbers_and_the_error(refused, capsys):
    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 1

    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    assert (shown["delivered"], shown["accepted"], shown["skipped"]) == (7, 1, 2)
    assert shown["quarantined"] == {"not_listed": 1, "unknown_label": 3}
    assert shown["skipped_by"] == {"duplicate": 2}
    assert total(shown) == shown["delivered"]
    assert shown["warnings"] == ["2026-01-05: it is late"]
    assert shown["data_docs_uris"] == {"2026-01-05": DATA_DOCS}
    assert shown["error"] == str(REFUSAL)
    assert shown["failed_checks"] == ["2026-01-05: 3 of 4 images are quarantined"]
    assert captured.err.splitlines()[-1] == f"error: {REFUSAL}"


def test_what_is_refused_before_it_can_be_judged_has_zeros_and_the_error(store, capsys):
    deliver(store, {"a.png": png(1), "labels.csv": b"picture,kind\na.png,daisy\n"}, day=DAY)

    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 1

    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    assert (shown["delivered"], total(shown)) == (0, 0)
    assert "labels.csv" in shown["error"]
    assert len(shown["failed_checks"]) == 1
    assert "error: s3://memory/incoming/flowers/2026-01-05/ is refused: labels.csv" in captured.err


def test_the_numbers_of_an_earlier_attempt_are_not_told_again(refused, store, capsys):
    main(["intake", "flowers", "2026-01-05", "--json"])
    deliver(store, {"labels.csv": b"picture,kind\na.png,daisy\n"}, day=DAY)
    capsys.readouterr()

    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["delivered"] == 0


def test_a_day_without_a_delivery_is_no_error_and_says_where_it_was_looked_for(store, capsys):
    deliver(store, {"a.png": png(1)}, day=date(2026, 1, 6))

    assert main(["intake", "flowers", "2026-01-05"]) == 0
    assert capsys.readouterr().out == (
        "Nothing was delivered for flowers on 2026-01-05: s3://memory/incoming/flowers/2026-01-05/ is empty.\n"
    )


def test_a_day_without_a_delivery_has_zeros_as_json(store, capsys):
    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["delivered"], total(shown), shown["batch_uris"]) == (0, 0, {})
    assert shown["message"].startswith("Nothing was delivered")


def test_a_real_delivery_is_taken_in_once_and_a_repeat_says_that_nothing_changed(store, capsys):
    labels = ("daisy", "poppy", "orchid", "daisy", "poppy", "orchid", "daisy", "rose")
    files = {f"{number}.png": png(number) for number in range(8)}
    deliver(store, files, [f"{number}.png,{label},," for number, label in enumerate(labels)], day=DAY)

    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    accepted = {key: body for key, body in store.objects.items() if key.startswith(("batches/", "quarantine/"))}
    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)

    assert (first["delivered"], first["accepted"], first["quarantined"]) == (8, 7, {"unknown_label": 1})
    assert total(first) == first["delivered"]
    assert (first["unchanged"], second["unchanged"]) == ([], ["2026-01-05"])
    assert second["batch_uris"] == first["batch_uris"]
    assert {key: store.get(key) for key in accepted} == accepted


def test_a_real_delivery_that_is_refused_gives_the_numbers_and_the_way_to_the_reasons(store, capsys):
    deliver(store, {"a.png": b"no image", "b.png": png(1)}, ["a.png,daisy,,", "b.png,daisy,,"], day=DAY)

    assert main(["intake", "flowers", "2026-01-05", "--json"]) == 1

    shown = json.loads(capsys.readouterr().out)
    assert (shown["delivered"], shown["accepted"], shown["quarantined"]) == (2, 1, {"not_an_image": 1})
    assert "1 of 2 images are quarantined" in shown["error"]
    assert "s3://memory/quarantine/flowers/2026-01-05/reasons.jsonl" in shown["error"]
    assert not [key for key in store.objects if key.startswith("batches/")]
