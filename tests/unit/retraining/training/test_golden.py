from __future__ import annotations

import io
import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from include.retraining.artifacts import EmbeddingRecord
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.pictures import decode_image
from include.retraining.run import Run
from include.retraining.storage.publishing import sha256
from include.retraining.training.golden import Golden, check_golden, from_npz, golden_of
from include.retraining.training.head import Head, Layer
from tests.builders import make_run
from tests.datasets import DAY, picture, row, store_vectors

HEAD = Head(Scaler(np.zeros(2, np.float32), np.ones(2, np.float32)), (Layer(np.eye(2, 3), np.zeros(3)),))
GOLDEN = Golden((b"first", b"the second", b"3"), np.array([[0.5, 0.5], [0.25, 0.75], [1, 0]], np.float32))


def rows_of(run: Run, *named: tuple[str, str, bytes]) -> tuple[pd.DataFrame, EmbeddingRecord]:
    """Stores files under their ids, in id order, each with a vector that its number decides."""
    rows = []
    for image_id, label, body in named:
        rows.append(row(image_id * 64, label, split="validation", bytes_sha256=sha256(body)))
        run.store.put(rows[-1]["key"], body)
    vectors = np.arange(2 * len(rows), dtype=np.float32).reshape(-1, 2) * [1, -1]
    return pd.DataFrame(rows).assign(date=DAY), store_vectors(run, rows, vectors.astype(np.float32))


def test_files_come_with_what_the_head_says_of_their_vectors():
    run = make_run()
    rows, embeddings = rows_of(run, ("a", "daisy", picture("daisy", 1)), ("b", "poppy", picture("poppy", 2)))

    golden = golden_of(run, rows, embeddings, HEAD, n_images=5)

    assert golden.images == (picture("daisy", 1), picture("poppy", 2))
    expected = HEAD.predict_proba(np.array([[0, -1], [2, -3]], np.float32))
    np.testing.assert_allclose(golden.probabilities, expected, atol=1e-6)
    assert golden.probabilities.dtype == np.float32


def test_probabilities_are_summed_so_widely_that_another_order_of_the_features_gives_the_same_bytes():
    rng = np.random.default_rng(0)
    X, kernel = rng.normal(size=(6, 4000)).astype(np.float32), rng.normal(0, 0.02, (4000, 3)).astype(np.float32)
    made = []
    for order in (np.arange(4000), rng.permutation(4000)):
        run = make_run()
        digest = sha256(picture("daisy", 1))
        rows = [row(str(one) * 64, "daisy", split="validation", bytes_sha256=digest) for one in range(6)]
        for one in rows:
            run.store.put(one["key"], picture("daisy", 1))
        embeddings = store_vectors(run, rows, X[:, order])
        head = Head(Scaler(np.zeros(4000, np.float32), np.ones(4000, np.float32)), (Layer(kernel[order], np.zeros(3)),))
        made.append(golden_of(run, pd.DataFrame(rows).assign(date=DAY), embeddings, head, n_images=6))

    assert made[0].to_npz() == made[1].to_npz()


def test_classes_take_turns_so_that_rare_ones_are_among_few_images():
    run = make_run()
    named = [("a", "daisy"), ("b", "daisy"), ("c", "daisy"), ("d", "orchid"), ("e", "poppy")]
    rows, embeddings = rows_of(run, *((one, label, picture(label, ord(one))) for one, label in named))

    golden = golden_of(run, rows, embeddings, HEAD, n_images=4)

    assert golden.images == tuple(
        picture(label, ord(one)) for one, label in (("a", "daisy"), ("d", "orchid"), ("e", "poppy"), ("b", "daisy"))
    )


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(encoded(Image.new("P", (8, 8), 3), "GIF", transparency=3), id="read_otherwise"),
        pytest.param(encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "TIFF"), id="not_read_at_all"),
    ],
)
def test_a_file_that_tensorflow_reads_otherwise_is_kept_as_the_picture_of_training_and_reported(
    body: bytes, caplog: pytest.LogCaptureFixture
):
    run = make_run()
    rows, embeddings = rows_of(run, ("a", "daisy", body), ("b", "poppy", picture("poppy", 2)))

    with caplog.at_level(logging.WARNING):
        golden = golden_of(run, rows, embeddings, HEAD, n_images=2)

    assert golden.images[0].startswith(b"\x89PNG")
    assert np.array_equal(decode_image(golden.images[0]), decode_image(body))
    assert golden.images[1] == picture("poppy", 2)
    assert "n_files=1 of=2" in caplog.text


def test_what_was_written_is_read_back_and_written_to_the_same_bytes():
    read = from_npz(GOLDEN.to_npz())

    assert read.images == GOLDEN.images
    assert np.array_equal(read.probabilities, GOLDEN.probabilities)
    assert read.to_npz() == GOLDEN.to_npz()


def test_files_stay_in_order_where_there_are_many():
    golden = Golden(tuple(str(number).encode() for number in range(12)), np.zeros((12, 2), np.float32))

    assert from_npz(golden.to_npz()).images == golden.images


def test_pickled_objects_are_refused():
    sink = io.BytesIO()
    np.savez(sink, probabilities=np.array([{}], dtype=object))

    with pytest.raises(ArtifactIntegrityError, match="allow_pickle=False"):
        from_npz(sink.getvalue())


@pytest.mark.parametrize(
    ("n_images", "most_bytes", "kept"),
    [(3, 100, 3), (9, 100, 3), (2, 100, 2), (3, 15, 2), (3, 14, 1), (3, 1, 1)],
)
def test_the_first_images_are_kept_up_to_a_number_and_a_size_and_one_at_least(
    n_images: int, most_bytes: int, kept: int
):
    first = GOLDEN.first(n_images, most_bytes)

    assert first.images == GOLDEN.images[:kept]
    assert np.array_equal(first.probabilities, GOLDEN.probabilities[:kept])


def test_the_largest_difference_is_found_wherever_it_is():
    def predict_proba(images):
        assert images == GOLDEN.images
        return GOLDEN.probabilities + np.array([[0, 0], [-0.25, 0.125], [0, 0]], np.float32)

    assert check_golden(predict_proba, GOLDEN) == 0.25
    assert check_golden(lambda _: GOLDEN.probabilities, GOLDEN) == 0


def test_a_probability_that_is_no_number_is_no_small_difference():
    spoilt = GOLDEN.probabilities.copy()
    spoilt[1, 0] = np.nan

    assert np.isnan(check_golden(lambda _: spoilt, GOLDEN))
