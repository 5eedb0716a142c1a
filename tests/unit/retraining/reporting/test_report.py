from __future__ import annotations

import dataclasses
import re
from datetime import date

import pytest

from include.retraining.artifacts import Approval, GateResult, Incumbent, Trial
from include.retraining.reporting.report import publish_report
from include.retraining.run import (
    APPROVAL,
    DECISION,
    EMBEDDING_PLAN,
    EVALUATION,
    IMAGE_LEVEL,
    INTAKE,
    LABEL_DOUBTS,
    METRICS,
    RECONSTRUCTION,
    REPORT,
    RESAMPLING,
    SELECTION,
    SNAPSHOT,
    Run,
)
from include.retraining.storage.memory import InMemoryStore
from tests.builders import (
    STARTED_AT,
    WINDOW,
    make_candidate,
    make_config,
    make_image_level,
    make_intake,
    make_label_doubt,
    make_label_doubts,
    make_metrics,
    make_plan,
    make_reconstruction,
    make_resampling,
    make_run,
    make_selection,
    make_snapshot,
)
from tests.promotions import make_decision, make_evaluation, make_scored_version
from tests.unit.retraining.reporting.judged import keep_judged_day
from tests.unit.retraining.reporting.pages import STAGES, Page, make_slice, record_until, report_of


@pytest.mark.parametrize("n_stages", range(len(STAGES) + 1))
def test_every_run_gets_a_whole_page_however_far_it_came(n_stages: int) -> None:
    run = make_run()
    record_until(run, STAGES[:n_stages])

    uri = publish_report(run)

    assert uri == f"s3://memory/{run.prefix}report.html"
    assert Page(run.store.get(f"{run.prefix}{REPORT}").decode()).text.startswith("flowers ·")
    assert run.store.get(f"{run.prefix}{METRICS}").startswith(b"{")


def test_a_whole_run_is_told_from_the_delivery_to_the_lineage() -> None:
    run = make_run()
    record_until(run, STAGES)

    text = Page(report_of(run)).text

    told = (
        "replaced 20260102T0200-bbbbbbbbbbbb as champion: it passed all 2 checks.",
        "2026-01-02 02:00 UTC to 2026-01-03 02:00 UTC",
        "520 images were delivered. 500 were accepted, 8 skipped as exact duplicates, and 12 quarantined.",
        "truncated or corrupt The content begins like an image, but does not decode to its end. quarantined 9",
        "duplicate of earlier batch An earlier batch holds the same pixels and label. skipped 5",
        "data_docs/index.html",
        "orchid 10 2 100 112",
        "900 images need 900 vectors: 450 were stored already, 450 had to be computed in this run.",
        "image_size is 96, the nearest stored fingerprint 1a1a1a1a1a1a1a1a has 64.",
        "The vectors contradict the labels of 2 of 900 images.",
        "daisy 2 poppy 2",
        "s3://memory/runs/flowers/label_doubts.csv",
        "smote makes 1,200 rows of 500 train rows. Validation and test stay as they are.",
        "orchid 10 400 400 5 12.5 %",
        "2 candidates were trained on the same vectors. The challenger is smote · linear .",
        "smote · linear has the highest mean, and no simpler candidate is within one standard error of it.",
        "which is the highest mean less its standard error, 0.7929;",
        "Test, for information, not used to choose",
        "smote · linear challenger 0.8000 ± 0.0071 0.8000 0.8000 0.8000 0.8000 0.0400",
        "Below the bound of 0.7929",
        "none · linear 0.7000 ± 0.0071 0.7000 0.6500 0.6500 0.6500 0.0400",
        "smote · linear weight decay 1, dropout 0, learning rate 0.001 1,795 1,200 4 1.250",
        "G-mean of recalls",
        "mean over classes of √(recall × specificity) 0.8485",
        "0.8000 0.7500 +0.0500",
        "orchid 20 · 80",
        "2 checks ran: 2 passed, 0 failed. Result Gate In words ✓ passed test_rows Every class has",
        "c0de" * 16,
    )
    positions = [text.find(sentence) for sentence in told]
    assert -1 not in positions, [sentence for sentence, found in zip(told, positions, strict=True) if found < 0]


def test_a_class_with_few_images_shows_its_smaller_k() -> None:
    run = make_run()
    run.record(RESAMPLING, make_resampling({"daisy": 400, "poppy": 90, "orchid": 3}))

    text = Page(report_of(run)).text

    assert "orchid 3 400 400 2 12.5 %" in text
    assert "orchid has 3 train images: k is 2 instead of 5." in text


