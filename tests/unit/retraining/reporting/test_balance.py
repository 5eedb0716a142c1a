from __future__ import annotations

from include.retraining.reporting.balance import plan_views
from tests.builders import LABELS, make_plan


def test_a_plan_is_summed_up_by_its_rows_and_its_noisiest_class() -> None:
    plan = make_plan(noise_share={"daisy": None, "poppy": 0.05, "orchid": 0.625})

    (view,) = plan_views(LABELS, {"smote": plan}, "smote")

    assert (view.n_before, view.n_after) == (500, 1200)
    assert (view.noisiest, view.largest_noise_share) == ("orchid", 0.625)
    assert dict(view.columns)["noise"] == {"daisy": "–", "poppy": "5.0\u00a0%", "orchid": "62.5\u00a0%"}


def test_what_was_asked_stands_beside_what_came_of_it() -> None:
    plan = make_plan(strategy="smote_enn", counts_after={"daisy": 380, "poppy": 350, "orchid": 1395})

    (view,) = plan_views(LABELS, {"smote_enn": plan}, None)

    assert dict(view.columns)["asked"] == {"daisy": "400", "poppy": "400", "orchid": "400"}
    assert [row.bars[1].label for row in view.plot.rows if row.bars[1]] == ["380", "350", "1,395"]


def test_a_plan_without_synthetic_rows_has_no_noisiest_class() -> None:
    plan = make_plan(noise_share=dict.fromkeys(LABELS))

    (view,) = plan_views(LABELS, {"smote": plan}, "smote")

    assert view.noisiest is None
    assert view.largest_noise_share is None


def test_the_plan_of_the_challenger_is_open_else_the_first() -> None:
    plans = {"smote": make_plan(), "adasyn": make_plan(strategy="adasyn")}

    of_the_challenger = plan_views(LABELS, plans, "adasyn")
    of_another = plan_views(LABELS, plans, "class_weights")

    assert [view.is_open for view in of_the_challenger] == [False, True]
    assert [view.is_open for view in of_another] == [True, False]


def test_a_recipe_that_resamples_nothing_has_no_plans() -> None:
    assert plan_views(LABELS, {}, "none") == []
