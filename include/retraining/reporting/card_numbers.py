"""What a model card says in numbers: on validation, on the test rows, by class and slice, and against the incumbent."""

from __future__ import annotations

from collections.abc import Iterator

from include.retraining.artifacts import Difference, EvaluationRecord, PriorMetrics, ScoredVersion
from include.retraining.config import OVERALL_METRICS, metric_parts
from include.retraining.reporting.card_facts import CardFacts
from include.retraining.reporting.difference_plot import CONFIDENCE, bound_of
from include.retraining.reporting.document import Code, Facts, Paragraph, Part, Section, Table
from include.retraining.reporting.scores import SCORE_NAMES, TITLES
from include.retraining.reporting.templating import count, megabytes, percent, score, signed

MOST_SLICES = 12


def metrics_section(facts: CardFacts) -> Section:
    """Tells how good the version is, from the newest evaluation; else from the newest decision."""
    return Section("Metrics", tuple(_metrics(facts)))


def slices_section(facts: CardFacts) -> Section | None:
    """Tells how good it is in parts of the test rows; None where the evaluation has no slices."""
    scored = facts.evaluation.challenger if facts.evaluation else None
    if scored is None or not scored.slices:
        return None
    columns = list(dict.fromkeys(it.column for it in scored.slices))
    return Section("Slices", tuple(_slices(scored, column, facts.minimum_slice_rows) for column in columns))


def comparison_section(facts: CardFacts) -> Section:
    """Tells how it compares with the champion that it met."""
    return Section("Against the champion it met", tuple(_comparison(facts.evaluation)))


def _metrics(facts: CardFacts) -> Iterator[Part]:
    scored = facts.evaluation.challenger if facts.evaluation else None
    validation = facts.version.candidate.validation if facts.version else None
    tested = facts.decision.metrics if facts.decision else {}
    rows = tuple(
        (
            it.title,
            score(getattr(validation, it.name, None)),
            score(getattr(scored.metrics, it.name) if scored else tested.get(it.name)),
        )
        for it in SCORE_NAMES
    )
    yield Table("Over all classes", ("Metric", "Validation", "Test"), rows)
    if facts.evaluation is None or scored is None:
        yield Paragraph(_why_no_evaluation(facts))
        if facts.decision is not None and facts.decision.recall:
            recalls = tuple((label, score(value)) for label, value in facts.decision.recall.items())
            yield Table("On the test images, by class", ("Class", "Recall"), recalls)
        return
    metrics = scored.metrics
    by_class = tuple(
        (label, count(n), score(metrics.recall.get(label)), score(metrics.precision.get(label)))
        for label, n in metrics.n_rows.items()
    )
    yield Table("On the test images, by class", ("Class", "Images", "Recall", "Precision"), by_class)
    yield from _deployment(scored.deployment)
    yield _calibration(facts, scored)
    yield from _cost_and_chance(facts.evaluation)


def _why_no_evaluation(facts: CardFacts) -> str:
    if facts.decision is None:
        return "No decision about this version is in the journal, so no test metrics are told."
    return (
        f"The evaluation that run {facts.decision.run_id} decided by is not among its records any more; "
        "what the decision kept of it is shown."
    )


def _deployment(under: PriorMetrics | None) -> Iterator[Part]:
    if under is None:
        return
    shares = ", ".join(f"{label} {percent(share)}" for label, share in under.prior.items())
    yield Paragraph(
        f"Where it is used, the classes are expected to be {shares}. The test images weighted so: accuracy "
        f"{score(under.accuracy)}, macro F1 {score(under.macro_f1)}, calibration error {score(under.ece)}."
    )
    precisions = tuple((label, score(value)) for label, value in under.precision.items())
    yield Table("Under the deployment prior, by class", ("Class", "Precision"), precisions)


def _calibration(facts: CardFacts, scored: ScoredVersion) -> Paragraph:
    how = ""
    if facts.version is not None:
        how = f" Its logits are divided by {facts.version.candidate.temperature:.3f}, fitted on validation rows."
    return Paragraph(
        f"Calibration: on the test images confidence and accuracy are {score(scored.metrics.ece)} apart on average "
        f"(expected calibration error, 15 bins).{how}"
    )


def _cost_and_chance(evaluation: EvaluationRecord) -> Iterator[Part]:
    chance, cost = evaluation.chance, evaluation.cost
    name = TITLES.get(chance.metric, chance.metric).lower()
    p_value = "undefined" if chance.p_value is None else f"{chance.p_value:.4g}"
    rows = [
        (
            "Against chance",
            f"{name} {score(chance.observed)}; {score(chance.null_mean)} on average under {count(chance.permutations)} "
            f"permutations of the labels; p = {p_value}",
        ),
        ("Size", megabytes(cost.size_bytes)),
    ]
    if cost.calls:
        rows.append(
            (
                "Latency",
                f"{cost.median_milliseconds:.1f} ms a call with one image on a CPU, the median of {count(cost.calls)}; "
                f"95 % take less than {cost.slow_milliseconds:.1f} ms",
            )
        )
    yield Facts(tuple(rows))


def _slices(scored: ScoredVersion, column: str, minimum_rows: int) -> Table:
    own = [it for it in scored.slices if it.column == column]
    rows = tuple(
        (
            (it.value or "(without a value)") + (" (small)" if it.total < minimum_rows else ""),
            count(it.total),
            score(it.macro_recall),
            score(it.minimum_recall),
            score(it.accuracy),
            score(it.ece),
        )
        for it in own[:MOST_SLICES]
    )
    more = f"; the largest {MOST_SLICES} of {len(own)} values" if len(own) > MOST_SLICES else ""
    heads = ("Value", "Images", "Macro recall", "Minimum recall", "Accuracy", "ECE")
    return Table(f"Test images by {column}{more}", heads, rows)


def _comparison(evaluation: EvaluationRecord | None) -> Iterator[Part]:
    if evaluation is None:
        yield Paragraph("Its evaluation is not there.")
        return
    incumbent = evaluation.incumbent
    if incumbent is None:
        yield Paragraph("There was no champion when it was evaluated.")
        return
    yield Facts((("Champion", Code(incumbent.version)),))
    if evaluation.champion is None:
        yield Paragraph(f"That champion could not be scored. {incumbent.problem}")
        return
    if evaluation.is_same_model:
        yield Paragraph("Both are one model, byte for byte.")
    shown = [it for it in evaluation.differences if not it.slice and _is_told(it)]
    rows = tuple((_title(it), signed(it.estimate), *_bounds(it)) for it in shown)
    heads = ("Metric", "Difference", "Lower bound", "Upper bound")
    caption = f"This version less that champion, with one-sided {100 * CONFIDENCE:.0f} % bounds"
    yield Table(f"{caption} of a paired bootstrap", heads, rows)


def _is_told(difference: Difference) -> bool:
    return difference.metric in OVERALL_METRICS or difference.metric.startswith("recall:")


def _title(difference: Difference) -> str:
    name, label = metric_parts(difference.metric)
    title = f"{name} of {label}" if label else TITLES.get(name, name)
    return title if difference.prior == "test" else f"{title}, deployment prior"


def _bounds(difference: Difference) -> tuple[str, str]:
    bound = bound_of(difference)
    return signed(bound.lower if bound else None), signed(bound.upper if bound else None)
