from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.training.rows import Rows, class_ids, read_rows
from tests.builders import LABELS, make_config, make_run
from tests.datasets import blob_vectors, embedding_of, publish_snapshot, split_rows, store_vectors

COUNTS = {
    "train": {"daisy": 5, "poppy": 3, "orchid": 2},
    "validation": {"daisy": 2, "poppy": 1, "orchid": 1},
    "test": {"daisy": 2, "poppy": 2, "orchid": 2},
}
IMAGES = split_rows(COUNTS)


def read(views: int = 0, stored: tuple[str, ...] = ("train", "validation"), **changes: dict) -> Rows:
    """Rows of a store that holds vectors of some splits only; `changes` are those of an image, by its number."""
    run = make_run(config=make_config(embedding={"views": views}))
    images = [{**image, **changes.get(f"image_{number}", {})} for number, image in enumerate(IMAGES)]
    present = [number for number, image in enumerate(images) if image["split"] in stored]
    vectors = blob_vectors(images, LABELS)[present]
    store_vectors(run, [images[number] for number in present], vectors)
    for view, fingerprint in enumerate(embedding_of(run).view_fingerprints, start=1):
        train = [position for position, number in enumerate(present) if images[number]["split"] == "train"]
        write_part(run.store, fingerprint, [images[present[it]]["image_id"] for it in train], vectors[train] + view)
    return read_rows(run, publish_snapshot(run, images), embedding_of(run))


def ids_of(split: str) -> list[str]:
    return [image["image_id"] for image in IMAGES if image["split"] == split]


def test_the_rows_are_those_of_train_and_validation_with_no_vector_of_a_test_image():
    rows = read()

    assert list(rows.row_ids) == [*ids_of("train"), *ids_of("validation")]
    assert rows.n_train == 10
    assert rows.is_train.tolist() == [True] * 10 + [False] * 4
    assert not rows.is_view.any()


def test_each_row_has_its_own_vector_and_class():
    rows = read()

    label_of = {image["image_id"]: image["label"] for image in IMAGES}
    vector_of = dict(zip(label_of, blob_vectors(IMAGES, LABELS), strict=True))
    assert rows.names.tolist() == [label_of[row_id] for row_id in rows.row_ids]
    assert rows.y.tolist() == [LABELS.index(name) for name in rows.names]
    np.testing.assert_array_equal(rows.X, np.stack([vector_of[row_id] for row_id in rows.row_ids]))


def test_views_come_after_the_train_images_and_are_their_kin():
    rows = read(views=2)

    assert rows.n_train == 30
    assert list(rows.row_ids[10:20]) == [f"{image_id}#1" for image_id in ids_of("train")]
    assert rows.is_view.tolist() == [False] * 10 + [True] * 20 + [False] * 4
    np.testing.assert_array_equal(rows.kin[10:20], rows.kin[:10])
    np.testing.assert_array_equal(rows.y[20:30], rows.y[:10])
    np.testing.assert_allclose(rows.X[20:30], rows.X[:10] + 2)
    assert len(np.unique(rows.kin)) == 14


def test_a_group_and_near_duplicates_are_kin():
    train = [number for number, image in enumerate(IMAGES) if image["split"] == "train"]
    hashes = [f"{1 << bit:064x}" for bit in (3, 4)]

    rows = read(
        **{
            f"image_{train[0]}": {"group": "patient"},
            f"image_{train[1]}": {"group": "patient"},
            f"image_{train[2]}": {"perceptual_hash": hashes[0]},
            f"image_{train[3]}": {"perceptual_hash": hashes[1]},
        }
    )

    assert rows.kin[0] == rows.kin[1]
    assert rows.kin[2] == rows.kin[3]
    assert len(np.unique(rows.kin)) == 12


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_vector_that_is_missing_is_an_error(split: str):
    with pytest.raises(ArtifactIntegrityError):
        read(stored=tuple({"train", "validation"} - {split}))


def test_class_ids_follow_the_order_of_the_recipe_s_labels():
    rows = pd.DataFrame({"label": ["orchid", "daisy", "poppy", "orchid"]})
    assert class_ids(rows, LABELS).tolist() == [2, 0, 1, 2]
    assert class_ids(rows, ("poppy", "orchid", "daisy")).dtype == np.int64
