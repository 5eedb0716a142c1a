from __future__ import annotations

from include.retraining.artifacts import PromotionDecision
from include.retraining.config import EveryRuns, RecallFell
from include.retraining.embedding.fine_tuning.occasions import why_due
from tests.builders import LABELS
from tests.promotions import make_decision

EVERY_THREE = EveryRuns(when="every_runs", runs=3)
FELL = RecallFell(when="recall_fell", by=0.05)


def decisions(*recalls: dict[str, float | None]) -> list[PromotionDecision]:
    """The decisions of as many runs, oldest first."""
    return [make_decision(run_id=f"run {number}", recall=recall) for number, recall in enumerate(recalls)]


def daisy(*recalls: float | None) -> list[PromotionDecision]:
    return decisions(*({"daisy": recall, "poppy": 0.8} for recall in recalls))


def test_it_is_due_when_as_many_runs_have_decided_as_the_recipe_says():
    assert why_due(EVERY_THREE, daisy(0.8, 0.8), LABELS) == ""
    assert why_due(EVERY_THREE, daisy(0.8, 0.8, 0.8), LABELS) == (
        "3 runs have decided on a challenger since the last fine-tuning; it is due every 3"
    )


def test_a_run_that_decided_twice_counts_once():
    first, second = daisy(0.8, 0.8)

    assert why_due(EVERY_THREE, [first, second, second], LABELS) == ""


def test_it_is_due_when_a_recall_fell_from_the_best_since_and_not_only_from_the_run_before():
    assert why_due(FELL, daisy(0.80, 0.90, 0.87, 0.84), LABELS) == (
        "recall on test rows fell by more than 0.05 since the last fine-tuning: of 'daisy' from 0.9000 to 0.8400"
    )


def test_a_fall_by_exactly_what_is_allowed_is_none_whatever_the_last_bits_say():
    assert 0.90 - 0.85 > 0.05

    assert why_due(FELL, daisy(0.90, 0.85), LABELS) == ""


def test_a_recall_that_has_recovered_is_no_reason():
    assert why_due(FELL, daisy(0.90, 0.70, 0.89), LABELS) == ""


def test_every_class_that_fell_is_named():
    found = decisions({"daisy": 0.9, "poppy": 0.9}, {"daisy": 0.5, "poppy": 0.6})

    assert why_due(FELL, found, LABELS).endswith("of 'daisy' from 0.9000 to 0.5000, of 'poppy' from 0.9000 to 0.6000")


def test_what_is_unknown_is_no_reason():
    assert why_due(FELL, [], LABELS) == ""
    assert why_due(FELL, daisy(0.9), LABELS) == ""
    assert why_due(FELL, daisy(0.9, None), LABELS) == ""
    assert why_due(FELL, daisy(None, 0.1), LABELS) == ""
    assert why_due(FELL, decisions({}, {}), LABELS) == ""  # entries from before recalls were kept


def test_a_recall_that_is_unknown_in_between_hides_no_fall():
    assert "of 'daisy' from 0.9000 to 0.5000" in why_due(FELL, daisy(0.9, None, 0.5), LABELS)


def test_a_label_that_the_recipe_gave_up_is_no_reason():
    assert why_due(FELL, daisy(0.9, 0.1), ["poppy", "orchid"]) == ""
