"""What the recipe expects of a day's images, as Great Expectations suites. What needs other rows is in `duplicates.py`.

Three severities: `warning` quarantines the row, `critical` refuses the batch, `info` only warns.
"""

from __future__ import annotations

import html
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import (
    ExpectColumnDistinctValuesToContainSet,
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToBeInSet,
    ExpectColumnValuesToBeNull,
    ExpectColumnValuesToNotBeInSet,
    ExpectColumnValuesToNotBeNull,
    ExpectTableRowCountToBeBetween,
)
from great_expectations.expectations.row_conditions import Column

from include.retraining.artifacts import SPLITS
from include.retraining.config import ClassifierConfig
from include.retraining.intake.data_docs import build_data_docs
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED, ValidationOutcome
from include.retraining.intake.reasons import Reason, ordered, parted

MOST_EXAMPLES = 20  # names of rows that a validation document gives for each expectation
ROW_COLUMNS = ["key", "image", "size_bytes", "format", "width", "height", "problem", "label", "split"]
BATCH_COLUMNS = ["image", "outcome", "label"]
UNKNOWN: Mapping[str, int] = {"size_bytes": -1, "width": 0, "height": 0}

QUARANTINED_FRACTION = "quarantined_fraction"
MINIMUM_ROWS = "minimum_rows"
EVERY_CLASS = "every_class"


def row_expectations(config: ClassifierConfig) -> list[Any]:
    """Returns what must hold for every row; one that breaks it is quarantined.

    Great Expectations skips nulls: what inspection could not find out is null, and breaks the one rule that says so.
    """
    policy = config.intake
    is_inside, is_listed = Column("key").is_not_null(), Column("image").is_not_null()
    sides = {"min_value": policy.minimum_side_pixels, "max_value": policy.maximum_side_pixels}
    largest = policy.maximum_image_bytes
    return [
        ExpectColumnValuesToNotBeNull(column="key", **_else(Reason.OUTSIDE_BATCH)),
        ExpectColumnValuesToNotBeNull(column="size_bytes", row_condition=is_inside, **_else(Reason.MISSING_OBJECT)),
        ExpectColumnValuesToNotBeNull(column="image", row_condition=is_inside, **_else(Reason.NOT_LISTED)),
        ExpectColumnValuesToBeBetween(column="size_bytes", max_value=largest, **_else(Reason.TOO_MANY_BYTES)),
        ExpectColumnValuesToBeNull(column="problem", severity="warning"),  # its value is the reason
        ExpectColumnValuesToBeInSet(column="format", value_set=policy.formats, **_else(Reason.FORMAT_NOT_ALLOWED)),
        ExpectColumnValuesToBeBetween(column="width", **sides, **_else(Reason.SIDES_OUT_OF_BOUNDS)),
        ExpectColumnValuesToBeBetween(column="height", **sides, **_else(Reason.SIDES_OUT_OF_BOUNDS)),
        ExpectColumnValuesToNotBeNull(column="label", row_condition=is_listed, **_else(Reason.NO_LABEL)),
        ExpectColumnValuesToBeInSet(column="label", value_set=_escaped(config.labels), **_else(Reason.UNKNOWN_LABEL)),
        ExpectColumnValuesToBeInSet(column="split", value_set=SPLITS, **_else(Reason.INVALID_SPLIT)),
    ]


def batch_expectations(config: ClassifierConfig) -> list[Any]:
    """Returns what must hold for the batch as a whole, once it is known what became of its rows."""
    is_usable = Column("outcome").is_in([ACCEPTED, SKIPPED])
    return [
        ExpectColumnValuesToNotBeInSet(
            column="outcome",
            value_set=[QUARANTINED],
            mostly=1 - config.intake.maximum_quarantined_fraction,
            severity="critical",
            meta={"rule": QUARANTINED_FRACTION},
        ),
        ExpectTableRowCountToBeBetween(
            min_value=config.intake.minimum_accepted_rows,
            row_condition=is_usable,
            severity="critical",
            meta={"rule": MINIMUM_ROWS},
        ),
        ExpectColumnDistinctValuesToContainSet(
            column="label",
            value_set=_escaped(config.labels),
            row_condition=is_usable,
            severity="info",
            meta={"rule": EVERY_CLASS},
        ),
    ]


