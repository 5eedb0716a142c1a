from __future__ import annotations

import pytest

from include.retraining.config import EXTRACTOR_NAMES, EmbeddingConfig
from include.retraining.embedding.networks.architectures import ARCHITECTURES, check_image_size
from include.retraining.errors import ConfigurationError


def test_every_extractor_that_a_recipe_can_name_is_in_the_table():
    assert list(ARCHITECTURES) == list(EXTRACTOR_NAMES)
    assert all(architecture.name == name for name, architecture in ARCHITECTURES.items())


def test_images_that_are_too_small_are_an_error_that_says_the_smallest_size():
    with pytest.raises(ConfigurationError, match=r"inception_v3 takes images of 75 pixels or more.*says 74.*299"):
        check_image_size(EmbeddingConfig(extractor="inception_v3", image_size=74))


@pytest.mark.parametrize("name", EXTRACTOR_NAMES)
def test_the_smallest_and_the_native_size_are_accepted(name: str):
    architecture = ARCHITECTURES[name]

    for size in (architecture.minimum_size, architecture.native_size):
        check_image_size(EmbeddingConfig(extractor=name, image_size=size))
