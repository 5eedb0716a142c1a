"""What holds for every engine."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from include.retraining.config.embedding import Augmentation, ImageDataGeneratorAugmentation, KerasAugmentation
from include.retraining.embedding.augmentation import build_augmenter
from include.retraining.storage.publishing import sha256
from tests.unit.retraining.embedding.augmentation.pictures import picture

ROOT = Path(__file__).parents[5]
ENGINES = {
    "keras": KerasAugmentation(vertical_flip=True, rotation_degrees=20, brightness=0.1, contrast=0.2),
    "image_data_generator": ImageDataGeneratorAugmentation(
        engine="image_data_generator",
        arguments={
            "rotation_range": 20,
            "width_shift_range": 0.1,
            "zoom_range": 0.2,
            "horizontal_flip": True,
            "brightness_range": [0.8, 1.2],
        },
    ),
}
ELSEWHERE = """
import sys
from include.retraining.embedding.augmentation import build_augmenter
from include.retraining.storage.publishing import sha256
from tests.unit.retraining.embedding.augmentation.pictures import picture
from tests.unit.retraining.embedding.augmentation.test_augmenter import ENGINES

for augmentation in ENGINES.values():
    augment = build_augmenter(augmentation)
    augment(picture(seed=9), "another", 7)
    print("view", sha256(augment(picture(), "ab12", 2).tobytes()))
"""

pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys())
def augmentation(request: pytest.FixtureRequest) -> Augmentation:
    return request.param


def test_the_same_image_and_view_give_the_same_bytes_whatever_was_made_before(augmentation: Augmentation):
    augment = build_augmenter(augmentation)
    first = augment(picture(), "ab12", 1)
    augment(picture(20, 30), "cd34", 1)
    assert np.array_equal(augment(picture(), "ab12", 1), first)
    assert np.array_equal(build_augmenter(augmentation)(picture(), "ab12", 1), first)


def test_another_seed_image_or_view_gives_another_change(augmentation: Augmentation):
    other_seed = build_augmenter(augmentation.model_copy(update={"seed": 1}))
    augment = build_augmenter(augmentation)
    views = [augment(picture(), image_id, view) for image_id, view in product(["ab12", "cd34"], range(1, 6))]
    views.append(other_seed(picture(), "ab12", 1))
    assert len({view.tobytes() for view in views}) == len(views)
    assert picture().tobytes() not in {view.tobytes() for view in views}


def test_threads_make_the_views_that_one_thread_makes(augmentation: Augmentation):
    augment = build_augmenter(augmentation)
    wanted = [(picture(20 + number % 3, 32, number), sha256(b"%d" % number), 1 + number % 4) for number in range(60)]

    serial = [augment(*one) for one in wanted]
    with ThreadPoolExecutor(8) as threads:
        parallel = list(threads.map(lambda one: augment(*one), wanted))

    assert all(np.array_equal(one, other) for one, other in zip(serial, parallel, strict=True))


def test_another_process_makes_the_same_bytes():
    here = [sha256(build_augmenter(one)(picture(), "ab12", 2).tobytes()) for one in ENGINES.values()]
    there = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[1] for line in there.stdout.splitlines() if line.startswith("view ")] == here
