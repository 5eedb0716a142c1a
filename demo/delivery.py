"""Builds two days' batches of PNG files, long-tailed and with a little trouble planted, and delivers them.

The same data and seed give the same bytes, so that a second delivery finds its own and writes nothing.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo.fashion_mnist import FashionMnist, Pixels
from include.retraining.errors import ConfigurationError
from include.retraining.intake.reasons import Reason
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.parallel import put_many
from include.retraining.storage.publishing import content_digest, content_type_of, sha256

Indices = npt.NDArray[np.intp]

DAYS = (date(2026, 1, 5), date(2026, 1, 6))
TRAIN_COUNTS = (4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40)
"""Images by label id, both days together: the long tail that DeepSMOTE's authors published figures on."""
TEST_PER_CLASS = 200
SEED = 0

LABELS = "labels.csv"
READY = "_READY"
UNKNOWN_LABEL = "hat"
TEXT = b"This is a text file that somebody renamed.\n"
KEPT_FRACTION = 0.6  # of a truncated file: the header stays, the pixels do not
PUT_AT_ONCE = 500

# Shares of a day's clean train rows; they sum to 1.2 %, a conflicting image having two rows: 1 % of all rows.
TRUNCATED_FRACTION = 0.003
TEXT_FRACTION = 0.002
UNKNOWN_FRACTION = 0.002
CONFLICTING_FRACTION = 0.0015
DUPLICATE_FRACTION = 0.002


@dataclass(frozen=True)
class Planted:
    """The trouble in a batch, which the intake must find, all of it and nothing else.

    Attributes:
        truncated: PNG files that end too early.
        not_an_image: Text files named `.png`.
        unknown_label: Good images under a label that the classifier does not have.
        conflicting: Good images delivered twice, under two labels: two rows each.
        duplicates: Second copies, byte for byte, under the same label and another name.
    """

    truncated: int
    not_an_image: int
    unknown_label: int
    conflicting: int
    duplicates: int

    @property
    def quarantined(self) -> Mapping[Reason, int]:
        """Rows that belong into quarantine, by the reason that they must be given."""
        return {
            Reason.TRUNCATED_OR_CORRUPT: self.truncated,
            Reason.NOT_AN_IMAGE: self.not_an_image,
            Reason.UNKNOWN_LABEL: self.unknown_label,
            Reason.LABEL_CONFLICT: 2 * self.conflicting,
        }

    @property
    def rows(self) -> int:
        """All planted rows."""
        return sum(self.quarantined.values()) + self.duplicates


@dataclass(frozen=True)
class DailyBatch:
    """What is delivered for one day.

    Attributes:
        day: The day.
        images: Files by name inside the batch.
        labels: The manifest, `labels.csv`.
        planted: The trouble among them.
    """

    day: date
    images: Mapping[str, bytes]
    labels: bytes
    planted: Planted

    @property
    def digest(self) -> str:
        """Digest of names and bytes of all that is delivered."""
        digests = {name: sha256(body) for name, body in self.images.items()}
        return content_digest({**digests, LABELS: sha256(self.labels)})


@dataclass(frozen=True)
class _Row:
    body: bytes
    label: str
    split: str = ""


def make_batches(
    data: FashionMnist,
    labels: Sequence[str],
    *,
    counts: Sequence[int] = TRAIN_COUNTS,
    test_per_class: int = TEST_PER_CLASS,
    seed: int = SEED,
) -> tuple[DailyBatch, ...]:
    """Draws a batch for each of `DAYS`, each with half of every class, its test images pinned to the test split.

    Args:
        data: The source; an image that occurs twice in it is never drawn, so that only planted duplicates are.
        labels: Label names, in the order of the label ids.
        counts: Train images to draw of each label.
        test_per_class: Test images to draw of every label.
        seed: Decides which images, in which order.

    Raises:
        ConfigurationError: If the data holds too few images.
    """
    rng = np.random.default_rng(seed)
    train_pools, test_pools = _distinct_by_label(data, len(labels))
    train = [_draw(rng, *ask) for ask in zip(train_pools, counts, labels, strict=True)]
    test = [_draw(rng, pool, test_per_class, label) for pool, label in zip(test_pools, labels, strict=True)]
    spare = np.concatenate([rest for _, rest in train])
    unused = (_Row(encode_png(data.train_images[i]), labels[data.train_labels[i]]) for i in rng.permutation(spare))
    batches = []
    for half, day in enumerate(DAYS):
        clean = [
            _Row(encode_png(data.train_images[i]), label)
            for (drawn, _), label in zip(train, labels, strict=True)
            for i in _half(drawn, half)
        ]
        trouble, planted = _plant(clean, unused, labels, rng)
        pinned = [
            _Row(encode_png(data.test_images[i]), label, split="test")
            for (drawn, _), label in zip(test, labels, strict=True)
            for i in _half(drawn, half)
        ]
        batches.append(_batch(day, [*clean, *trouble, *pinned], planted, rng))
    return tuple(batches)


