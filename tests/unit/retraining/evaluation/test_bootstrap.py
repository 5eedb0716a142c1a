from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from include.retraining.artifacts import ClassificationMetrics, Difference
from include.retraining.config import CONFIDENCES, OVERALL_METRICS, EvaluationConfig
from include.retraining.evaluation import bootstrap
from include.retraining.evaluation.bootstrap import Predictions, differences
from include.retraining.evaluation.bootstrap import TestRows as Rows  # pytest would collect its own name
from include.retraining.evaluation.priors import prior_metrics
from include.retraining.metrics import class_scores, classification_metrics

CONFIG = EvaluationConfig(resamples=200)
LABELS = ("a", "b", "c")
SIZES = (40, 25, 12)


def predicted(y_true: np.ndarray, n_classes: int, rng: np.random.Generator, skill: float = 0.5) -> Predictions:
    y_score = rng.dirichlet(np.ones(n_classes), len(y_true))
    y_score[np.arange(len(y_true)), y_true] += skill
    y_score = (y_score / y_score.sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions(y_score, y_score.argmax(axis=1))


def made(
    seed: int = 0, sizes: tuple[int, ...] = SIZES, slices: Mapping[str, np.ndarray] | None = None
) -> tuple[Rows, Predictions, Predictions]:
    """Test rows in a random order, and two models that know a little."""
    rng = np.random.default_rng(seed)
    y_true = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = Rows(y_true, LABELS[: len(sizes)], {} if slices is None else slices)
    return rows, predicted(y_true, len(sizes), rng), predicted(y_true, len(sizes), rng, skill=0.4)


def by_key(found: tuple[Difference, ...]) -> dict[tuple[str, str, str], Difference]:
    return {(it.metric, it.slice, it.prior): it for it in found}


def over_all(found: tuple[Difference, ...]) -> dict[str, Difference]:
    return {it.metric: it for it in found if (it.slice, it.prior) == ("", "test")}


def by_metric(metrics: ClassificationMetrics) -> dict[str, float | None]:
    overall = {name: getattr(metrics, name) for name in OVERALL_METRICS}
    recall = {f"recall:{label}": value for label, value in metrics.recall.items()}
    return overall | recall | {f"precision:{label}": value for label, value in metrics.precision.items()}


def metrics_of(rows: Rows, model: Predictions) -> dict[str, float | None]:
    return by_metric(classification_metrics(rows.y_true, model.y_score, rows.labels, model.y_pred))


def less(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if None in (one[name], other[name]) else one[name] - other[name] for name in one}


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), sizes=st.tuples(*[st.integers(0, 20)] * 3))
def test_estimates_are_the_differences_of_the_metrics_that_are_reported(seed: int, sizes: tuple[int, int, int]):
    rows, challenger, champion = made(seed, sizes)

    found = over_all(differences(rows, challenger, champion, CONFIG))

    expected = less(metrics_of(rows, challenger), metrics_of(rows, champion))
    assert {name: it.estimate for name, it in found.items()} == pytest.approx(expected, abs=1e-7)


def test_standard_errors_are_those_of_a_loop_that_draws_rows_one_by_one():
    rows, challenger, champion = made(3, sizes=(9, 6, 4))
    rng = np.random.default_rng(1)
    drawn = [_resampled(rows, challenger, champion, rng) for _ in range(2500)]

    found = over_all(differences(rows, challenger, champion, EvaluationConfig(resamples=6000)))

    expected = {name: np.nanstd([it[name] for it in drawn]) for name in drawn[0]}
    assert {name: found[name].standard_error for name in expected} == pytest.approx(expected, rel=0.06)


def _resampled(
    rows: Rows, challenger: Predictions, champion: Predictions, rng: np.random.Generator
) -> dict[str, float]:
    """One resample, row by row: each class has a pseudo-row that only the one model gets right, and back."""
    counts, gaps = np.zeros((2, 3, 3)), np.zeros((2, 15))
    for label in range(3):
        own = np.flatnonzero(rows.y_true == label)
        share = np.append(np.ones(len(own)), [0.5, 0.5]) / (len(own) + 1)
        for pick in rng.choice(len(own) + 2, size=len(own), p=share):
            for number, model in enumerate((challenger, champion)):
                if pick < len(own):
                    score = model.y_score[own[pick]]
                    counts[number, label, model.y_pred[own[pick]]] += 1
                    gaps[number, int(np.ceil(score.max() * 15)) - 1] += (score.argmax() == label) - score.max()
                elif pick - len(own) == number:
                    counts[number, label, label] += 1
                else:
                    counts[number, label] += [0 if other == label else 0.5 for other in range(3)]
    one, other = (_of_counts(*it) for it in zip(counts, gaps, strict=True))
    return {name: one[name] - other[name] for name in one}