def test_a_refusal_shows_every_reason_and_the_failed_gate_in_words() -> None:
    run = make_run()
    run.record(DECISION, make_decision("recall fell", "data is older"))

    text = Page(report_of(run)).text

    assert "recall fell data is older" in text
    assert "2 checks ran: 1 passed, 1 failed." in text
    assert "✕ failed floor macro_recall macro_recall is 0.8000; at least 0.5000 was asked. ✓ passed" in text


def test_the_same_records_give_the_same_bytes() -> None:
    bodies = []
    for _ in range(2):
        run = make_run(InMemoryStore())
        record_until(run, STAGES)
        publish_report(run)
        bodies.append((run.store.get(f"{run.prefix}{REPORT}"), run.store.get(f"{run.prefix}{METRICS}")))

    assert bodies[0] == bodies[1]


def test_the_page_carries_no_script_and_loads_nothing() -> None:
    run = make_run()
    record_until(run, STAGES)
    html = report_of(run)

    page = Page(html)

    assert not [where for where in page.attributes if where[1] == "src" or where[1].startswith("on")]
    assert {where[0] for where in page.attributes if where[1] == "href"} == {"a"}
    assert not re.search(r"<script|<link|url\(|@import|https?://", html)


def test_the_report_leads_to_the_data_docs_of_each_day_as_the_airflow_ui_serves_them() -> None:
    run = make_run()
    record_until(run, [INTAKE])

    page = Page(report_of(run))

    intake = "../../intake/flowers/scheduled__2026-01-03T02-00-00-00-00"
    assert [where[2] for where in page.attributes if where[1] == "href"] == [
        intake,
        f"{intake}/2026-01-02/index.html",
        f"{intake}/2026-01-02/contact_sheet.html",
    ]


def test_a_delivery_that_was_taken_in_before_and_a_new_baseline_are_told() -> None:
    run = make_run()
    run.record(INTAKE, make_intake(unchanged=(date(2026, 1, 2),), baseline_registered=True))

    text = Page(report_of(run)).text

    assert "Already taken in, nothing changed: the batches of 2026-01-02" in text
    assert "A new baseline was registered" in text
    assert "baseline" not in Page(report_of(_with_intake())).text


def test_a_refused_delivery_is_told_with_its_reasons_although_it_left_no_batch() -> None:
    run = make_run()
    keep_judged_day(run, failures=("3 of 4 images are quarantined",), warnings=("it is late",))

    text = Page(report_of(run)).text

    assert "Delivery refused" in text
    assert "The delivery of 2026-01-02 was refused: 3 of 4 images are quarantined; the champion was not" in text
    assert "4 images were delivered. 1 could be accepted, 0 are exact duplicates, and 3 were quarantined." in text
    assert "it is late" in text


def _with_intake() -> Run:
    run = make_run()
    run.record(INTAKE, make_intake())
    return run


def test_whatever_the_records_hold_is_text_and_never_markup() -> None:
    hostile = "<img src=x onerror=alert(1)>\"'&"
    labels = (hostile, "b")
    run = make_run(config=make_config(labels=labels, description=hostile), run_id=hostile)
    record_until(run, [EMBEDDING_PLAN])
    run.record(INTAKE, make_intake(quarantined={hostile: 1}, warnings=(hostile,)))
    run.record(SNAPSHOT, make_snapshot({hostile: 5, "b": 5}))
    run.record(RESAMPLING, make_resampling({hostile: 5, "b": 2}, make_plan({hostile: 5, "b": 2}, hostile)))
    run.record(RECONSTRUCTION, make_reconstruction(hostile, strategy=hostile, decoder_uri=hostile))
    run.record(IMAGE_LEVEL, make_image_level(strategy=hostile))
    named = {"strategy": hostile, "kind": hostile, "thresholds": {hostile: 0.5}, "settings": {hostile: 1.0}}
    trials = (Trial({hostile: 1.0}, 0.5),)
    run.record(SELECTION, make_selection([make_candidate(**named, name=hostile, trials=trials)], because=hostile))
    metrics = make_metrics({hostile: 0.5, "b": 0.5})
    slices = (make_slice("camera", hostile, n_rows={hostile: 9, "b": 9}),)
    scored = make_scored_version(metrics, version=hostile, slices=slices)
    evaluation = dataclasses.replace(make_evaluation(metrics, metrics), challenger=scored, champion=None)
    incumbent = Incumbent(hostile, hostile, WINDOW.end, problem=hostile)
    run.record(EVALUATION, dataclasses.replace(evaluation, incumbent=incumbent))
    decided = {"challenger": hostile, "rebaseline": hostile, "by": hostile, "run_id": hostile}
    run.record(DECISION, make_decision(hostile, gates=(GateResult(hostile, False, hostile),), **decided))
    run.record(APPROVAL, Approval(hostile, hostile, approved=False, by=hostile, answered_at=STARTED_AT))

    page = Page(report_of(run))

    assert hostile in page.text
    assert not [where for where in page.attributes if where[0] == "img" or where[1] == "onerror"]


