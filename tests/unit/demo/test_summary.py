from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from demo.delivery import Planted
from demo.summary import Access, RunResults, macro_recalls_by_strategy, print_summary, read_results
from include.retraining import run as records
from include.retraining.intake.reasons import Reason
from include.retraining.storage.memory import InMemoryStore
from tests.builders import (
    CLASSIFIER,
    LABELS,
    RUN_ID,
    make_candidate,
    make_embedding,
    make_intake,
    make_metrics,
    make_resampling,
    make_run,
    make_selection,
    make_snapshot,
)
from tests.promotions import crown, make_decision, make_evaluation, make_scored_version, publish_made_version

PLANTED = Planted(truncated=9, not_an_image=2, unknown_label=3, conflicting=1, duplicates=8)
ACCESS = Access("http://127.0.0.1:8080", "user admin, password [x]")


def record_all(store: InMemoryStore, **overrides) -> None:
    run = make_run(store)
    values = {
        records.INTAKE: make_intake(quarantined={Reason.TRUNCATED_OR_CORRUPT: 9, Reason.UNKNOWN_LABEL: 3}),
        records.SNAPSHOT: make_snapshot(),
        records.EMBEDDING_PLAN: make_embedding(),
        records.RESAMPLING: make_resampling(),
        records.SELECTION: make_selection(),
        records.EVALUATION: make_evaluation(),
        records.DECISION: make_decision(),
        **overrides,
    }
    for name, value in values.items():
        run.record(name, value)


def read(store: InMemoryStore) -> RunResults:
    return read_results(store, CLASSIFIER, day="2026-01-02", run_id=RUN_ID)


def printed(runs, *, pointer=None) -> str:
    out = io.StringIO()
    print_summary(
        Console(file=out, width=150, color_system=None),
        runs,
        planted=[PLANTED],
        stage_seconds={"intake": 12.34, "embedding": 60.0},
        pointer=pointer,
        access=ACCESS,
    )
    return out.getvalue()


def row(text: str, *starts: str) -> list[str]:
    """The cells of the first row whose first cell that is not empty starts like this."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]
        if any(cell for cell in cells) and next(cell for cell in cells if cell).startswith(starts):
            return cells
    raise AssertionError(f"No row starts with {starts} in:\n{text}")


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    record_all(store)
    return store


def test_the_records_of_a_run_are_read_back(store):
    results = read(store)

    assert results.intake is not None
    assert results.intake.delivered == 520
    assert results.decision == make_decision()
    assert results.selection == make_selection()


def test_a_run_that_stopped_early_has_none_of_the_later_records():
    store = InMemoryStore()
    make_run(store).record(records.INTAKE, make_intake())

    results = read(store)

    assert results.intake is not None
    assert (results.snapshot, results.embedding, results.resampling, results.selection) == (None,) * 4
    assert (results.evaluation, results.decision) == (None, None)


def test_the_summary_counts_images_reasons_and_classes(store):
    text = printed([read(store)])

    assert row(text, "2026-01-02") == ["2026-01-02", "520", "500", "8", "12", "450", "450"]
    assert row(text, "truncated_or_corrupt") == ["truncated_or_corrupt", "9", "9"]
    assert row(text, "not_an_image") == ["not_an_image", "0", "2"]
    assert row(text, "(skipped duplicates)") == ["(skipped duplicates)", "8", "8"]
    assert row(text, "orchid") == ["orchid", "10", "400", "2", "100"]


def test_the_candidates_stand_side_by_side_and_the_champion_is_marked(store):
    version = publish_made_version(store)
    pointer = crown(store, version)
    scored = make_scored_version(version=version.name)
    record_all(store, **{records.EVALUATION: dataclasses.replace(make_evaluation(), challenger=scored)})

    text = printed([read(store)], pointer=pointer)

    assert row(text, "★")[:2] == ["★", "smote · linear"]
    assert row(text, "none · linear")[1:3] == ["none · linear", "0.700 ± 0.007"]
    assert row(text, "none · linear")[3:] == ["0.7000", *["0.6500"] * 3]
    assert version.name in text
    assert version.uri in text


def test_a_challenger_that_did_not_win_is_marked_as_such_with_the_reasons(store):
    record_all(store, **{records.DECISION: make_decision("macro_recall fell from 0.9 to 0.8")})

    text = printed([read(store)])

    assert row(text, "→")[1] == "smote · linear"
    assert "2026-01-02 was not promoted: macro_recall fell from 0.9 to 0.8" in text
    assert row(text, "floor macro_recall")[-2:] == ["NO", "macro_recall is 0.8000; at least 0.5000 was asked."]


def test_test_metrics_stand_beside_the_champions(store):
    champion = make_metrics(dict.fromkeys(LABELS, 0.7))
    record_all(store, **{records.EVALUATION: make_evaluation(champion=champion)})

    assert row(printed([read(store)]), "macro recall") == ["macro recall", "0.8000", "0.7000"]


def test_the_summary_says_where_to_look_and_how_long_it_took(store):
    text = printed([read(store)])

    assert "http://127.0.0.1:8080" in text
    assert "user admin, password [x]" in text
    assert row(text, "intake") == ["intake", "12.3"]
    assert "champion:   none" in text


def test_runs_without_records_are_summed_up_too():
    text = printed([read(InMemoryStore())])

    assert row(text, "2026-01-02") == ["2026-01-02", *["-"] * 6]
    assert "the run decided nothing" in text
    assert "intake" in printed([])


def test_a_strategy_is_judged_on_test_by_its_best_candidate_by_cross_validation(store):
    candidates = [make_candidate("smote", "mlp"), make_candidate("none", "linear"), make_candidate("smote", "linear")]
    tested = {
        "smote · mlp": make_metrics(dict.fromkeys(LABELS, 0.8)),
        "smote · linear": make_metrics(dict.fromkeys(LABELS, 0.9)),
    }
    record_all(
        store,
        **{records.SELECTION: make_selection(candidates), records.EVALUATION: make_evaluation(candidates=tested)},
    )

    recalls = macro_recalls_by_strategy(read(store))

    assert recalls == {"smote": pytest.approx(0.8), "none": None}
    assert macro_recalls_by_strategy(read(InMemoryStore())) == {}


def test_an_approval_in_a_dry_run_is_not_told_as_a_promotion(store):
    record_all(store, **{records.DECISION: make_decision(is_dry_run=True)})

    text = printed([read(store)], pointer=None)

    assert "not promoted" in text
    assert "was not promoted: the run was asked to decide only" in " ".join(text.split())