def _of_counts(counts: np.ndarray, gaps: np.ndarray) -> dict[str, float]:
    scores, total = class_scores(counts), counts.sum()
    return {
        "macro_recall": scores.recall.mean(),
        "macro_f1": scores.f1.mean(),
        "geometric_mean": stats.gmean(scores.recall),
        "geometric_mean_macro": np.sqrt(scores.recall.mean() * scores.specificity.mean()),
        "minimum_recall": scores.recall.min(),
        "accuracy": np.trace(counts) / total,
        "ece": np.abs(gaps).sum() / total,
        **{f"recall:{label}": value for label, value in zip(LABELS, scores.recall, strict=True)},
        **{f"precision:{label}": value for label, value in zip(LABELS, scores.precision, strict=True)},
    }


def test_the_standard_error_of_a_large_classs_recall_is_that_of_scipys_paired_bootstrap():
    rows, challenger, champion = made(5, sizes=(500, 400))
    hits = [(it.y_pred == rows.y_true)[rows.y_true == 0].astype(float) for it in (challenger, champion)]

    found = over_all(differences(rows, challenger, champion, EvaluationConfig(resamples=4000)))

    expected = stats.bootstrap(
        hits,
        lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
        paired=True,
        n_resamples=4000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    assert found["recall:a"].standard_error == pytest.approx(expected.standard_error, rel=0.05)
    bound = found["recall:a"].bounds[CONFIDENCES.index(0.95)]
    interval = (expected.confidence_interval.low, expected.confidence_interval.high)
    assert (bound.lower, bound.upper) == pytest.approx(interval, abs=0.1 * expected.standard_error + 1 / 500)


@pytest.mark.parametrize(("size", "better", "worse"), [(10, 0, 0), (10, 1, 2), (1, 0, 0), (60, 12, 3)])
def test_the_standard_error_of_a_recall_is_that_of_the_paired_table_with_a_half_in_its_disagreeing_cells(
    size: int, better: int, worse: int
):
    y_true = np.zeros(size + 5, np.int64)
    y_true[size:] = 1
    one, other = np.ones(size + 5, np.int64), np.ones(size + 5, np.int64)
    one[:better], other[better : better + worse] = 0, 0
    models = [Predictions(np.eye(2, dtype=np.float32)[it], it) for it in (one, other)]
    models[1].y_score[-1] = (0.49, 0.51)  # not one model

    found = over_all(differences(Rows(y_true, ("a", "b"), {}), *models, EvaluationConfig(resamples=20_000)))

    total = size + 1
    variance = ((better + worse + 1) / total - ((better - worse) / total) ** 2) / size
    assert found["recall:a"].estimate == pytest.approx((better - worse) / size)
    assert found["recall:a"].standard_error == pytest.approx(np.sqrt(variance), rel=0.03)


def test_bounds_are_normal_quantiles_around_the_estimate_and_further_apart_the_more_confidence_is_asked():
    found = over_all(differences(*made(), CONFIG))["macro_f1"]

    assert [it.confidence for it in found.bounds] == list(CONFIDENCES)
    reach = stats.norm.ppf(CONFIDENCES) * found.standard_error
    assert [it.lower for it in found.bounds] == pytest.approx(found.estimate - reach)
    assert [it.upper for it in found.bounds] == pytest.approx(found.estimate + reach)


def test_no_bound_leaves_what_a_difference_can_be():
    found = differences(*made(sizes=(1, 1, 2)), CONFIG)

    bounds = [bound for it in found for bound in it.bounds if bound.lower is not None]
    assert min(bound.lower for bound in bounds) == -1
    assert max(bound.upper for bound in bounds) == 1


def test_the_differences_of_a_model_with_itself_are_zero_and_sure():
    rows, model, _ = made(slices={"camera=north": np.arange(sum(SIZES)) < 30})
    config = EvaluationConfig(resamples=200, deployment_prior={"a": 0.8, "b": 0.1, "c": 0.1})

    found = differences(rows, model, Predictions(model.y_score.copy(), model.y_pred.copy()), config)

    assert {(it.estimate, it.standard_error) for it in found} == {(0.0, 0.0)}
    assert {(bound.lower, bound.upper) for it in found for bound in it.bounds} == {(0.0, 0.0)}


def test_two_models_that_only_happen_to_predict_alike_are_not_known_to_be_equal():
    rows, model, _ = made()
    other = Predictions(model.y_score**1.1 / (model.y_score**1.1).sum(axis=1, keepdims=True), model.y_pred)

    found = over_all(differences(rows, model, other, CONFIG))

    assert found["macro_recall"].estimate == 0
    assert found["macro_recall"].bounds[0].lower < 0
    assert found["recall:c"].standard_error > found["recall:a"].standard_error > 0


def test_the_same_input_gives_the_same_numbers_and_another_seed_gives_others():
    again, first = (differences(*made(), CONFIG) for _ in range(2))

    other = differences(*made(), EvaluationConfig(resamples=200, seed=1))

    assert first == again
    assert {it.metric: it.estimate for it in other} == {it.metric: it.estimate for it in first}
    assert over_all(other)["macro_recall"].standard_error != over_all(first)["macro_recall"].standard_error


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_swapping_the_models_negates_the_estimates_and_swaps_the_bounds(seed: int):
    rows, challenger, champion = made(seed)
    config = EvaluationConfig(resamples=1000)

    there, back = (
        over_all(differences(rows, *pair, config)) for pair in ((challenger, champion), (champion, challenger))
    )

    for name, it in there.items():
        assert back[name].estimate == -it.estimate
        noise = 0.4 * it.standard_error  # the pseudo-rows are drawn apart
        for bound, other in zip(it.bounds, back[name].bounds, strict=True):
            assert (other.lower, other.upper) == pytest.approx((-bound.upper, -bound.lower), abs=noise)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_where_in_the_list_a_classs_rows_stand_changes_nothing(seed: int):
    rows, challenger, champion = made(seed)
    order = np.argsort(rows.y_true, kind="stable")  # rows of a class stay in their order
    moved = dataclasses.replace(rows, y_true=rows.y_true[order])

    found = differences(moved, challenger.of(order), champion.of(order), CONFIG)

    assert found == differences(rows, challenger, champion, CONFIG)


def test_other_names_of_the_labels_change_the_names_alone():
    rows, challenger, champion = made()

    renamed = differences(dataclasses.replace(rows, labels=("x", "y", "z")), challenger, champion, CONFIG)

    names = str.maketrans("abc", "xyz")
    plain = differences(rows, challenger, champion, CONFIG)
    assert [it.metric for it in renamed] == [
        ":".join([name, label.translate(names)]) if label else name
        for name, _, label in (it.metric.partition(":") for it in plain)
    ]
    assert [dataclasses.replace(it, metric="") for it in renamed] == [
        dataclasses.replace(it, metric="") for it in plain
    ]


def test_a_class_without_rows_leaves_means_over_classes_undefined_and_what_is_known_defined():
    found = over_all(differences(*made(sizes=(20, 15, 0)), CONFIG))

    undefined = {name for name, it in found.items() if it.estimate is None}
    assert undefined >= {*OVERALL_METRICS, "recall:c"} - {"accuracy", "ece"}
    assert all(bound.lower is None and bound.upper is None for name in undefined for bound in found[name].bounds)
    assert all(found[name].standard_error > 0 for name in ("accuracy", "ece", "recall:a", "recall:b"))


def test_a_precision_that_many_resamples_leave_undefined_has_an_estimate_and_no_bounds():
    y_true = np.repeat([0, 1], [200, 1])
    y_pred = np.zeros(201, np.int64)
    one, other = y_pred.copy(), y_pred.copy()
    one[0], other[1] = 1, 1  # each predicts class b once
    models = [Predictions(np.eye(2, dtype=np.float32)[it], it) for it in (one, other)]

    found = over_all(differences(Rows(y_true, ("a", "b"), {}), *models, CONFIG))["precision:b"]

    assert found.estimate == 0
    assert found.standard_error is None
    assert {(bound.lower, bound.upper) for bound in found.bounds} == {(None, None)}


def test_under_the_prior_of_deployment_estimates_are_those_of_its_metrics_and_recalls_are_left_out():
    rows, challenger, champion = made()
    prior = {"a": 0.05, "b": 0.05, "c": 0.9}

    found = by_key(differences(rows, challenger, champion, EvaluationConfig(resamples=200, deployment_prior=prior)))

    under = {metric: it for (metric, _, name), it in found.items() if name == "deployment"}
    one, other = (prior_metrics(rows.y_true, it.y_score, it.y_pred, LABELS, prior) for it in (challenger, champion))
    expected = {name: getattr(one, name) - getattr(other, name) for name in ("accuracy", "macro_f1", "ece")}
    expected |= {f"precision:{label}": one.precision[label] - other.precision[label] for label in LABELS}
    assert {name: it.estimate for name, it in under.items()} == pytest.approx(expected, abs=1e-7)
    # Nine of ten rows are of the smallest class of the test rows, so less is known than where it counts little.
    assert under["accuracy"].standard_error > 1.2 * found["accuracy", "", "test"].standard_error


def test_the_prior_of_the_test_rows_themselves_changes_nothing():
    rows, challenger, champion = made()
    prior = {label: size / sum(SIZES) for label, size in zip(LABELS, SIZES, strict=True)}

    found = by_key(differences(rows, challenger, champion, EvaluationConfig(resamples=200, deployment_prior=prior)))

    for (metric, _, name), it in found.items():
        if name == "deployment":
            same = found[metric, "", "test"]
            assert (it.estimate, it.standard_error) == pytest.approx((same.estimate, same.standard_error), abs=1e-9)


def test_a_class_without_rows_leaves_everything_undefined_under_the_prior_of_deployment():
    config = EvaluationConfig(resamples=200, deployment_prior={"a": 0.5, "b": 0.4, "c": 0.1})

    found = differences(*made(sizes=(20, 15, 0)), config)

    assert {(it.estimate, it.standard_error) for it in found if it.prior == "deployment"} == {(None, None)}


def test_a_slice_of_all_rows_has_the_differences_of_all_rows():
    rows, challenger, champion = made(slices={"camera=all": np.ones(sum(SIZES), bool)})

    found = by_key(differences(rows, challenger, champion, CONFIG))

    inside = {metric: it for (metric, of, _), it in found.items() if of}
    assert set(inside) == {"macro_recall", "minimum_recall", "accuracy", "ece", "recall:a", "recall:b", "recall:c"}
    for metric, it in inside.items():
        assert dataclasses.replace(it, slice="") == found[metric, "", "test"]


def test_the_differences_of_a_slice_depend_on_its_own_rows_alone():
    mask = np.arange(sum(SIZES)) % 2 == 0
    rows, challenger, champion = made(slices={"camera=first": ~mask, "camera=north": mask})
    alone = Rows(rows.y_true[mask], LABELS, {})

    found = by_key(differences(rows, challenger, champion, CONFIG))

    expected = over_all(differences(alone, challenger.of(mask), champion.of(mask), CONFIG))
    for metric in ("macro_recall", "ece", "recall:b"):
        assert dataclasses.replace(found[metric, "camera=north", "test"], slice="") == expected[metric]


def test_in_a_slice_means_are_over_the_classes_that_it_has():
    rows, challenger, champion = made()
    only_two = dataclasses.replace(rows, slices={"camera=north": rows.y_true != 2})

    found = by_key(differences(only_two, challenger, champion, CONFIG))

    recalls = [found[f"recall:{label}", "camera=north", "test"].estimate for label in "ab"]
    assert found["macro_recall", "camera=north", "test"].estimate == pytest.approx(np.mean(recalls))
    assert found["recall:c", "camera=north", "test"].estimate is None
    assert found["macro_recall", "camera=north", "test"].bounds[0].lower is not None


def test_a_slice_without_rows_is_undefined():
    rows, challenger, champion = made(slices={"camera=gone": np.zeros(sum(SIZES), bool)})

    found = [it for it in differences(rows, challenger, champion, CONFIG) if it.slice]

    assert {(it.estimate, it.standard_error, it.bounds[0].lower) for it in found} == {(None, None, None)}


def test_many_rows_are_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch):
    at_once = over_all(differences(*made(), EvaluationConfig(resamples=2001)))
    monkeypatch.setattr(bootstrap, "BLOCK_ITEMS", 10_000)

    in_blocks = over_all(differences(*made(), EvaluationConfig(resamples=2001)))

    # About 3 % is the noise of 2,000 resamples.
    assert [it.standard_error for it in in_blocks.values()] == pytest.approx(
        [it.standard_error for it in at_once.values()], rel=0.1
    )


@pytest.mark.parametrize(
    ("y_score", "y_pred", "said"),
    [
        (np.full((2, 3), 1 / 3), np.zeros(2, int), r"of shapes \(3, 3\) and \(3,\); got \(2, 3\) and \(2,\)"),
        (np.full((3, 2), 0.5), np.zeros(3, int), r"of shapes \(3, 3\) and \(3,\); got \(3, 2\) and \(3,\)"),
        (np.full((3, 3), np.nan), np.zeros(3, int), "Expected finite probabilities"),
    ],
)
def test_predictions_of_other_rows_or_without_a_number_are_refused(y_score: np.ndarray, y_pred: np.ndarray, said: str):
    rows = Rows(np.arange(3), LABELS, {})
    sound = Predictions(np.eye(3, dtype=np.float32), np.arange(3))

    with pytest.raises(ValueError, match=said):
        differences(rows, sound, Predictions(y_score, y_pred), CONFIG)
