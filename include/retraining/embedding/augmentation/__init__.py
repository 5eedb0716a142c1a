"""Changes images at random, the same way every time, so that a train image gives several vectors."""

from __future__ import annotations

from include.retraining.embedding.augmentation.augmenter import Augmenter, build_augmenter

__all__ = ["Augmenter", "build_augmenter"]