class DayValidation:
    """The validation of one day's delivery: first of its rows, then of the batch that they become.

    Args:
        config: The recipe.
        day: The day; the pages show it as the time of the validation, since a repeat must give the same.
    """

    def __init__(self, config: ClassifierConfig, day: date) -> None:
        self._config = config
        self._run_id = RunIdentifier(run_name=day.isoformat(), run_time=datetime.combine(day, time(), UTC))
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas(config.name)
        self._findings: list[dict[str, Any]] = []

    def refuse_rows(self, rows: pd.DataFrame) -> dict[int, tuple[Reason, ...]]:
        """Returns the reasons to quarantine rows, by position; rows that pass are not in it.

        Args:
            rows: Schema `FACTS`, at least one row.
        """
        table = _table(rows, ROW_COLUMNS)
        positions = {name: position for position, name in enumerate(table.index)}
        names = [image or key for image, key in zip(rows["image"], rows["key"], strict=True)]
        problems = list(rows["problem"])
        reasons: dict[int, list[Reason]] = defaultdict(list)
        for result in self._validate("rows", row_expectations(self._config), table):
            broken = [positions[name] for name in result.result["unexpected_index_list"]]
            code = result.expectation_config.meta.get("reason")
            for position in broken:
                reasons[position].append(Reason(code or problems[position]))
            self._keep(result, [names[position] for position in broken[:MOST_EXAMPLES]])
        return {position: ordered(found) for position, found in reasons.items()}

    def judge_batch(self, verdicts: pd.DataFrame) -> ValidationOutcome:
        """Returns whether the batch as a whole holds, with all evidence.

        Args:
            verdicts: Schema `VERDICTS`, at least one row.
        """
        warnings: list[str] = []
        failures: list[str] = []
        for result in self._validate("batch", batch_expectations(self._config), _table(verdicts, BATCH_COLUMNS)):
            self._keep(result, [])
            if not result.success:
                sentence = _SENTENCES[result.expectation_config.meta["rule"]](verdicts, self._config)
                (warnings if result.expectation_config.severity == "info" else failures).append(sentence)
        return ValidationOutcome(
            warnings=tuple(warnings),
            failures=tuple(failures),
            document=self._document(verdicts, warnings, failures),
            data_docs=build_data_docs(self._context),
        )

    def _validate(self, name: str, expectations: list[Any], table: pd.DataFrame) -> list[Any]:
        suite = self._context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        whole = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=whole, suite=suite)
        )
        result_format = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
        outcome = definition.run(
            batch_parameters={"dataframe": table}, run_id=self._run_id, result_format=result_format
        )
        for result in outcome.results:
            if _has_raised(result.exception_info):
                # A defect of ours or theirs, not of the data: an expectation that was not evaluated must not pass.
                raise RuntimeError(f"{result.expectation_config.type} was not evaluated: {result.exception_info}")
        return list(outcome.results)

    def _keep(self, result: Any, examples: list[str]) -> None:
        config = result.expectation_config
        self._findings.append(
            {
                "expectation": config.type,
                "severity": config.severity,
                **config.meta,
                "success": bool(result.success),
                "parameters": {key: value for key, value in config.kwargs.items() if key in _PARAMETERS},
                "n_evaluated": int(result.result.get("element_count", 0)),
                "n_unexpected": int(result.result.get("unexpected_count", 0)),
                "examples": examples,
            }
        )

    def _document(self, verdicts: pd.DataFrame, warnings: list[str], failures: list[str]) -> bytes:
        document = {
            "classifier": self._config.name,
            "date": self._run_id.run_name,
            "delivered": len(verdicts),
            "outcomes": _counts(verdicts["outcome"]),
            "first_reasons": _first_reasons(verdicts),
            "warnings": warnings,
            "failures": failures,
            "great_expectations": gx.__version__,
            "findings": self._findings,
        }
        return json.dumps(document, indent=2, allow_nan=False).encode()


_PARAMETERS = frozenset({"column", "value_set", "min_value", "max_value", "mostly"})


def _else(reason: Reason) -> dict[str, Any]:
    return {"severity": "warning", "meta": {"reason": reason.value}}


def _table(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Returns rows as Great Expectations takes them: unknowns null, text escaped, names as the index.

    Its pages show values and index as they are, so a file called `<script>…` would run in the reader's browser.
    """
    table = rows[columns].copy()
    for column in columns:
        if column in UNKNOWN:
            table[column] = table[column].where(table[column] != UNKNOWN[column])
        else:
            table[column] = [html.escape(value) or None for value in table[column]]
    names = zip(rows["image"], rows["key"], strict=True)
    table.index = pd.Index([f"{html.escape(image or key)} [{number}]" for number, (image, key) in enumerate(names, 1)])
    return table


def _escaped(labels: Iterable[str]) -> list[str]:
    return [html.escape(label) for label in labels]


def _has_raised(exception_info: Mapping[str, Any]) -> bool:
    """Tells whether an evaluation raised; Great Expectations keeps that flat, or by metric."""
    infos = [exception_info, *(value for value in exception_info.values() if isinstance(value, Mapping))]
    return any(info.get("raised_exception", False) for info in infos)


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _first_reasons(verdicts: pd.DataFrame) -> dict[str, int]:
    return _counts(pd.Series([parted(reason)[0].value for reason in verdicts["reason"] if reason], dtype=object))


def _too_many_quarantined(verdicts: pd.DataFrame, config: ClassifierConfig) -> str:
    quarantined = verdicts[verdicts["outcome"] == QUARANTINED]
    reasons = ", ".join(f"{reason} {count}" for reason, count in _first_reasons(quarantined).items())
    return (
        f"{len(quarantined)} of {len(verdicts)} images are quarantined ({reasons}), and "
        f"intake.maximum_quarantined_fraction allows {config.intake.maximum_quarantined_fraction:.0%}"
    )


def _too_few_rows(verdicts: pd.DataFrame, config: ClassifierConfig) -> str:
    usable = int((verdicts["outcome"] != QUARANTINED).sum())
    minimum = config.intake.minimum_accepted_rows
    return f"{usable} of {len(verdicts)} images are usable, and intake.minimum_accepted_rows asks for {minimum}"


def _missing_classes(verdicts: pd.DataFrame, config: ClassifierConfig) -> str:
    present = set(verdicts.loc[verdicts["outcome"] != QUARANTINED, "label"])
    return f"no image of {', '.join(repr(label) for label in config.labels if label not in present)} was delivered"


_SENTENCES: Mapping[str, Callable[[pd.DataFrame, ClassifierConfig], str]] = {
    QUARANTINED_FRACTION: _too_many_quarantined,
    MINIMUM_ROWS: _too_few_rows,
    EVERY_CLASS: _missing_classes,
}
