"""What the recipe expects of rows and batches: its Great Expectations suite."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from include.retraining.config.section import Section


class Rule(Section):
    """An expectation that always holds a row back: there is no way to use one that breaks it."""

    severity: Literal["row", "block"] = "row"


class OptionalRule(Section):
    """An expectation on a single row that need not be held."""

    severity: Literal["off", "warn", "row", "block"] = "row"


class RangeRule(OptionalRule):
    """An expectation that a number lies within bounds; without a bound it holds."""

    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> RangeRule:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum must not be above maximum")
        return self


class CountRule(Section):
    """An expectation that there are enough rows."""

    severity: Literal["off", "warn", "block"]
    minimum: int = Field(1, ge=1)


class FractionRule(Section):
    """An expectation that few enough rows are held back."""

    severity: Literal["off", "warn", "block"] = "block"
    maximum: float = Field(0.2, ge=0, le=1)


class DriftRule(Section):
    """An expectation that a batch resembles the ones before it.

    A batch drifts where the population stability index (PSI) is over its maximum and over what chance gives in 999 of
    1000 batches of this size; small batches differ by chance alone.
    """

    severity: Literal["off", "warn", "block"] = "warn"
    last_batches: int = Field(10, ge=1, description="Accepted batches before this one that it is compared with.")
    maximum_psi: float = Field(0.25, gt=0, description="0.1 is commonly called a small shift, 0.25 a large one.")


class LabelDriftRule(DriftRule):
    """As `DriftRule`, for the shares of the labels; a second bound is optional."""

    maximum_kl: float | None = Field(
        None, gt=0, description="Largest Kullback-Leibler divergence of the batch from the ones before it, in nats."
    )


class ExpectationsConfig(Section):
    """The Great Expectations suite of a classifier, expectation by expectation.

    Severity `row` quarantines the rows that break it (duplicates are skipped), `warn` only reports, `block` fails the
    run, `off` does not look.
    """

    readable: Rule = Field(Rule(), description="The object is there, belongs to the batch, and decodes to its end.")
    within_policy: Rule = Field(Rule(), description="intake.images is kept.")
    label_known: Rule = Field(Rule(), description="The label is one of the classifier's, letter for letter.")
    split_known: Rule = Field(Rule(), description="The split is train, validation, test or empty.")
    label_agreed: Rule = Field(Rule(), description="The same pixels have one label and one group.")
    new_image: Rule = Field(Rule(), description="Neither this batch nor an earlier one holds the same pixels.")
    split_kept: Rule = Field(
        Rule(), description="The image can lie in one split with its group, its near-duplicates and its pin."
    )
    not_constant: OptionalRule = Field(
        OptionalRule(severity="warn"), description="The image shows something: not nearly one colour."
    )
    brightness: RangeRule = Field(RangeRule(), description="Mean of the grey image, in [0, 1].")
    contrast: RangeRule = Field(RangeRule(), description="Standard deviation of the grey image, in [0, 0.5].")
    sharpness: RangeRule = Field(
        RangeRule(), description="Variance of the Laplacian of the grey image of values 0 to 255; low is blurred."
    )
    every_class: CountRule = Field(CountRule(severity="warn"), description="Usable rows of each label.")
    new_rows: CountRule = Field(CountRule(severity="warn"), description="Accepted rows.")
    usable_rows: CountRule = Field(CountRule(severity="block"), description="Rows that are accepted or known already.")
    quarantined: FractionRule = Field(FractionRule(), description="Share of the rows that are quarantined.")
    label_distribution: LabelDriftRule = LabelDriftRule()
    image_statistics: DriftRule = Field(DriftRule(), description="Brightness, contrast, sharpness and size, each.")
