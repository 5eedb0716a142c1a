from __future__ import annotations

import dataclasses

import pytest

from include.retraining.artifacts import (
    Approval,
    ChanceTest,
    EvaluationRecord,
    Incumbent,
    PriorMetrics,
    PromotionDecision,
    ServingCost,
)
from include.retraining.run import APPROVAL, DECISION, EVALUATION, PROMOTION, VERSION, Run
from tests.builders import LABELS, RUN_ID, STARTED_AT, WINDOW, make_config, make_metrics, make_run
from tests.promotions import (
    CHALLENGER,
    CHAMPION,
    make_decision,
    make_difference,
    make_evaluation,
    make_move,
    make_scored_version,
    publish_made_version,
)
from tests.unit.retraining.reporting.pages import Page, make_slice, report_of

GATES = [
    {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 0.02},
    {"gate": "non_inferior", "metric": "recall:*", "tolerance": 0.01},
]


def compared(**fields: object) -> EvaluationRecord:
    record = make_evaluation(make_metrics(), make_metrics(dict.fromkeys(LABELS, 0.75)))
    return dataclasses.replace(record, **fields)  # type: ignore[arg-type]


def page_of(record: EvaluationRecord | None = None, run: Run | None = None) -> Page:
    run = make_run() if run is None else run
    if record is not None:
        run.record(EVALUATION, record)
    return Page(report_of(run))


def page_of_decision(decision: PromotionDecision, **records: object) -> Page:
    run = make_run()
    run.record(DECISION, decision)
    for name, record in records.items():
        run.record({"approval": APPROVAL, "promotion": PROMOTION}[name], record)
    return Page(report_of(run))


def test_differences_are_drawn_with_their_bounds_and_what_a_gate_allows() -> None:
    differences = (
        make_difference("macro_recall", 0.05),
        make_difference("ece", -0.01),
        make_difference("recall:orchid", -0.2),
    )

    page = page_of(compared(differences=differences), make_run(config=make_config(gates=GATES)))

    told = [where[2] for where in page.attributes if where[0] == "svg" and where[1] == "aria-label"]
    assert told[:3] == [
        "Macro recall: +0.0500 [+0.0300, +0.0700], within what the gate allows",
        "Calibration error (ECE): −0.0100 [−0.0300, +0.0100]",
        "orchid: −0.2000 [−0.2200, −0.1800], worse than the gate allows",
    ]
    assert "A dashed line is how much worse a gate lets it be" in page.text
    assert "Difference [95 % bounds]" in page.text


def test_without_gates_that_compare_no_limit_is_told() -> None:
    assert "A dashed line is how much worse" not in page_of(compared()).text


def test_a_champion_that_cannot_be_scored_is_told_with_its_problem_and_the_cure() -> None:
    incumbent = Incumbent(
        CHAMPION, "c4" * 32, WINDOW.start, problem="s3://memory/model.keras is not what was published."
    )

    text = page_of(compared(incumbent=incumbent, champion=None, differences=())).text

    assert "The champion cannot be scored. s3://memory/model.keras is not what was published." in text
    assert "rollback_flowers" in text
    assert "ask for a re-baseline" in text
    assert "champion not scored" in text
    assert "There is no champion" not in text


def test_a_first_model_has_no_champion_beside_it() -> None:
    text = page_of(make_evaluation()).text

    assert "There is no champion to compare it with yet." in text
    assert "cannot be scored" not in text
    assert "Challenger less champion" not in text


def test_chance_and_cost_are_told_in_sentences() -> None:
    text = page_of(compared()).text

    assert (
        "Against chance: a macro recall of 0.8000, where 1,000 permutations of the labels give 0.3300 on average and "
        "less than 0.3700 in 95 % of them (p = 0.001)." in text
    )
    assert "its files take 15.0 MB; a call with one image, from the bytes of a file to a label, took 12.0 ms" in text


def test_what_was_not_measured_is_told_as_such() -> None:
    chance, cost = ChanceTest("macro_recall", None, None, None, None, 1000), ServingCost(1_000_000, 0.0, 0.0, 0)

    text = page_of(compared(chance=chance, cost=cost)).text

    assert "Whether the challenger is better than chance is not known: its macro recall is undefined." in text
    assert "its files take 1.0 MB; how long a call takes was not measured." in text


def test_metrics_under_the_deployment_prior_stand_beside_the_others() -> None:
    prior = PriorMetrics({"daisy": 0.5, "poppy": 0.3, "orchid": 0.2}, 0.9123, 0.88, 0.02, dict.fromkeys(LABELS, 0.9))
    scored = make_scored_version(make_metrics(), deployment=prior)

    text = page_of(compared(challenger=scored)).text

    assert (
        "Where the model is used: daisy 50.0 %, poppy 30.0 %, orchid 20.0 % Macro F1 0.8800 – – Accuracy 0.9123" in text
    )


def test_slices_are_told_by_column_and_small_ones_are_marked() -> None:
    small = make_slice(value="<b>", n_rows=dict.fromkeys(LABELS, 3))
    slices = (make_slice(), small, make_slice(value=""), make_slice("date", "2026-01-02"))
    differences = (make_difference("macro_recall", 0.1, slice="camera=north"),)

    text = page_of(compared(challenger=make_scored_version(slices=slices), differences=differences)).text

    assert "By camera A slice with fewer than 30 test images is marked as small" in text
    assert "north 90 0.8000 – +0.1000 [+0.0800, +0.1200] 0.7000 0.8100 0.0500" in text
    assert "<b> small 9 0.8000" in text
    assert "without a value 90" in text
    assert text.count("is marked as small") == 1


def test_a_dry_run_a_rebaseline_and_the_count_of_checks_are_told() -> None:
    decision = make_decision(
        champion=CHAMPION, is_dry_run=True, rebaseline="a file is gone", by="ana", policy={"gates": [{}, {}, {}]}
    )

    text = page_of_decision(decision).text

    assert "✓ approved decided only against champion" in text
    assert "Re-baseline, as this run was asked." in text
    assert "a file is gone" in text
    assert "2 checks ran for the 3 gates of the recipe: 2 passed, 0 failed." in text
    assert "by ana" in text


@pytest.mark.parametrize(
    ("approved", "by", "told"),
    [
        (True, "ana", "ana said yes at 2026-01-03 02:00 UTC"),
        (False, "ana", "ana said no at 2026-01-03 02:00 UTC"),
        (False, "", "nobody answered until 2026-01-03 02:00 UTC, which means no"),
    ],
)
def test_what_a_person_said_is_told(approved: bool, by: str, told: str) -> None:
    approval = Approval(CHALLENGER, RUN_ID, approved=approved, by=by, answered_at=STARTED_AT)

    assert told in page_of_decision(make_decision(), approval=approval).text


def test_what_is_in_production_afterwards_is_told() -> None:
    kept = page_of_decision(make_decision("no", champion=CHAMPION)).text
    none = page_of_decision(make_decision("no")).text
    moved = page_of_decision(make_decision(champion=CHAMPION), promotion=make_move(incumbent=CHAMPION)).text

    assert f"In production after {CHAMPION}" in kept
    assert "In production after no model" in none
    assert f"In production after {CHALLENGER}" in moved


def test_the_report_leads_to_the_model_card_as_the_airflow_ui_serves_it() -> None:
    run = make_run()
    version = publish_made_version(run.store)
    run.record(VERSION, version)

    page = page_of(run=run)

    assert ("a", "href", f"../../models/flowers/{version.name}/card") in page.attributes
