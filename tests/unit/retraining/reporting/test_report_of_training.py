from __future__ import annotations

from include.retraining.artifacts import ResamplingRecord, Trial
from include.retraining.reporting.report import publish_report
from include.retraining.run import (
    IMAGE_LEVEL,
    METRICS,
    RECONSTRUCTION,
    RESAMPLING,
    SELECTION,
)
from tests.builders import (
    make_candidate,
    make_image_level,
    make_plan,
    make_reconstruction,
    make_resampling,
    make_run,
    make_selection,
)
from tests.unit.retraining.reporting.pages import Page, report_of


def test_several_plans_are_folded_and_the_challengers_is_open() -> None:
    run = make_run()
    warned = make_plan(strategy="adasyn", warnings=("orchid: 12 rows were made by rule.",))
    run.record(RESAMPLING, make_resampling(None, warned))
    run.record(SELECTION, make_selection([make_candidate("adasyn"), make_candidate("none", name="none")]))

    page = Page(report_of(run))

    assert "2 strategies resample 500 train rows" in page.text
    assert "smote: 500 → 1,200 rows, most noise 12.5 % (poppy) before" in page.text
    assert "adasyn: 500 → 1,200 rows, most noise 12.5 % (poppy), 1 warning before" in page.text
    assert "orchid: 12 rows were made by rule." in page.text
    assert [where[1] for where in page.attributes if where[0] == "details"] == ["open"]


def test_a_recipe_that_resamples_nothing_says_so() -> None:
    run = make_run()
    run.record(RESAMPLING, ResamplingRecord({}))

    assert "No strategy of the recipe resamples" in Page(report_of(run)).text


def test_synthetic_rows_are_shown_as_pictures_that_the_page_carries() -> None:
    run = make_run()
    record = make_reconstruction()
    run.record(RECONSTRUCTION, record)
    for uri in (record.projection_uri, record.sheets[0].uri):
        run.store.put(uri.removeprefix("s3://memory/"), b"\x89PNG\r\n\x1a\n")

    page = Page(report_of(run))

    sources = [where[2] for where in page.attributes if where[:2] == ("img", "src")]
    assert sources == ["data:image/png;base64,iVBORw0KGgo="] * 2
    assert all(where[2] for where in page.attributes if where[:2] == ("img", "alt"))
    assert "they are no training data of record" in page.text
    assert "by 0.0710 a pixel on average (of 1), showing the mean image of its class by 0.1530." in page.text
    assert "no better than the mean image" not in page.text
    assert "two dimensions, which hold 31.0 % of the vectors' variance" in page.text
    gone = "orchid: 8 of its synthetic rows Not shown: it is not in the store any more."
    assert f"{gone} {record.sheets[1].uri}" in page.text


def test_a_decoder_that_learned_nothing_is_called_so() -> None:
    run = make_run()
    run.record(RECONSTRUCTION, make_reconstruction(decoder_error=0.153))

    assert "It is no better than the mean image" in Page(report_of(run)).text


def test_the_image_level_network_has_a_row_of_its_own_and_is_marked() -> None:
    run = make_run()
    run.record(SELECTION, make_selection())
    run.record(IMAGE_LEVEL, make_image_level(test=None))

    text = Page(report_of(run)).text

    assert (
        "Image level, for comparison; never promoted image-level CNN "
        "on 1,200 images, decoded pictures of smote among them – 0.6000 – – – –"
    ) in text


def test_the_numbers_of_the_image_level_network_are_kept_although_the_candidates_failed() -> None:
    run = make_run()
    run.record(IMAGE_LEVEL, make_image_level())

    publish_report(run)

    assert "image_level.validation.macro_recall" in run.store.get(f"{run.prefix}{METRICS}").decode()


def test_what_a_search_tried_and_what_calibration_fitted_can_be_looked_up() -> None:
    run = make_run()
    trials = (Trial({"weight_decay": 3.25}, 0.81), Trial({"weight_decay": 40.0, "dropout": 0.5}, 0.79))
    own = make_candidate("smote", kind="borderline_smote", thresholds={"daisy": 0.5, "orchid": 0.125}, trials=trials)
    run.record(SELECTION, make_selection([own]))

    text = Page(report_of(run)).text

    assert "smote is borderline smote" in text
    assert "thresholds: daisy 0.5, orchid 0.125" in text
    assert "Search of smote · linear: 2 trials weight decay Mean macro recall 3.25 0.8100 40 0.7900" in text


def test_of_many_candidates_some_are_shown_on_demand_only() -> None:
    run = make_run()
    candidates = [make_candidate("smote", name=f"smote · {place}") for place in range(13)]
    run.record(SELECTION, make_selection(candidates))

    page = Page(report_of(run))

    assert "All 13 candidates; above are the challenger and the best of each strategy" in page.text
    assert "Training curves of the other candidates" in page.text
    curves = [where for where in page.attributes if where[1] == "aria-label" and where[2].startswith("Training loss")]
    assert len(curves) == 13


def test_the_rule_that_was_used_is_the_one_that_is_explained() -> None:
    run = make_run()
    run.record(SELECTION, make_selection(rule="best", bound=0.8))

    text = Page(report_of(run)).text

    assert "The highest mean wins, 0.8000." in text
    assert "One-standard-error rule" not in text
