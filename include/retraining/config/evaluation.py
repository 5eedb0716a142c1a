"""How challenger and champion are compared, and what happens to a version afterwards."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

from include.retraining.config.section import Section


class EvaluationConfig(Section):
    """How the test rows are looked at. None of it changes a model."""

    slices: tuple[str, ...] = Field(
        (), description="Columns of the manifests by whose values metrics are shown; also group and date."
    )
    minimum_slice_rows: int = Field(
        30, ge=1, description="A slice with fewer test rows is shown, and not judged by a gate on every value."
    )
    deployment_prior: dict[str, float] | None = Field(
        None, description="Share of each label where the model is used; null: not known."
    )
    resamples: int = Field(2000, ge=200, le=100_000, description="Of the bootstrap.")
    permutations: int = Field(1000, ge=100, le=100_000, description="Of the labels, for the test against chance.")
    seed: int = Field(0, ge=0)

    @field_validator("slices")
    @classmethod
    def _are_distinct(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(columns)) != len(columns):
            raise ValueError("expected every column once")
        return columns

    @field_validator("deployment_prior")
    @classmethod
    def _is_a_distribution(cls, prior: dict[str, float] | None) -> dict[str, float] | None:
        if prior is not None and not (
            all(math.isfinite(share) and share > 0 for share in prior.values())
            and math.isclose(sum(prior.values()), 1, abs_tol=1e-6)
        ):
            raise ValueError(f"expected shares above 0 that sum to 1, they sum to {sum(prior.values()):.6g}")
        return prior


class PromotionConfig(Section):
    """What may become champion beside what the gates say, and how long versions are kept."""

    first_model: Literal["gates", "by_hand"] = Field(
        "gates",
        description="Where there is no champion yet. gates: those that compare with it pass, the others decide; "
        "by_hand: nothing is promoted until somebody promotes a version that the gates approved.",
    )
    require_approval: bool = Field(False, description="A person must approve after the gates did, in every run.")
    approval_hours: float = Field(24, gt=0, le=24 * 14, description="No answer until then means no.")
    keep_predecessors: int = Field(
        5, ge=1, description="Former champions that `models gc` never removes: what a rollback can go back to."
    )
