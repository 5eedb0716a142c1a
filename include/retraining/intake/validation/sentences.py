"""What is said about a delivery that breaks expectations: one sentence a rule, with figures and the recipe's key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from include.retraining.config import ClassifierConfig
from include.retraining.intake.names import shown_name
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED
from include.retraining.intake.reasons import SKIPPING
from include.retraining.intake.validation.findings import Breach, Finding
from include.retraining.intake.validation.validated_tables import IMAGE_STATISTICS, kl_column, psi_column, shift_of

if TYPE_CHECKING:
    from include.retraining.intake.drift.drift import DriftFigures, Shift
    from include.retraining.intake.summary import BatchSummary


def breach_sentence(rule: str, breach: Breach, n_delivered: int) -> str:
    """Returns what is said about rows that break a rule which is more, or less, than a reason to refuse them."""
    codes = ", ".join(f"{code} {count}" for code, count in sorted(breach.codes.items()))
    names = ", ".join(f"'{shown_name(name)}'" for name in breach.names)
    more = ", …" if breach.count > len(breach.names) else ""
    allowed = ", which allows none" if breach.severity == "block" else ""
    return f"{breach.count} of {n_delivered} images break expectations.{rule}{allowed} ({codes}): {names}{more}"


def batch_sentence(
    config: ClassifierConfig, findings: Sequence[Finding], summary: BatchSummary, drift: DriftFigures
) -> str:
    """Returns what is said about a batch that breaks a rule as a whole.

    Args:
        config: The recipe.
        findings: The rule's broken expectations, at least one.
        summary: What was counted over the verdicts.
        drift: Shifts against the batches before.
    """
    rule = findings[0].rule
    if rule == "label_distribution":
        return _moved_labels(config, findings, drift)
    if rule == "image_statistics":
        return _moved_images(config, findings, drift)
    return _COUNTED[rule](config, summary)


def _too_many_quarantined(config: ClassifierConfig, summary: BatchSummary) -> str:
    held_back = {reason: count for reason, count in summary.first_reasons.items() if reason not in SKIPPING}
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(held_back.items()))
    return (
        f"{summary.outcomes[QUARANTINED]} of {summary.delivered} images are quarantined ({reasons}), and "
        f"expectations.quarantined allows {config.expectations.quarantined.maximum:.0%}"
    )


def _too_few_usable(config: ClassifierConfig, summary: BatchSummary) -> str:
    usable = summary.outcomes[ACCEPTED] + summary.outcomes[SKIPPED]
    minimum = config.expectations.usable_rows.minimum
    return f"{usable} of {summary.delivered} images are usable, and expectations.usable_rows asks for {minimum}"


def _too_few_new(config: ClassifierConfig, summary: BatchSummary) -> str:
    accepted, skipped = summary.outcomes[ACCEPTED], summary.outcomes[SKIPPED]
    if accepted == 0 and skipped:
        return "nothing new: the earlier batches hold every image that can be used, so the day gets no batch"
    minimum = config.expectations.new_rows.minimum
    return f"{accepted} of {summary.delivered} images are new and usable, and expectations.new_rows asks for {minimum}"


def _too_few_of_a_class(config: ClassifierConfig, summary: BatchSummary) -> str:
    minimum = config.expectations.every_class.minimum
    missing = [label for label in config.labels if summary.usable[label] == 0]
    scarce = [label for label in config.labels if 0 < summary.usable[label] < minimum]
    parts = []
    if missing:
        parts.append(f"no image of {', '.join(repr(label) for label in missing)} was delivered")
    if scarce:
        counts = ", ".join(f"{label!r} ({summary.usable[label]})" for label in scarce)
        parts.append(f"fewer images than expectations.every_class asks for ({minimum}) are usable of {counts}")
    return "; ".join(parts)


_COUNTED: Mapping[str, Callable[[ClassifierConfig, BatchSummary], str]] = {
    "quarantined": _too_many_quarantined,
    "usable_rows": _too_few_usable,
    "new_rows": _too_few_new,
    "every_class": _too_few_of_a_class,
}


def _moved_labels(config: ClassifierConfig, findings: Sequence[Finding], drift: DriftFigures) -> str:
    rule, shift = config.expectations.label_distribution, _measured(drift, "label")
    told = {
        psi_column("label"): (
            f"PSI {shift.psi:.2f}",
            f"{rule.maximum_psi:.2f} (chance alone gives up to {shift.chance:.2f})",
        ),
        kl_column("label"): (f"KL {shift.kl:.2f}", f"{rule.maximum_kl or 0:.2f}"),
    }
    figures, allowed = zip(*(told[finding.column] for finding in findings), strict=True)
    moved = ", ".join(f"{it.name!r} from {it.baseline_fraction:.1%} to {it.batch_fraction:.1%}" for it in shift.moved)
    return (
        f"the labels' distribution moved: {' and '.join(figures)} against {_baseline(drift)}, and "
        f"expectations.label_distribution allows {' and '.join(allowed)}; labels that moved most: {moved}"
    )


def _moved_images(config: ClassifierConfig, findings: Sequence[Finding], drift: DriftFigures) -> str:
    columns = {finding.column for finding in findings}
    shifts = {name: _measured(drift, name) for name in IMAGE_STATISTICS if psi_column(name) in columns}
    figures = ", ".join(
        f"{name} PSI {shift.psi:.2f} (chance alone gives up to {shift.chance:.2f})" for name, shift in shifts.items()
    )
    return (
        f"the images' statistics moved: {figures} against {_baseline(drift)}, and "
        f"expectations.image_statistics allows {config.expectations.image_statistics.maximum_psi:.2f}"
    )


def _measured(drift: DriftFigures, name: str) -> Shift:
    shift = shift_of(drift, name)
    if shift is None:
        raise RuntimeError(f"The distribution of {name} cannot have moved: it was not compared with anything.")
    return shift


def _baseline(drift: DriftFigures) -> str:
    n_days, first = len(drift.baseline_days), min(drift.baseline_days).isoformat()
    return f"the batch of {first}" if n_days == 1 else f"the {n_days} batches since {first}"
