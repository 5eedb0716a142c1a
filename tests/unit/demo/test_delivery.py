from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict

import pytest
from PIL import Image

from demo.delivery import DAYS, READY, TRAIN_COUNTS, UNKNOWN_LABEL, DailyBatch, deliver, encode_png
from include.retraining.config import load_classifier
from include.retraining.errors import ConfigurationError
from include.retraining.intake.reasons import Reason
from include.retraining.storage.memory import InMemoryStore
from tests.unit.demo.small_delivery import LABELS, TEST_PER_CLASS, made_batches, made_data

CLASSIFIER = "fashion_mnist"


def rows_of(batch: DailyBatch) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(batch.labels.decode())))


def pixels_of(body: bytes) -> bytes | None:
    """The pixels of an image, or None where it is none."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            return image.tobytes()
    except OSError:
        return None


def sorted_out(batch: DailyBatch) -> tuple[Counter, list[tuple[bytes, str, str]], int]:
    """Sorts a batch out as the intake must: trouble by kind, clean rows as pixels, label and split, skipped copies."""
    labels_of = defaultdict(set)
    for row in rows_of(batch):
        labels_of[pixels_of(batch.images[row["image"]])].add(row["label"])
    trouble, clean = Counter(), []
    for row in rows_of(batch):
        body = batch.images[row["image"]]
        pixels = pixels_of(body)
        if not body.startswith(b"\x89PNG"):
            trouble[Reason.NOT_AN_IMAGE] += 1
        elif pixels is None:
            trouble[Reason.TRUNCATED_OR_CORRUPT] += 1
        elif row["label"] not in LABELS:
            trouble[Reason.UNKNOWN_LABEL] += 1
        elif len(labels_of[pixels]) > 1:
            trouble[Reason.LABEL_CONFLICT] += 1
        else:
            clean.append((pixels, row["label"], row["split"]))
    return trouble, clean, len(clean) - len(set(clean))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = made_batches(), made_batches(), made_batches(seed=1)

    assert [batch.digest for batch in first] == [batch.digest for batch in again]
    assert first == again
    assert all(one.digest != another.digest for one, another in zip(first, other, strict=True))


def test_the_planted_trouble_is_all_there_is():
    for batch in made_batches():
        trouble, _, n_copies = sorted_out(batch)

        assert trouble == batch.planted.quarantined
        assert n_copies == batch.planted.duplicates
        assert batch.planted.rows == sum(trouble.values()) + n_copies


def test_each_class_has_its_count_over_both_days_and_half_a_day():
    first, second = (sorted_out(batch)[1] for batch in made_batches())

    train = [Counter(label for _, label, split in set(clean) if not split) for clean in (first, second)]
    assert train[0] == {"shoe": 20, "bag": 6, "coat": 2}
    assert train[1] == {"shoe": 20, "bag": 7, "coat": 2}


def test_the_official_test_images_are_pinned_and_no_other_row_is():
    data = made_data()
    official = {image.tobytes(): LABELS[label] for image, label in zip(data.test_images, data.test_labels, strict=True)}

    clean = [row for batch in made_batches(data) for row in sorted_out(batch)[1]]

    assert {split for _, _, split in clean} == {"", "test"}
    assert all((split == "test") == (pixels in official) for pixels, _, split in clean)
    assert all(official[pixels] == label for pixels, label, split in clean if split)
    pinned = Counter(label for _, label, split in clean if split)
    assert pinned == dict.fromkeys(LABELS, TEST_PER_CLASS)


def test_images_that_the_data_holds_twice_are_never_delivered():
    data = made_data()
    data.train_images[1] = data.train_images[0]
    data.train_images[2] = data.test_images[0]
    twice = {data.train_images[0].tobytes(), data.test_images[0].tobytes()}

    delivered = {pixels_of(body) for batch in made_batches(data, counts=(50, 13, 4)) for body in batch.images.values()}

    assert not twice & delivered


def test_more_images_than_the_data_holds_are_refused_by_name():
    with pytest.raises(ConfigurationError, match="label 'bag': 61 images were asked for, there are 60"):
        made_batches(counts=(40, 61, 4))


def test_data_without_an_image_to_spoil_is_refused():
    with pytest.raises(ConfigurationError, match="no image is left to spoil"):
        made_batches(counts=(60, 60, 60))


def test_every_row_names_a_delivered_file_and_every_file_has_a_row():
    for batch in made_batches():
        assert sorted(row["image"] for row in rows_of(batch)) == sorted(batch.images)


def test_about_one_percent_is_planted_at_full_size():
    data = made_data(per_class=1500)

    for batch in made_batches(data, counts=(1400, 1400, 1200)):
        assert 0.008 <= batch.planted.rows / len(batch.images) <= 0.012 + 1e-9


def test_the_counts_follow_the_labels_of_the_classifier():
    assert len(load_classifier(CLASSIFIER).labels) == len(TRAIN_COUNTS)
    assert UNKNOWN_LABEL not in load_classifier(CLASSIFIER).labels


def test_a_png_holds_the_pixels_it_was_made_of():
    pixels = made_data().train_images[0]

    assert pixels_of(encode_png(pixels)) == pixels.tobytes()


def test_a_delivery_is_images_manifest_and_marker():
    store, batch = InMemoryStore(), made_batches()[0]

    written = deliver(store, CLASSIFIER, batch)

    prefix = f"incoming/{CLASSIFIER}/{DAYS[0]}/"
    assert written == len(store.objects) == len(batch.images) + 2
    assert store.get(f"{prefix}labels.csv") == batch.labels
    assert store.get(f"{prefix}{READY}").decode() == batch.digest
    assert all(store.get(f"{prefix}{name}") == body for name, body in batch.images.items())


class CountingStore(InMemoryStore):
    """Remembers the keys in the order in which they were written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        self.written.append(key.rsplit("/", 1)[-1])
        super().put(key, body, content_type=content_type)


def test_a_second_delivery_writes_nothing():
    store, batch = CountingStore(), made_batches()[0]
    deliver(store, CLASSIFIER, batch)
    store.written.clear()

    assert deliver(store, CLASSIFIER, batch) == 0
    assert store.written == []


def test_the_manifest_follows_the_images_and_the_marker_is_last():
    store = CountingStore()

    deliver(store, CLASSIFIER, made_batches()[0])

    assert store.written[-2:] == ["labels.csv", READY]


def test_another_delivery_for_the_day_replaces_the_first():
    store, larger, smaller = InMemoryStore(), made_batches()[0], made_batches(counts=(20, 6, 4))[0]
    deliver(store, CLASSIFIER, larger)

    written = deliver(store, CLASSIFIER, smaller)

    assert written == len(store.objects) == len(smaller.images) + 2


def test_an_interrupted_delivery_is_done_again():
    store, batch = InMemoryStore(), made_batches()[0]

    def interrupt(_count: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        deliver(store, CLASSIFIER, batch, advance=interrupt)

    assert f"incoming/{CLASSIFIER}/{DAYS[0]}/{READY}" not in store.objects
    assert deliver(store, CLASSIFIER, batch) == len(batch.images) + 2


def test_the_progress_adds_up_to_the_images():
    counts: list[int] = []
    batch = made_batches()[1]

    deliver(InMemoryStore(), CLASSIFIER, batch, advance=counts.append)

    assert sum(counts) == len(batch.images)