def encode_png(pixels: Pixels) -> bytes:
    """Returns a grey image as PNG."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def deliver(
    store: ObjectStore, classifier: str, batch: DailyBatch, *, advance: Callable[[int], None] = lambda _: None
) -> int:
    """Delivers a day's batch, unless exactly this one is there already.

    Args:
        store: Where to.
        classifier: Whose images they are.
        batch: What to deliver.
        advance: Told after each portion how many images it had.

    Returns:
        How many objects were written; 0 for a repeat.

    Side effects:
        The marker `_READY` is taken away first and written last, with the batch's digest in it; objects of another
        delivery for the day are removed; `labels.csv` follows the images.
    """
    prefix = layout.incoming(classifier, batch.day)
    marker = batch.digest.encode()
    if _get_if_any(store, f"{prefix}{READY}") == marker:
        return 0
    store.delete(f"{prefix}{READY}")
    for stored in list(store.list(prefix)):
        if stored.key.removeprefix(prefix) not in batch.images:
            store.delete(stored.key)
    names = iter(batch.images)
    while portion := list(islice(names, PUT_AT_ONCE)):
        put_many(store, {f"{prefix}{name}": batch.images[name] for name in portion}, content_type_of)
        advance(len(portion))
    store.put(f"{prefix}{LABELS}", batch.labels, content_type=content_type_of(LABELS))
    store.put(f"{prefix}{READY}", marker, content_type="text/plain")
    return len(batch.images) + 2


def _distinct_by_label(data: FashionMnist, n_labels: int) -> tuple[list[Indices], list[Indices]]:
    """Returns the indices of train and of test images by label, without any image that occurs more than once."""
    train = [image.tobytes() for image in data.train_images]
    test = [image.tobytes() for image in data.test_images]
    occurrences = Counter([*train, *test])
    pools = []
    for images, labels in ((train, data.train_labels), (test, data.test_labels)):
        once = np.array([occurrences[image] == 1 for image in images])
        pools.append([np.flatnonzero(once & (labels == label)) for label in range(n_labels)])
    return pools[0], pools[1]


def _draw(rng: np.random.Generator, pool: Indices, count: int, label: str) -> tuple[Indices, Indices]:
    """Returns some of a pool, and the rest of it."""
    if count > len(pool):
        raise ConfigurationError(
            f"delivery, label {label!r}", f"{count} images were asked for, there are {len(pool)}", "Ask for fewer"
        )
    shuffled = rng.permutation(pool)
    return shuffled[:count], shuffled[count:]


def _half(drawn: Indices, half: int) -> Indices:
    middle = len(drawn) // 2
    return drawn[middle:] if half else drawn[:middle]


def _plant(
    clean: Sequence[_Row], unused: Iterator[_Row], labels: Sequence[str], rng: np.random.Generator
) -> tuple[list[_Row], Planted]:
    """Returns rows of trouble, made of unused images and copies of clean ones, and how many of each kind there are."""

    def some(fraction: float) -> int:
        return max(1, round(len(clean) * fraction))

    halved = _take(unused, some(TRUNCATED_FRACTION))
    truncated = [_Row(row.body[: int(len(row.body) * KEPT_FRACTION)], row.label) for row in halved]
    texts = [_Row(TEXT + str(number).encode(), labels[number % len(labels)]) for number in range(some(TEXT_FRACTION))]
    unknown = [_Row(row.body, UNKNOWN_LABEL) for row in _take(unused, some(UNKNOWN_FRACTION))]
    conflicting = _take(unused, some(CONFLICTING_FRACTION))
    others = [_Row(row.body, labels[(labels.index(row.label) + 1) % len(labels)]) for row in conflicting]
    copied = [clean[i] for i in rng.choice(len(clean), some(DUPLICATE_FRACTION), replace=False)]
    planted = Planted(
        truncated=len(truncated),
        not_an_image=len(texts),
        unknown_label=len(unknown),
        conflicting=len(conflicting),
        duplicates=len(copied),
    )
    return [*truncated, *texts, *unknown, *conflicting, *others, *copied], planted


def _take(unused: Iterator[_Row], count: int) -> list[_Row]:
    taken = list(islice(unused, count))
    if len(taken) < count:
        raise ConfigurationError("delivery", "no image is left to spoil", "Ask for fewer images of some label")
    return taken


def _batch(day: date, rows: Sequence[_Row], planted: Planted, rng: np.random.Generator) -> DailyBatch:
    """Shuffles the rows, so that neither a name nor a place tells what a file is, and writes the manifest."""
    images = {}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("image", "label", "split"))
    for number, place in enumerate(rng.permutation(len(rows)), start=1):
        row = rows[place]
        name = f"images/{number:06d}.png"
        images[name] = row.body
        writer.writerow((name, row.label, row.split))
    return DailyBatch(day=day, images=images, labels=table.getvalue().encode(), planted=planted)


def _get_if_any(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyError:
        return None
