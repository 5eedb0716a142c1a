"""What must hold for any numbers whatever: missing never helps, better never hurts, stricter never approves."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from include.retraining.artifacts import (
    ChanceTest,
    Difference,
    Incumbent,
    PriorMetrics,
    ScoredVersion,
    ServingCost,
    SliceMetrics,
)
from include.retraining.config import EVERY, OVERALL_METRICS, SLICE_METRICS, GateConfig
from include.retraining.promotion.decision import Request, decide
from include.retraining.promotion.evidence import Evidence
from include.retraining.promotion.gates import check_gates
from tests.builders import LABELS, RUN_ID, STARTED_AT, WINDOW, make_config, make_intake, make_metrics
from tests.promotions import CHAMPION, make_difference, make_evaluation, make_scored_version
from tests.unit.retraining.promotion.evidences import make_evidence, make_slice

Path = tuple[Any, ...]

EVALUATION = make_evaluation()
METRICS_OF_A_MODEL = make_metrics()
SLICES = ("camera=north", "camera=south")
METRICS = ("macro_recall", "accuracy", "ece", "recall:daisy", "recall:*")
WHERE: tuple[tuple[str | None, str], ...] = (
    (None, "test"),
    ("camera=north", "test"),
    ("camera=*", "test"),
    (None, "deployment"),
)
MISSING = (None, float("nan"), float("inf"), float("-inf"))
ASKED_FOR = ("macro_recall", "accuracy", "ece", "daisy", "estimate", "lower", "upper", "p_value", "median_milliseconds")
LIMITS = {
    "floor": ("minimum", +1),
    "non_inferior": ("tolerance", -1),
    "maximum_regression": ("maximum", -1),
    "calibration": ("maximum_ece", -1),
    "better_than_chance": ("maximum_p", -1),
    "model_size": ("maximum_megabytes", -1),
    "latency": ("maximum_milliseconds", -1),
}
"""The limit of a gate, and the direction in which it becomes stricter."""

limits = st.floats(0.01, 0.99)


def number(rng: random.Random) -> float | None:
    """A share, or at times none."""
    return rng.choice([None, float("nan"), *(rng.random() for _ in range(8))])


def make_random_slice(rng: random.Random, name: str) -> SliceMetrics:
    counts = {label: rng.choice([0, 5, 100]) for label in LABELS}
    recall = {label: number(rng) if count else None for label, count in counts.items()}
    return make_slice(name, counts, recall=recall, **{it: number(rng) for it in SLICE_METRICS if it != "recall"})


def make_random_version(rng: random.Random) -> ScoredVersion:
    values = {metric: number(rng) for metric in OVERALL_METRICS}
    precision = {label: number(rng) for label in LABELS}
    deployment = PriorMetrics(dict.fromkeys(LABELS, 1 / 3), number(rng), number(rng), number(rng), precision)
    return make_scored_version(
        dataclasses.replace(METRICS_OF_A_MODEL, recall={label: number(rng) for label in LABELS}, **values),
        deployment=rng.choice([deployment, deployment, None]),
        slices=tuple(make_random_slice(rng, name) for name in SLICES if rng.random() < 0.8),
    )


def make_random_differences(rng: random.Random) -> tuple[Difference, ...]:
    metrics = [metric for metric in METRICS if EVERY not in metric] + [f"recall:{label}" for label in LABELS[1:]]
    where = [("", "test"), *((name, "test") for name in SLICES), ("", "deployment")]
    return tuple(
        make_difference(metric, estimate and estimate - 0.5, rng.random() / 5, slice=of, prior=prior)
        for metric, (of, prior), estimate in ((*it, number(rng)) for it in itertools.product(metrics, where))
        if rng.random() < 0.9
    )


def make_random_evidence(seed: int) -> Evidence:
    """Any evidence; drawn from a seed, since that is many times as fast as number by number."""
    rng = random.Random(seed)
    problem = rng.choice(["", "", "its snapshot is gone"])
    is_met = rng.random() < 0.8
    is_scored = is_met and not problem
    evaluation = dataclasses.replace(
        EVALUATION,
        challenger=make_random_version(rng),
        incumbent=Incumbent(CHAMPION, "c4" * 32, WINDOW.start, problem) if is_met else None,
        champion=make_random_version(rng) if is_scored else None,
        differences=make_random_differences(rng) if is_scored else (),
        chance=ChanceTest("macro_recall", number(rng), 0.3, 0.4, number(rng), 1000),
        cost=ServingCost(rng.randrange(2_000_000), rng.random(), 1.0, rng.choice([0, 50, 50])),
    )
    intake = rng.choice([None, make_intake(warnings=()), make_intake(warnings=("odd",) * 3)])
    return make_evidence(evaluation, intake=intake)


many = settings(max_examples=400)
evidences = st.integers(0, 2**32).map(make_random_evidence)


@st.composite
def gates(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*LIMITS, "test_rows", "data_checks", "newer_data"]))
    document: dict[str, Any] = {"gate": kind}
    if kind in LIMITS:
        document[LIMITS[kind][0]] = draw(limits)
    if kind in ("floor", "non_inferior", "maximum_regression"):
        of, prior = draw(st.sampled_from(WHERE))
        known = ("accuracy", "ece") if prior == "deployment" else METRICS
        metric = draw(st.sampled_from([it for it in known if kind != "floor" or it != "ece"]))
        document |= {"metric": metric, "slice": of, "prior": prior}
    if kind == "test_rows":
        document["minimum_per_class"] = draw(st.sampled_from([1, 100, 101]))
    return document


def passes(document: Mapping[str, Any], evidence: Evidence, *, rebaseline: bool = False) -> bool:
    gate: GateConfig = TypeAdapter(GateConfig).validate_python(document)
    found = check_gates((gate,), evidence, rebaseline=rebaseline)
    assert found
    return all(it.passed for it in found)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where in a value there are numbers: attributes of dataclasses, keys of mappings, places of tuples."""
    if isinstance(value, float):
        yield path
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from paths(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from paths(item, (*path, place))


def changed(value: Any, path: Path, to: Any) -> Any:
    """The same value with another number at one place; `to` is a function of the one that is there."""
    if not path:
        return to(value)
    step, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, step: changed(value[step], rest, to)}
    if isinstance(value, tuple):
        return (*value[:step], changed(value[step], rest, to), *value[step + 1 :])
    return dataclasses.replace(value, **{step: changed(getattr(value, step), rest, to)})