def test_plots_are_told_to_those_who_do_not_see_them() -> None:
    run = make_run()
    record_until(run, STAGES)

    page = Page(report_of(run))

    svgs = [where for where in page.attributes if where[0] == "svg" and where[1] == "aria-label"]
    n_curves = 3 * len(make_selection().candidates)
    n_differences = len(make_evaluation(make_metrics(), make_metrics()).differences)
    assert len(svgs) == n_curves + n_differences + 1
    assert svgs[0][2] == "smote · linear: 0.8000 ± 0.0071, reaches the bound"
    assert svgs[1][2] == "none · linear: 0.7000 ± 0.0071, below the bound"
    assert svgs[2][2].startswith("Macro recall of smote · linear on validation by epoch, from ")
    assert svgs[n_curves][2] == "Macro recall: +0.0500 [+0.0300, +0.0700]"
    assert svgs[-1][2].startswith("Accuracy by confidence of challenger and champion;")
    assert [where[2] for where in page.attributes if where[0] == "th" and where[1] == "scope"].count("row") > 20


def test_a_broken_record_is_reported_on_the_page() -> None:
    run = make_run()
    run.record(INTAKE, make_intake())
    run.store.put(f"{run.prefix}{EVALUATION}", b"[]")

    text = Page(report_of(run)).text

    assert "evaluation.json: expected a EvaluationRecord record" in text
    assert "520 images were delivered." in text


def test_doubtful_labels_are_shown_with_pictures_that_the_page_carries() -> None:
    run = make_run()
    picture = "data:image/png;base64,iVBORw0KGgo="
    worst = [make_label_doubt(1, thumbnail=picture), make_label_doubt(2, given="orchid", suggested="daisy")]
    suggested = {"daisy": {"orchid": 1, "poppy": 30}, "orchid": {"daisy": 1}}
    doubted = {"daisy": 31, "poppy": 0, "orchid": 1}
    record = make_label_doubts(worst, n_doubted=32, doubted=doubted, suggested=suggested, not_judged={"poppy": 2})
    run.record(LABEL_DOUBTS, record)

    page = Page(report_of(run))

    assert "labels of 32 of 900 images" in page.text
    assert "Not judged, having too few images: poppy (2)." in page.text
    assert "daisy 31 poppy 30, orchid 1 orchid 1 daisy 1 The most doubtful" in page.text
    assert "given daisy rather poppy incoming/flowers/2026-01-02/images/000001.png" in page.text
    assert "no picture given orchid rather daisy" in page.text
    assert [where for where in page.attributes if where[1] == "src"] == [("img", "src", picture)]


def test_labels_that_nothing_contradicts_leave_one_sentence() -> None:
    run = make_run()
    run.record(LABEL_DOUBTS, make_label_doubts([]))

    text = Page(report_of(run)).text

    assert "labels of 0 of 900 images" in text
    assert "The most doubtful" not in text


def test_the_name_of_a_doubtful_image_is_text_and_never_markup() -> None:
    run = make_run()
    key = 'incoming/flowers/"><img src=x onerror=alert(1)>\u202egnp.png'
    run.record(LABEL_DOUBTS, make_label_doubts([make_label_doubt(key=key, given="<b>", suggested="&lt;")]))

    page = Page(report_of(run))

    assert '"><img src=x onerror=alert(1)>\\u202egnp.png' in page.text
    assert "given <b> rather &lt;" in page.text
    assert not [where for where in page.attributes if where[0] == "img" or where[1] == "onerror"]


def test_a_run_that_did_not_come_to_its_label_doubts_says_nothing_of_them() -> None:
    run = make_run()
    record_until(run, [stage for stage in STAGES if stage != LABEL_DOUBTS])

    text = Page(report_of(run)).text

    assert "Label doubts" not in text
    assert "smote makes 1,200 rows of 500 train rows" in text
