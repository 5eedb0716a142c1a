"""What the recipe says of the classifiers on top of the vectors: their shape, and which of their settings are tried."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from include.retraining.config.section import Section

MOST_GRID_POINTS = 64


@dataclass(frozen=True)
class HeadSettings:
    """One head as it is trained.

    Attributes:
        hidden_units: Units of the hidden layers; empty for a linear head.
        weight_decay: Decoupled weight decay of AdamW.
        dropout: Share of hidden units dropped in training.
        learning_rate: AdamW's step size at the start of its cosine.
    """

    hidden_units: tuple[int, ...]
    weight_decay: float
    dropout: float
    learning_rate: float


class Grid(Section):
    """Values to try: every combination becomes a candidate."""

    weight_decay: tuple[float, ...] = Field((), description="Each at least 0.")
    dropout: tuple[float, ...] = Field((), description="Each in [0, 1).")
    learning_rate: tuple[float, ...] = Field((), description="Each in (0, 1).")

    @property
    def points(self) -> list[dict[str, float]]:
        """All combinations of the values that are given, in the order in which they are written."""
        axes = {name: values for name, values in self.model_dump().items() if values}
        return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


class Between(Section):
    """A range to search in."""

    low: float
    high: float
    log: bool = Field(False, description="Whether orders of magnitude are equally likely.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Between:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 where log is true, got {self.low}")
        return self


class Search(Section):
    """A bounded search by Optuna, inside the candidate's own task."""

    method: Literal["optuna"] = "optuna"
    trials: int = Field(ge=1, le=200, description="Settings that are tried, each by cross-validation.")
    seed: int = Field(0, ge=0)
    weight_decay: Between | None = None
    dropout: Between | None = None
    learning_rate: Between | None = None

    @property
    def ranges(self) -> dict[str, Between]:
        """The ranges by the setting that they are of."""
        named = {name: getattr(self, name) for name in ("weight_decay", "dropout", "learning_rate")}
        return {name: between for name, between in named.items() if between is not None}

    @property
    def corners(self) -> list[dict[str, float]]:
        """Where all ranges begin, and where all end."""
        return [{name: getattr(between, end) for name, between in self.ranges.items()} for end in ("low", "high")]

    @model_validator(mode="after")
    def _searches_something(self) -> Search:
        if not self.ranges:
            raise ValueError("name at least one of weight_decay, dropout and learning_rate with low and high")
        return self


class HeadConfig(Section):
    """A classifier on top of the vectors."""

    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Units of the hidden layers; empty for a linear head."
    )
    weight_decay: float = Field(ge=0, allow_inf_nan=False, description="Decoupled weight decay of AdamW.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units dropped in training.")
    learning_rate: float | None = Field(None, gt=0, lt=1, description="Null: the one of `training`.")
    grid: Grid | None = Field(None, description="Values to try, a candidate each.")
    search: Search | None = Field(None, description="Ranges to search in, inside one candidate.")

    @model_validator(mode="after")
    def _tries_in_one_way(self) -> HeadConfig:
        if self.grid is not None and self.search is not None:
            raise ValueError("a head has a grid or a search, not both")
        if self.grid is not None and len(self.grid.points) > MOST_GRID_POINTS:
            raise ValueError(f"the grid has {len(self.grid.points)} points, more than {MOST_GRID_POINTS}")
        for point in [*(self.grid.points if self.grid else ()), *(self.search.corners if self.search else ())]:
            self.model_validate({**self.model_dump(exclude={"grid", "search"}), **point})
        return self

    def settings(self, learning_rate: float, changes: Mapping[str, float] | None = None) -> HeadSettings:
        """Returns the settings to train with.

        Args:
            learning_rate: That of the recipe, where the head has none.
            changes: A point of the grid or of the search.
        """
        own = {
            "weight_decay": self.weight_decay,
            "dropout": self.dropout,
            "learning_rate": learning_rate if self.learning_rate is None else self.learning_rate,
        }
        return HeadSettings(self.hidden_units, **{**own, **(changes or {})})