def better(difference: Difference, by: float) -> Difference:
    """The difference of a challenger that is better by that much."""
    by = -by if difference.metric == "ece" else by

    def shifted(number: float | None) -> float | None:
        return None if number is None else number + by

    bounds = tuple(
        dataclasses.replace(it, lower=shifted(it.lower), upper=shifted(it.upper)) for it in difference.bounds
    )
    return dataclasses.replace(difference, estimate=shifted(difference.estimate), bounds=bounds)


@settings(max_examples=800)
@given(gates(), evidences, st.booleans(), st.sampled_from(ASKED_FOR), st.sampled_from(MISSING))
def test_numbers_that_go_missing_never_turn_a_refusal_into_an_approval(document, evidence, rebaseline, name, missing):
    """All numbers of one name at once, such as every lower bound: one of hundreds would rarely count."""
    evaluation = evidence.evaluation
    for path in paths(evaluation):
        if path[-1] == name:
            evaluation = changed(evaluation, path, lambda _: missing)
    without = dataclasses.replace(evidence, evaluation=evaluation)

    assert passes(document, evidence, rebaseline=rebaseline) or not passes(document, without, rebaseline=rebaseline)


@many
@given(gates(), evidences, st.data())
def test_a_difference_that_goes_missing_never_turns_a_refusal_into_an_approval(document, evidence, data):
    kept = data.draw(st.integers(0, len(evidence.evaluation.differences)))

    fewer = dataclasses.replace(evidence.evaluation, differences=evidence.evaluation.differences[:kept])

    assert passes(document, evidence) or not passes(document, dataclasses.replace(evidence, evaluation=fewer))


@many
@given(gates(), evidences, st.floats(0, 1), st.data())
def test_a_challenger_that_is_better_is_never_refused_for_it(document, evidence, by, data):
    roots = ("challenger", "chance", "cost")
    places = [path for root in roots for path in paths(getattr(evidence.evaluation, root), (root,))]
    path = data.draw(st.sampled_from(places))
    less_is_better = {"ece", "p_value", "median_milliseconds"} & set(path)
    evaluation = changed(evidence.evaluation, path, lambda it: max(it - by, 0.0) if less_is_better else it + by)
    evaluation = dataclasses.replace(
        evaluation, differences=tuple(better(difference, by) for difference in evaluation.differences)
    )

    assert not passes(document, evidence) or passes(document, dataclasses.replace(evidence, evaluation=evaluation))


@many
@given(gates().filter(lambda it: it["gate"] in LIMITS), evidences, limits, st.booleans())
def test_a_stricter_limit_never_approves_what_a_looser_one_refused(document, evidence, stricter, rebaseline):
    name, direction = LIMITS[document["gate"]]
    order = max if direction > 0 else min
    strict = {**document, name: order(document[name], stricter)}

    assert passes(document, evidence, rebaseline=rebaseline) or not passes(strict, evidence, rebaseline=rebaseline)


@many
@given(st.lists(gates(), min_size=1, max_size=4), evidences, st.booleans(), st.booleans())
def test_what_is_approved_has_passed_every_gate_and_what_is_refused_has_a_reason(
    documents, evidence, rebaseline, is_dry_run
):
    config = make_config(
        gates=documents,
        evaluation={"slices": ["camera"], "deployment_prior": dict.fromkeys(LABELS, 1 / 3)},
    )

    decision = decide(config, evidence, Request(RUN_ID, STARTED_AT, "", is_dry_run, rebaseline))

    assert decision.approved is (decision.reasons == ())
    assert not decision.approved or all(gate.passed for gate in decision.gates)
    assert decision.acts is (decision.approved and not is_dry_run)
    assert decision.resulting == (decision.challenger if decision.acts else decision.champion)
    assert not (evidence.unscored and decision.approved and not rebaseline)
