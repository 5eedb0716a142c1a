"""The validation of one day's delivery by Great Expectations, shard by shard. What is expected is in `suite.py`.

Memory does not grow with the day: a shard is a table of its own, and of its rows only counts and examples are kept.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)

from include.retraining.config import ClassifierConfig
from include.retraining.intake.outcomes import ValidationOutcome
from include.retraining.intake.reasons import Reason, ordered
from include.retraining.intake.validation.data_docs import Overview, build_data_docs
from include.retraining.intake.validation.findings import MOST_NAMED, Breach, Finding, to_suite_result
from include.retraining.intake.validation.sentences import batch_sentence, breach_sentence
from include.retraining.intake.validation.suite import build_suite
from include.retraining.intake.validation.validated_tables import batch_table, related_table, row_table, shifts

if TYPE_CHECKING:
    from include.retraining.intake.drift.drift import DriftFigures, Shift
    from include.retraining.intake.summary import BatchSummary

Reasons = dict[int, tuple[Reason, ...]]  # by position in a shard

RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


class DayValidation:
    """The validation of one day's delivery: its rows, what relates them to others, and the batch that they become.

    Args:
        config: The recipe.
        day: The day; the pages show it as the time of the validation, since a repeat must give the same.
    """

    def __init__(self, config: ClassifierConfig, day: date) -> None:
        self._config = config
        self._day = day
        self._suite = build_suite(config)
        self._rows = [Finding(expectation) for expectation in self._suite.rows]
        self._related = [Finding(expectation) for expectation in self._suite.related]
        self._batch = [Finding(expectation) for expectation in self._suite.batch]
        self._breaches = {it.rule: Breach(it.severity) for it in (*self._rows, *self._related)}
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = self._context.data_sources.add_pandas(config.name).add_dataframe_asset("delivery")
        self._whole = asset.add_batch_definition_whole_dataframe("whole")

    def refuse_rows(self, rows: pd.DataFrame) -> Reasons:
        """Returns the reasons to refuse rows for what they are, by position; rows that pass are not in it.

        Args:
            rows: A shard of the day (schema `FACTS`), at least one row.
        """
        return self._refuse(row_table(rows), self._rows, _names(rows))

    def refuse_related(self, rows: pd.DataFrame, findings: pd.Series) -> Reasons:
        """Returns the reasons to refuse rows for what they are beside others, by position.

        Args:
            rows: A shard of the day (schema `FACTS`), at least one row.
            findings: What was found about each row, in the same order: the code of a reason, or empty.
        """
        return self._refuse(related_table(findings), self._related, _names(rows))

    def judge_batch(
        self, summary: BatchSummary, drift: DriftFigures, warnings: tuple[str, ...], contact_sheet: bytes
    ) -> ValidationOutcome:
        """Returns whether the batch as a whole holds, with all evidence of the day.

        Args:
            summary: What was counted over the verdicts on all shards.
            drift: Shifts against the batches before.
            warnings: Sentences about what was seen elsewhere.
            contact_sheet: A page that shows the images that are held back.
        """
        table = batch_table(summary, drift, self._config.labels)
        for finding, result in zip(self._batch, self._validate(table, self._batch), strict=True):
            finding.add(result, ["the batch"])
            figure = table[finding.column].iloc[0]
            finding.observed = None if pd.isna(figure) else float(figure)
            finding.examples.clear()
        said = self._sentences(summary, drift)
        failures = tuple(sentence for severity, sentence in said if severity == "block")
        warnings = (*warnings, *(sentence for severity, sentence in said if severity == "warn"))
        overview = Overview(
            classifier=self._config.name,
            day=self._day,
            summary=summary,
            drift=drift,
            warnings=warnings,
            failures=failures,
        )
        self._keep_result()
        return ValidationOutcome(
            warnings=warnings,
            failures=failures,
            document=self._document(summary, drift, warnings, failures),
            data_docs=build_data_docs(self._context, overview, contact_sheet),
        )

    @property
    def _findings(self) -> list[Finding]:
        return [*self._rows, *self._related, *self._batch]

    def _refuse(self, table: pd.DataFrame, findings: list[Finding], names: Sequence[str]) -> Reasons:
        reasons: dict[int, list[Reason]] = defaultdict(list)
        breaking: dict[str, dict[int, str]] = defaultdict(dict)
        for finding, result in zip(findings, self._validate(table, findings), strict=True):
            finding.add(result, names)
            for position in result.result["unexpected_index_list"]:
                reason = Reason(finding.expectation.meta.get("reason") or table[finding.column].iloc[position])
                breaking[finding.rule].setdefault(position, reason.value)
                if finding.severity != "warn":
                    reasons[position].append(reason)
        self._keep_breaches(breaking, names)
        return {position: ordered(found) for position, found in reasons.items()}

    def _keep_breaches(self, breaking: Mapping[str, Mapping[int, str]], names: Sequence[str]) -> None:
        for rule, codes in breaking.items():
            breach = self._breaches[rule]
            breach.count += len(codes)
            breach.codes.update(codes.values())
            breach.names += [names[position] for position in sorted(codes)[: MOST_NAMED - len(breach.names)]]

    def _validate(self, table: pd.DataFrame, findings: list[Finding]) -> list[Any]:
        """Returns the result of each finding's expectation on a table, in order."""
        suite = gx.ExpectationSuite(name=self._config.name, expectations=[it.expectation for it in findings])
        batch = self._whole.get_batch(batch_parameters={"dataframe": table})
        results = {}
        for result in batch.validate(suite, result_format=RESULT_FORMAT).results:
            if _has_raised(result.exception_info):
                # A defect of ours or theirs, not of the data: an expectation that was not evaluated must not pass.
                raise RuntimeError(f"{result.expectation_config.type} was not evaluated: {result.exception_info}")
            results[_identity(result.expectation_config)] = result
        identities = [_identity(finding.expectation.configuration) for finding in findings]
        if missing := set(identities) - results.keys():
            raise RuntimeError(f"Great Expectations gave no result for {sorted(missing)}.")
        return [results[identity] for identity in identities]

    def _sentences(self, summary: BatchSummary, drift: DriftFigures) -> list[tuple[str, str]]:
        """Returns what has to be said, each with the severity that it is said with."""
        said = [
            (breach.severity, breach_sentence(rule, breach, summary.delivered))
            for rule, breach in self._breaches.items()
            if breach.count and breach.severity != "row"
        ]
        broken: dict[str, list[Finding]] = defaultdict(list)
        for finding in self._batch:
            if not finding.success:
                broken[finding.rule].append(finding)
        for findings in broken.values():
            said.append((findings[0].severity, batch_sentence(self._config, findings, summary, drift)))
        return said

    def _keep_result(self) -> None:
        """Puts the suite and the day's findings where Great Expectations makes pages from."""
        self._context.suites.add(gx.ExpectationSuite(name=self._config.name, expectations=self._suite.expectations))
        run_id = RunIdentifier(run_name=self._day.isoformat(), run_time=datetime.combine(self._day, time(), UTC))
        meta = {
            "great_expectations_version": gx.__version__,
            "run_id": run_id,
            "validation_time": run_id.run_time,
            "batch_spec": {"data_asset_name": f"delivery of {self._day.isoformat()}"},
        }
        identifier = ExpectationSuiteIdentifier(name=self._config.name)
        self._context.validation_results_store.store_validation_results(
            suite_validation_result=to_suite_result(self._config.name, self._findings, meta),
            suite_validation_result_identifier=ValidationResultIdentifier(identifier, run_id, "delivery"),
            expectation_suite_identifier=identifier,
        )

    def _document(
        self, summary: BatchSummary, drift: DriftFigures, warnings: tuple[str, ...], failures: tuple[str, ...]
    ) -> bytes:
        document = {
            "classifier": self._config.name,
            "date": self._day.isoformat(),
            "delivered": summary.delivered,
            "outcomes": _sorted(summary.outcomes),
            "first_reasons": _sorted(summary.first_reasons),
            "warnings": warnings,
            "failures": failures,
            "baseline": {
                "days": [day.isoformat() for day in drift.baseline_days],
                "is_registering": drift.is_registering,
            },
            "drift": {name: _figures(shift) for name, shift in shifts(drift)},
            "great_expectations": gx.__version__,
            "findings": [finding.to_document() for finding in self._findings],
        }
        return json.dumps(document, indent=2, allow_nan=False).encode()


def _identity(config: Any) -> tuple[str, str, str]:
    """Returns what tells an expectation from all others of a suite; results come in another order."""
    return config.type, config.kwargs["column"], config.meta["rule"]


def _names(rows: pd.DataFrame) -> list[str]:
    return [image or key for image, key in zip(rows["image"], rows["key"], strict=True)]


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: int(count) for name, count in sorted(counts.items())}


def _figures(shift: Shift) -> dict[str, object]:
    return {
        "psi": float(shift.psi),
        "chance": float(shift.chance),
        "kl": float(shift.kl),
        "n_batch": int(shift.n_batch),
        "n_baseline": int(shift.n_baseline),
        "batch": dict(shift.batch),
        "baseline": dict(shift.baseline),
    }


def _has_raised(exception_info: Mapping[str, Any]) -> bool:
    """Tells whether an evaluation raised; Great Expectations keeps that flat, or by metric."""
    infos = [exception_info, *(value for value in exception_info.values() if isinstance(value, Mapping))]
    return any(info.get("raised_exception", False) for info in infos)
