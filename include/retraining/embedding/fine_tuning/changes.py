"""Random changes of train images: a shifted crop, a mirrored image, one small erased rectangle.

Nothing here remembers anything: what happens to an image follows from the seed, the epoch and the image's position
among the train images alone, so that an epoch is the same whether or not the ones before it ran in the same process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.retraining.config import FineTuneConfig

_ORDER, _CHANGES = 0, 1  # streams of random numbers of an epoch
_N_DRAWS = 6
_LARGEST_ASPECT = 2.0


@dataclass(frozen=True)
class EpochPlan:
    """In which order an epoch takes the images, and what it draws for each.

    Attributes:
        order: Positions of the images, a permutation, shape `(n_images,)`.
        draws: Uniform numbers in [0, 1) by position, shape `(n_images, 6)`, float32.
    """

    order: np.ndarray
    draws: np.ndarray


def plan_epoch(seed: int, epoch: int, n_images: int) -> EpochPlan:
    """Returns the plan of an epoch, from 1; equal arguments give an equal plan."""
    return EpochPlan(
        order=np.random.default_rng([seed, epoch, _ORDER]).permutation(n_images),
        draws=np.random.default_rng([seed, epoch, _CHANGES]).random((n_images, _N_DRAWS), dtype=np.float32),
    )


def change_images(images: np.ndarray, draws: np.ndarray, config: FineTuneConfig) -> np.ndarray:
    """Returns changed copies of images.

    The crop is taken out of the image with its own reflection around it, `crop_share` of the side wide. The rectangle
    covers `erasing_share` of the image at a random place, its sides at most 2 : 1, and shows the image's mean colour.

    Args:
        images: uint8, shape `(n, size, size, 3)`.
        draws: An image's row of `EpochPlan.draws` each.
        config: What is changed, and how much at most.

    Returns:
        float32 pixels in [0, 255] of the same shape.

    References:
        Zhong et al., 2020, "Random Erasing Data Augmentation", with the mean of the image as its value.
    """
    side = images.shape[1]
    border = round(config.crop_share * side)
    margins = ((0, 0), (border, border), (border, border), (0, 0))
    padded = np.pad(images, margins, mode="reflect") if border else images
    changed = np.empty(images.shape, np.float32)
    for index, draw in enumerate(draws):
        top, left = (int(share * (2 * border + 1)) for share in draw[:2])
        crop = padded[index, top : top + side, left : left + side]
        changed[index] = crop[:, ::-1] if config.horizontal_flip and draw[2] < 0.5 else crop
        if config.erasing_share:
            _erase(changed[index], draw[3:], config.erasing_share)
    return changed


def _erase(image: np.ndarray, draw: np.ndarray, share: float) -> None:
    side = image.shape[0]
    aspect = _LARGEST_ASPECT ** (2 * float(draw[0]) - 1)
    height, width = (min(side, max(1, round(side * (share * ratio) ** 0.5))) for ratio in (aspect, 1 / aspect))
    top, left = int(draw[1] * (side - height + 1)), int(draw[2] * (side - width + 1))
    image[top : top + height, left : left + width] = image.mean(axis=(0, 1))
