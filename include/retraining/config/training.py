"""What the recipe says of splits, balancing, candidates and how one of them is chosen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from include.retraining.config.heads import HeadConfig, HeadSettings, Search
from include.retraining.config.image_data_generator import find_mistake
from include.retraining.config.section import Section
from include.retraining.config.strategies import (
    ClassWeights,
    LogitAdjustedLoss,
    NoBalancing,
    ResamplingStrategy,
    Smote,
    Strategy,
    missing_references,
    with_settings,
)


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
    """How the train embeddings are resampled, where a strategy does so."""

    seed: int = Field(0, ge=0, description="Seeds the choice of parents and steps.")
    random_streams: Literal["per_class", "imblearn"] = Field(
        "per_class",
        description="`imblearn`: the numbers that imbalanced-learn draws, the same in every class: its very rows.",
    )
    reconstruct: bool = Field(
        False, description="Turn synthetic vectors back into pictures with a small decoder, for the report."
    )


class SelectionConfig(Section):
    """How the challenger is chosen among the candidates; the test split has no part in it."""

    folds: int = Field(5, ge=2, le=20, description="Of the cross-validation over train and validation rows.")
    rule: Literal["one_standard_error", "best"] = Field(
        "one_standard_error",
        description="The simplest candidate within one standard error of the best, or the best.",
    )
    seed: int = Field(0, ge=0, description="Seeds which rows lie in which fold.")


class CalibrationConfig(Section):
    """What is fitted on validation rows once a head is trained."""

    temperature: bool = Field(True, description="Divide logits by a number that makes probabilities honest.")
    thresholds: bool = Field(False, description="A threshold for each class, for the highest macro recall.")


class ImagesConfig(Section):
    """The image-level CNN of `mode: images`: slower than heads on vectors, and shown beside them."""

    source: Literal["nearest_real", "decoded"] = Field(
        "nearest_real",
        description="Pictures of synthetic rows: the nearest real image of the class, or decoded from the vector.",
    )
    strategy: str = Field("smote", description="Name of the strategy whose plan balances the images.")
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    augmentation: dict[str, Any] = Field(
        {"rotation_range": 10, "width_shift_range": 0.1, "height_shift_range": 0.1, "horizontal_flip": True},
        description="Arguments of Keras's ImageDataGenerator.",
    )

    @field_validator("augmentation")
    @classmethod
    def _can_be_used_here(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        mistake = find_mistake(arguments)
        if mistake:
            raise ValueError(mistake)
        return arguments


class TrainingConfig(Section):
    """The candidates: every strategy with every head and its settings, all from the same vectors."""

    strategies: dict[str, Strategy] = Field(
        {
            "none": NoBalancing(),
            "class_weights": ClassWeights(),
            "logit_adjusted_loss": LogitAdjustedLoss(),
            "smote": Smote(),
        },
        min_length=1,
        description="How the imbalance may be met: names, or own names with settings; the simplest first.",
    )
    heads: dict[str, HeadConfig] = Field(min_length=1, description="Heads by name.")
    epochs: int = Field(20, ge=1, description="Passes over the train rows; the best one on validation is kept.")
    patience: int | None = Field(
        None, ge=1, description="Epochs without a better macro recall on validation before training stops; null: all."
    )
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0, lt=1, description="AdamW's step size at the start of its cosine.")
    seed: int = Field(0, ge=0, description="Seeds weights and the order of rows.")
    selection: SelectionConfig = SelectionConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    mode: Literal["vectors", "images"] = Field(
        "vectors", description="`images`: an image-level CNN is trained too, on pictures of the balanced rows."
    )
    images: ImagesConfig = Field(default_factory=ImagesConfig, description="Used where mode is `images`.")

    @field_validator("strategies", mode="before")
    @classmethod
    def _may_be_names(cls, strategies: Any) -> Any:
        return with_settings(strategies)

    @model_validator(mode="after")
    def _names_are_plain(self) -> TrainingConfig:
        for name in (*self.strategies, *self.heads):
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,40}", name):
                raise ValueError(f"strategies and heads are named in small letters, digits and _, got {name!r}")
        return self

    @model_validator(mode="after")
    def _candidates_can_be_told_apart(self) -> TrainingConfig:
        names = [candidate.name for candidate in self.candidates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"a grid gives a candidate twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _shows_what_resampling_must_beat(self) -> TrainingConfig:
        missing = missing_references(self.strategies)
        if missing:
            raise ValueError(
                f"a strategy that resamples is always shown beside simpler ones: add {', '.join(missing)} to strategies"
            )
        return self

    @model_validator(mode="after")
    def _images_have_a_plan(self) -> TrainingConfig:
        if self.mode == "images" and self.images.strategy not in self.resampling:
            known = ", ".join(self.resampling) or "none"
            raise ValueError(
                f"images.strategy must name a strategy that resamples ({known}), got {self.images.strategy!r}"
            )
        return self

    @property
    def resampling(self) -> dict[str, ResamplingStrategy]:
        """The strategies that need a plan, by name."""
        return {name: it for name, it in self.strategies.items() if isinstance(it, ResamplingStrategy)}

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates, strategy by strategy, head by head."""
        return [candidate for name in self.strategies for head in self.heads for candidate in self._of(name, head)]

    def _of(self, strategy: str, head: str) -> list[Candidate]:
        config = self.heads[head]
        points = config.grid.points if config.grid else [{}]
        return [
            Candidate(
                name=" · ".join([strategy, head, *(f"{setting}={value:g}" for setting, value in point.items())]),
                strategy=strategy,
                head=head,
                settings=config.settings(self.learning_rate, point),
                search=config.search,
            )
            for point in points
        ]


@dataclass(frozen=True)
class Candidate:
    """A strategy with a head and its settings.

    Attributes:
        name: `<strategy> · <head>`, then the point of the grid: as people see it.
        strategy: Name of a strategy of the recipe.
        head: Name of a head of the recipe.
        settings: To train with; where there is a search, to start it with.
        search: How better settings are looked for; None: not at all.
    """

    name: str
    strategy: str
    head: str
    settings: HeadSettings
    search: Search | None
