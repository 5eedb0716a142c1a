"""The Great Expectations suite of a classifier, generated from its recipe. Running it is in `validation.py`.

Every expectation names in its `meta` the key of the recipe that it comes from (`rule`), that key's severity, and the
reason that a row gets for breaking it. Its tables are in `validated_tables.py`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from great_expectations.expectations import (
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToBeInSet,
    ExpectColumnValuesToNotBeInSet,
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.row_conditions import Column

from include.retraining.artifacts import SPLITS
from include.retraining.config import ClassifierConfig, ExpectationsConfig, ImagePolicy
from include.retraining.intake.reasons import Reason
from include.retraining.intake.validation.validated_tables import (
    IMAGE_STATISTICS,
    count_column,
    kl_column,
    psi_column,
    within_chance_column,
)

THEIR_SEVERITIES: Mapping[str, str] = {"block": "critical", "row": "warning", "warn": "info"}
"""Severities as Great Expectations calls them, by ours."""

UNREADABLE = (
    Reason.OUTSIDE_BATCH,
    Reason.MISSING_OBJECT,
    Reason.NOT_LISTED,
    Reason.EMPTY_OBJECT,
    Reason.NOT_AN_IMAGE,
    Reason.UNSUPPORTED_PIXELS,
    Reason.TRUNCATED_OR_CORRUPT,
)
"""Problems that make an image unreadable, whatever the recipe says."""

AGAINST_POLICY = (
    Reason.TOO_MANY_BYTES,
    Reason.FORMAT_NOT_ALLOWED,
    Reason.SIDES_OUT_OF_BOUNDS,
    Reason.ASPECT_OUT_OF_BOUNDS,
    Reason.ANIMATED,
    Reason.COLOUR_NOT_ALLOWED,
)
"""Problems of an image that the recipe does not want."""

RELATED: Mapping[str, tuple[Reason, ...]] = {
    "label_agreed": (Reason.LABEL_CONFLICT, Reason.GROUP_CONFLICT),
    "new_image": (Reason.DUPLICATE, Reason.DUPLICATE_OF_EARLIER_BATCH, Reason.DUPLICATE_OF_TEST_IMAGE),
    "split_kept": (Reason.SPLIT_CONFLICT, Reason.NEAR_DUPLICATE_ACROSS_SPLITS),
}
"""What is found by comparing a row with others, by the rule that forbids it."""

RANGES: Mapping[str, Reason] = {
    "brightness": Reason.BRIGHTNESS_OUT_OF_RANGE,
    "contrast": Reason.CONTRAST_OUT_OF_RANGE,
    "sharpness": Reason.SHARPNESS_OUT_OF_RANGE,
}
"""Rules that bound a measurement of the same name, and what breaking them is called."""


@dataclass(frozen=True)
class _Source:
    """Where an expectation comes from, and what breaking it does.

    Attributes:
        rule: Key of the recipe's expectations.
        severity: Its severity.
        reasons: The reason that a row gets. Of several, it is the one that is the value of the column.
    """

    rule: str
    severity: str
    reasons: tuple[Reason, ...]

    @classmethod
    def of(cls, rules: ExpectationsConfig, rule: str, *reasons: Reason) -> _Source:
        """Returns the source that a key of the recipe is."""
        return cls(rule, getattr(rules, rule).severity, reasons)

    def arguments(self, words: str) -> dict[str, Any]:
        """Returns the arguments of an expectation that tell its source; `words` say what it expects."""
        meta: dict[str, Any] = {"rule": self.rule, "severity": self.severity}
        if len(self.reasons) == 1:
            meta["reason"] = self.reasons[0].value
        elif self.reasons:
            meta["reasons"] = [reason.value for reason in self.reasons]
        reason = f" → {meta['reason']}" if "reason" in meta else ""
        return {
            "severity": THEIR_SEVERITIES.get(self.severity, "info"),
            "meta": meta,
            "description": f"{words} [expectations.{self.rule}: {self.severity}{reason}]",
        }


@dataclass(frozen=True)
class Suite:
    """The expectations of a classifier, by the table that they are about.

    Attributes:
        rows: On each row for what it is.
        related: On each row for what it is beside others.
        batch: On the figures of a day.
    """

    rows: tuple[Any, ...]
    related: tuple[Any, ...]
    batch: tuple[Any, ...]

    @property
    def expectations(self) -> list[Any]:
        """All of them."""
        return [*self.rows, *self.related, *self.batch]


def build_suite(config: ClassifierConfig) -> Suite:
    """Returns the suite of a classifier; rules that are off, and ranges without bounds, give no expectation."""
    return Suite(
        rows=_held(_row_expectations(config)),
        related=_held(_related_expectations(config)),
        batch=_held(_batch_expectations(config)),
    )


def _held(expectations: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(it for it in expectations if it.meta["severity"] != "off")


def _row_expectations(config: ClassifierConfig) -> list[Any]:
    """Returns what must hold for every row by itself.

    Great Expectations skips nulls: what inspection could not find out is null, and breaks the one rule that says so.
    """
    rules = config.expectations
    readable = partial(_Source.of, rules, "readable")
    label_known = partial(_Source.of, rules, "label_known")
    is_inside = ("key", "for a name inside the batch")
    is_listed = ("image", "for an image that the manifest names")
    return [
        _known("key", readable(Reason.OUTSIDE_BATCH)),
        _known("size_bytes", readable(Reason.MISSING_OBJECT), where=is_inside),
        _known("image", readable(Reason.NOT_LISTED), where=is_inside),
        _none_of("problem", readable(*UNREADABLE)),
        *_policy_expectations(partial(_Source.of, rules, "within_policy"), config.intake.images),
        _known("label", label_known(Reason.NO_LABEL), where=is_listed),
        _one_of("label", [html.escape(label) for label in config.labels], label_known(Reason.UNKNOWN_LABEL)),
        _one_of("split", SPLITS, _Source.of(rules, "split_known", Reason.INVALID_SPLIT)),
        _one_of("near_constant", [False], _Source.of(rules, "not_constant", Reason.NEAR_CONSTANT)),
        *_range_expectations(rules),
    ]


def _policy_expectations(within_policy: Callable[..., _Source], policy: ImagePolicy) -> list[Any]:
    sides = (policy.minimum_side_pixels, policy.maximum_side_pixels)
    out_of_bounds = within_policy(Reason.SIDES_OUT_OF_BOUNDS)
    return [
        _within("size_bytes", (None, policy.maximum_bytes), within_policy(Reason.TOO_MANY_BYTES)),
        _one_of("format", policy.formats, within_policy(Reason.FORMAT_NOT_ALLOWED)),
        _within("width", sides, out_of_bounds),
        _within("height", sides, out_of_bounds),
        _within("pixels", (None, policy.maximum_pixels), out_of_bounds),
        _within("aspect_ratio", (None, policy.maximum_aspect_ratio), within_policy(Reason.ASPECT_OUT_OF_BOUNDS)),
        _none_of("problem", within_policy(*AGAINST_POLICY)),
    ]


def _range_expectations(rules: ExpectationsConfig) -> list[Any]:
    bounds = {key: (getattr(rules, key).minimum, getattr(rules, key).maximum) for key in RANGES}
    return [
        _within(key, bounds[key], _Source.of(rules, key, reason))
        for key, reason in RANGES.items()
        if bounds[key] != (None, None)
    ]


def _related_expectations(config: ClassifierConfig) -> list[Any]:
    return [_none_of("finding", _Source.of(config.expectations, key, *reasons)) for key, reasons in RELATED.items()]


def _batch_expectations(config: ClassifierConfig) -> list[Any]:
    rules = config.expectations
    every_class = _Source.of(rules, "every_class")
    return [
        _within("quarantined_fraction", (None, rules.quarantined.maximum), _Source.of(rules, "quarantined")),
        _within("usable_rows", (rules.usable_rows.minimum, None), _Source.of(rules, "usable_rows")),
        _within("new_rows", (rules.new_rows.minimum, None), _Source.of(rules, "new_rows")),
        *(_within(count_column(label), (rules.every_class.minimum, None), every_class) for label in config.labels),
        *_drift_expectations(rules),
    ]


def _drift_expectations(rules: ExpectationsConfig) -> list[Any]:
    labels, images = rules.label_distribution, rules.image_statistics
    source = _Source.of(rules, "label_distribution")
    expectations = [_undrifted("label", psi_column("label"), labels.maximum_psi, source)]
    if labels.maximum_kl is not None:
        expectations.append(_undrifted("label", kl_column("label"), labels.maximum_kl, source))
    source = _Source.of(rules, "image_statistics")
    return expectations + [_undrifted(name, psi_column(name), images.maximum_psi, source) for name in IMAGE_STATISTICS]


def _undrifted(figure: str, column: str, maximum: float, source: _Source) -> Any:
    """Returns the expectation that a shift is small, unless chance explains it."""
    return ExpectColumnValuesToBeBetween(
        column=column,
        max_value=maximum,
        row_condition=Column(within_chance_column(figure)) == "no",
        **source.arguments(f"{column} is at most {maximum:g}, or chance explains it"),
    )


def _known(column: str, source: _Source, *, where: tuple[str, str] | None = None) -> Any:
    """Returns the expectation that a column is never null; `where` names another that must not be, and says so."""
    if where is None:
        return ExpectColumnValuesToNotBeNull(column=column, **source.arguments(f"{column} is known"))
    condition, words = Column(where[0]).is_not_null(), f"{column} is known {where[1]}"
    return ExpectColumnValuesToNotBeNull(column=column, row_condition=condition, **source.arguments(words))


def _within(column: str, bounds: tuple[float | None, float | None], source: _Source) -> Any:
    minimum, maximum = bounds
    limits = [] if minimum is None else [f"at least {minimum:,}"]
    limits += [] if maximum is None else [f"at most {maximum:,}"]
    return ExpectColumnValuesToBeBetween(
        column=column,
        min_value=minimum,
        max_value=maximum,
        **source.arguments(f"{column} is {' and '.join(limits)}"),
    )


def _one_of(column: str, values: Sequence[object], source: _Source) -> Any:
    words = f"{column} is one of {_listed(values)}" if len(values) > 1 else f"{column} is {_listed(values)}"
    return ExpectColumnValuesToBeInSet(column=column, value_set=list(values), **source.arguments(words))


def _none_of(column: str, source: _Source) -> Any:
    """Returns the expectation that a column, which holds the codes of reasons, holds none of the source's."""
    codes = [reason.value for reason in source.reasons]
    words = f"{column} is none of {_listed(codes)}"
    return ExpectColumnValuesToNotBeInSet(column=column, value_set=codes, **source.arguments(words))


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
