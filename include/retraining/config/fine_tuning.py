"""What the recipe says of fine-tuning the network that makes the vectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.retraining.config.section import Section


class EveryRuns(Section):
    """Fine-tune when as many runs have decided on a challenger since the last time; the first run always does."""

    when: Literal["every_runs"]
    runs: int = Field(10, ge=1)


class RecallFell(Section):
    """Fine-tune when the recall of a class, on test rows, fell between two runs; the first run always does."""

    when: Literal["recall_fell"]
    by: float = Field(0.05, gt=0, le=1, description="How far, from the best challenger since the last fine-tuning.")


Occasion = Annotated[EveryRuns | RecallFell, Field(discriminator="when")]


class FineTuneConfig(Section):
    """How the network is trained on the train split."""

    occasion: Occasion = Field(description="When it is due.")
    trained_from: str | None = Field(
        None,
        description="First layer that is trained, earlier ones stay frozen; or `all`; null: the extractor's own.",
    )
    epochs: int = Field(8, ge=1, description="Passes over the train images.")
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(1e-3, gt=0, lt=1, description="AdamW's largest step size, after warm-up.")
    warm_up_epochs: float = Field(1.0, ge=0, description="Epochs in which the step size rises from 0.")
    weight_decay: float = Field(1e-2, ge=0, description="Decoupled weight decay of AdamW.")
    horizontal_flip: bool = Field(True, description="Mirror half of the images.")
    crop_share: float = Field(
        0.1, ge=0, lt=1, description="Padding that is cropped away again, as a share of the side."
    )
    erasing_share: float = Field(0.05, ge=0, lt=1, description="Share of an image that one erased rectangle covers.")
    seed: int = Field(0, ge=0, description="Seeds the order of images, their changes and the classifier on top.")
