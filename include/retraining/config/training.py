"""What the recipe says of splits, balancing and candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from include.retraining.config.section import Section

Strategy = Literal["none", "class_weights", "smote"]


class DatasetConfig(Section):
    """How accepted images are split. A `split` in the manifest overrides the fractions."""

    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the images used to choose the challenger."
    )
    test_fraction: float = Field(
        0.2, ge=0, lt=1, description="Share held out for evaluation; 0 where manifests pin it."
    )
    salt: str = Field(
        "", description="Changes which images fall into which split. Never change it on a live classifier."
    )
    near_duplicate_bits: int | None = Field(
        12,
        ge=0,
        le=32,
        description="Images whose perceptual hashes (256 bits) differ in so few bits share a split; null: none do.",
    )
    rolling_days: int | None = Field(
        None, ge=1, description="Days before the window's end whose batches are used; null: all."
    )

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> DatasetConfig:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must be below 1, or no row is left to train on")
        return self


class BalancingConfig(Section):
    """How SMOTE balances the train embeddings."""

    k_neighbors: int = Field(
        5, ge=1, description="Neighbours to interpolate with; less where a class has fewer images."
    )
    seed: int = Field(0, ge=0, description="Seeds the choice of parents and steps.")


class HeadConfig(Section):
    """A classifier on top of the vectors."""

    hidden_units: tuple[int, ...] = Field((), description="Units of the hidden layers; empty for a linear head.")
    weight_decay: float = Field(ge=0, description="Decoupled weight decay of AdamW.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units dropped in training.")


class TrainingConfig(Section):
    """The candidates: every head with every strategy, all from the same vectors."""

    strategies: tuple[Strategy, ...] = Field(("none", "class_weights", "smote"), min_length=1)
    heads: dict[str, HeadConfig] = Field(min_length=1, description="Heads by name.")
    epochs: int = Field(20, ge=1, description="Passes over the train rows; the best one on validation is kept.")
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0, lt=1, description="AdamW's step size at the start of its cosine.")
    seed: int = Field(0, ge=0, description="Seeds weights and the order of rows.")


@dataclass(frozen=True)
class Candidate:
    """A strategy with a head.

    Attributes:
        strategy: How the imbalance is met.
        head: Name of a head of the recipe.
    """

    strategy: Strategy
    head: str

    @property
    def name(self) -> str:
        """`<strategy> · <head>`, as people see it."""
        return f"{self.strategy} · {self.head}"
