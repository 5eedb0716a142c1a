"""What an expectation found over all shards of a day, as Great Expectations keeps it and as `validation.json` does.

The sentences that people read are in `sentences.py`.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.validator.validator import calc_validation_statistics

from include.retraining.intake.names import shown_name

MOST_EXAMPLES = 20  # rows that the evidence names for each expectation
MOST_NAMED = 5  # rows that a sentence names for each rule

_PARAMETERS = ("column", "value_set", "min_value", "max_value", "mostly")


@dataclass
class Finding:
    """What one expectation found so far; shards are added one after the other.

    Attributes:
        expectation: Of Great Expectations.
        n_evaluated: Rows that it is about.
        n_missing: Rows of these whose value is unknown; they do not count against it.
        n_unexpected: Rows of these that break it.
        examples: Value and name of the first rows that break it, at most `MOST_EXAMPLES`; names as delivered.
        observed: The figure, for an expectation on a day.
    """

    expectation: Any
    n_evaluated: int = 0
    n_missing: int = 0
    n_unexpected: int = 0
    examples: list[tuple[object, str]] = field(default_factory=list)
    observed: float | None = None

    @property
    def rule(self) -> str:
        """Key of the recipe that asks for it."""
        return str(self.expectation.meta["rule"])

    @property
    def severity(self) -> str:
        """What breaking it does: `row`, `warn` or `block`."""
        return str(self.expectation.meta["severity"])

    @property
    def column(self) -> str:
        """Column of the table that it is about."""
        return str(self.expectation.column)

    @property
    def success(self) -> bool:
        """Whether enough rows hold it: a share of `mostly` of those whose value is known."""
        n_known = self.n_evaluated - self.n_missing
        mostly = float(self.expectation.configuration.kwargs.get("mostly", 1.0))
        return n_known == 0 or (n_known - self.n_unexpected) / n_known >= mostly

    def add(self, result: Any, names: Sequence[str]) -> None:
        """Adds what was found in a shard.

        Args:
            result: Of Great Expectations, complete, for this expectation; its index is the row's position.
            names: Names of the shard's rows.
        """
        found = result.result
        self.n_evaluated += int(found["element_count"])
        self.n_missing += int(found.get("missing_count", 0))  # an expectation on nulls counts none
        self.n_unexpected += int(found["unexpected_count"])
        room = MOST_EXAMPLES - len(self.examples)
        positions = found["unexpected_index_list"][:room]
        values = found.get("unexpected_list") or [None] * len(positions)
        self.examples += [(_plain(value), names[position]) for value, position in zip(values, positions, strict=False)]

    def to_document(self) -> dict[str, Any]:
        """Returns the finding as `validation.json` holds it: JSON values, equal for equal deliveries."""
        config = self.expectation.configuration
        document = {
            "expectation": config.type,
            **config.meta,
            "description": _as_delivered(config.description),
            "success": self.success,
            "parameters": {
                key: _as_delivered(config.kwargs[key]) for key in _PARAMETERS if config.kwargs.get(key) is not None
            },
            "n_evaluated": self.n_evaluated,
            "n_missing": self.n_missing,
            "n_unexpected": self.n_unexpected,
            "examples": [name for _, name in self.examples],
        }
        return document if self.observed is None else {**document, "observed": self.observed}

    def to_result(self) -> Any:
        """Returns the finding as Great Expectations would have found it in one table; names are HTML-escaped."""
        n_known = self.n_evaluated - self.n_missing
        result: dict[str, Any] = {
            "element_count": self.n_evaluated,
            "missing_count": self.n_missing,
            "missing_percent": _percent(self.n_missing, self.n_evaluated),
            "unexpected_count": self.n_unexpected,
            "unexpected_percent": _percent(self.n_unexpected, n_known),
            "unexpected_percent_total": _percent(self.n_unexpected, self.n_evaluated),
            "unexpected_percent_nonmissing": _percent(self.n_unexpected, n_known),
            "partial_unexpected_list": [value for value, _ in self.examples],
        }
        if self.observed is not None:
            result["observed_value"] = self.observed
        elif self.examples:
            result |= self._examples_by_value()
        return ExpectationValidationResult(
            success=self.success,
            expectation_config=self.expectation.configuration,
            result=result,
            exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
        )

    def _examples_by_value(self) -> dict[str, Any]:
        """Returns the examples in the shape from which their pages make a table: value, count, images."""
        column = "value" if self.column == "image" else self.column
        counts = Counter(_shown(value) for value, _ in self.examples)
        return {
            "partial_unexpected_counts": [{"value": value, "count": count} for value, count in counts.items()],
            "unexpected_index_column_names": ["image"],
            "unexpected_index_list": [
                {column: _shown(value), "image": html.escape(shown_name(name))} for value, name in self.examples
            ],
        }


def to_suite_result(suite_name: str, findings: Sequence[Finding], meta: dict[str, Any]) -> Any:
    """Returns the findings of a day as the result of validating one suite."""
    results = [finding.to_result() for finding in findings]
    statistics = calc_validation_statistics(results)
    return ExpectationSuiteValidationResult(
        success=statistics.success,
        results=results,
        suite_name=suite_name,
        statistics={
            "evaluated_expectations": statistics.evaluated_expectations,
            "successful_expectations": statistics.successful_expectations,
            "unsuccessful_expectations": statistics.unsuccessful_expectations,
            "success_percent": statistics.success_percent,
        },
        meta=meta,
    )


@dataclass
class Breach:
    """Rows that break a rule, whichever of its expectations they break.

    Attributes:
        severity: The rule's.
        count: Rows.
        codes: Rows by the reason that they give.
        names: Names of the first ones, at most `MOST_NAMED`.
    """

    severity: str
    count: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)


def _as_delivered(value: Any) -> Any:
    """Returns a value without the HTML-escapes that only pages need."""
    if isinstance(value, list):
        return [_as_delivered(item) for item in value]
    return html.unescape(value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    """Returns a value of Great Expectations' tables as a page may show it, still HTML-escaped."""
    if isinstance(value, str):
        return html.escape(shown_name(html.unescape(value)))
    return "null" if value is None else str(value)


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _plain(value: object) -> object:
    """Returns a value as JSON holds it; whole numbers, which are floats beside nulls, whole."""
    if hasattr(value, "item"):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value
