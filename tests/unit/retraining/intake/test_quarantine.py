from __future__ import annotations

import json
from datetime import date

import pytest

from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.intake.quarantine import quarantine_images, read_quarantine
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver, keep_verdicts_of, png

PREFIX = "quarantine/flowers/2026-01-02/"
REASONS = f"{PREFIX}reasons.jsonl"
REFUSED = {"outcome": "quarantined", "reason": "unknown_label", "label": "rose"}


class WatchedStore(InMemoryStore):
    """Remembers every change in order, and fails at the nth one and all after it, as for a task that is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []
        self.changes_left = -1

    def _change(self, what: str) -> None:
        if self.changes_left == 0:
            raise StorageUnavailableError(what, "killed")
        self.changes_left -= 1
        self.changes.append(what)

    def put(self, key, body, *, content_type="application/octet-stream"):
        self._change(f"put {key}")
        super().put(key, body, content_type=content_type)

    def copy(self, source, target):
        self._change(f"copy {source}")
        self.objects[target] = self.objects[source]

    def delete(self, key):
        self._change(f"delete {key}")
        super().delete(key)


def quarantined(store) -> dict[str, bytes]:
    return {key: body for key, body in store.objects.items() if key.startswith("quarantine/")}


def lines_of(store) -> list[dict]:
    return [json.loads(line) for line in store.get(REASONS).decode().splitlines()]


def test_refused_images_are_copied_and_explained_in_key_order_over_all_shards():
    store = InMemoryStore()
    run = make_run(store)
    deliver(store, {f"{number}.png": png(number) for number in range(5)})
    rows = [{**REFUSED, "image": f"{number}.png"} for number in (4, 2, 0)]

    quarantine_images(run, keep_verdicts_of(run, *rows, {"image": "1.png"}, {"image": "3.png"}))

    lines = lines_of(store)
    assert [line["image"] for line in lines] == ["0.png", "2.png", "4.png"]
    assert [store.get(line["copy"]) for line in lines] == [png(0), png(2), png(4)]
    assert len(quarantined(store)) == 4
    assert all(store.exists(f"incoming/flowers/2026-01-02/{number}.png") for number in range(5))


def test_a_line_says_what_is_known_of_the_image_and_what_its_reasons_mean():
    store = InMemoryStore()
    run = make_run(store)
    deliver(store, {"a.png": png(1)})
    row = {
        **REFUSED,
        "image": "a.png",
        "reason": "near_constant; label_conflict",
        "related": "incoming/flowers/2026-01-01/b.png",
        "brightness": 0.25,
        "sharpness": float("nan"),
    }

    quarantine_images(run, keep_verdicts_of(run, row))

    (line,) = lines_of(store)
    assert line["key"] == "incoming/flowers/2026-01-02/a.png"
    assert line["related"] == "incoming/flowers/2026-01-01/b.png"
    assert (line["label"], line["width"], line["brightness"], line["sharpness"]) == ("rose", 12, 0.25, None)
    assert [reason["code"] for reason in line["reasons"]] == ["near_constant", "label_conflict"]
    assert line["reasons"][1]["meaning"] == "The same pixels are known under another label."


def test_what_was_written_is_read_back_as_values():
    store = InMemoryStore()
    run = make_run(store)
    hostile = "<script>\u2028\n\x1b[2J.png"
    quarantine_images(run, keep_verdicts_of(run, {**REFUSED, "image": hostile, "reason": "unknown_label"}))

    (image,) = read_quarantine(store, "flowers", DAY)

    assert (image.image, image.label, image.copy) == (hostile, "rose", "")
    assert [reason.code for reason in image.reasons] == ["unknown_label"]


def test_a_broken_line_is_a_clear_error():
    store = InMemoryStore()
    store.put(REASONS, b'{"image": "a.png"}\n')

    with pytest.raises(ArtifactIntegrityError, match="reasons.jsonl: expected a QuarantinedImage record"):
        read_quarantine(store, "flowers", DAY)


def test_a_day_that_has_no_quarantine_is_an_error_that_says_so():
    with pytest.raises(ConfigurationError, match="no image of that day was ever quarantined"):
        read_quarantine(InMemoryStore(), "flowers", DAY)


def test_what_is_not_there_or_too_large_has_a_line_and_no_copy():
    store = InMemoryStore()
    config = make_config(intake={"images": {"maximum_bytes": 1000}})
    run = make_run(store, config)
    deliver(store, {"large.png": b"x" * 1001})
    rows = [
        {**REFUSED, "image": "large.png", "size_bytes": 1001, "reason": "not_listed; too_many_bytes"},
        {**REFUSED, "image": "gone.png", "size_bytes": -1, "reason": "missing_object"},
        {**REFUSED, "image": "removed since.png"},
        {**REFUSED, "image": "../out.png", "key": "", "size_bytes": -1, "reason": "outside_batch"},
    ]

    quarantine_images(run, keep_verdicts_of(run, *rows))

    assert [line["copy"] for line in lines_of(store)] == [""] * 4
    assert list(quarantined(store)) == [REASONS]


@pytest.mark.parametrize("name", ["a b.png", "ünïcode.png", "a\nb.png", '"><script>.png', "x" * 900, "dir/./a.png"])
def test_copies_have_harmless_names_that_differ_where_the_delivered_names_do(name: str):
    store = InMemoryStore()
    run = make_run(store)
    deliver(store, {name: png(1), f"other/{name}": png(2)})

    quarantine_images(run, keep_verdicts_of(run, {**REFUSED, "image": name}, {**REFUSED, "image": f"other/{name}"}))

    copies = sorted(line["copy"].removeprefix(f"{PREFIX}images/") for line in lines_of(store))
    assert len(set(copies)) == 2
    assert all(copy.isascii() and len(copy) < 130 and not set(copy) & set(' /\\"<>\n') for copy in copies)


def test_a_repeat_changes_nothing():
    store = InMemoryStore()
    run = make_run(store)
    deliver(store, {"0.png": png(0), "1.png": png(1)})
    verdicts = keep_verdicts_of(run, REFUSED, REFUSED)

    quarantine_images(run, verdicts)
    before = dict(store.objects)
    quarantine_images(run, verdicts)

    assert store.objects == before


def test_what_a_corrected_delivery_no_longer_refuses_leaves_the_quarantine_and_nothing_else_does():
    store = InMemoryStore()
    run = make_run(store)
    deliver(store, {f"{number}.png": png(number) for number in range(3)})
    quarantine_images(run, keep_verdicts_of(run, REFUSED, REFUSED, REFUSED))
    store.put(f"{PREFIX}released.jsonl", b"{}\n")

    quarantine_images(run, keep_verdicts_of(run, {}, REFUSED, {}))

    (line,) = lines_of(store)
    assert line["image"] == "1.png"
    assert set(quarantined(store)) == {REASONS, line["copy"], f"{PREFIX}released.jsonl"}


def test_a_delivery_without_refusals_empties_the_reasons_and_writes_none_where_there_were_none():
    store = InMemoryStore()
    run = make_run(store)
    deliver(store, {"0.png": png(0)})
    quarantine_images(run, keep_verdicts_of(run, REFUSED))

    quarantine_images(run, keep_verdicts_of(run, {}, {"date": date(2026, 1, 1)}))

    assert quarantined(store) == {REASONS: b""}
    assert read_quarantine(store, "flowers", DAY) == []


def test_at_every_moment_each_line_has_its_copy_and_a_repeat_after_a_kill_ends_the_same():
    def prepared() -> tuple[WatchedStore, object, object]:
        store = WatchedStore()
        run = make_run(store)
        deliver(store, {f"{number}.png": png(number) for number in range(4)})
        quarantine_images(run, keep_verdicts_of(run, REFUSED, REFUSED, {}, {}))
        verdicts = keep_verdicts_of(run, {}, REFUSED, REFUSED, REFUSED)
        store.changes.clear()
        return store, run, verdicts

    whole, run, verdicts = prepared()
    quarantine_images(run, verdicts)
    assert len(whole.changes) == 5, "three copies, the reasons, one copy less"

    for changes in range(len(whole.changes)):
        store, run, verdicts = prepared()
        store.changes_left = changes
        with pytest.raises(StorageUnavailableError):
            quarantine_images(run, verdicts)
        assert all(store.exists(line["copy"]) for line in lines_of(store))
        store.changes_left = -1
        quarantine_images(run, verdicts)

        assert quarantined(store) == quarantined(whole)


def test_each_day_of_a_window_has_its_own_quarantine():
    store = InMemoryStore()
    run = make_run(store)
    earlier = date(2026, 1, 1)
    deliver(store, {"a.png": png(1)}, day=earlier)
    deliver(store, {"a.png": png(2)})
    rows = [{**REFUSED, "image": "a.png", "date": earlier}, {**REFUSED, "image": "a.png"}]

    quarantine_images(run, keep_verdicts_of(run, *rows))

    copies = [read_quarantine(store, "flowers", day)[0].copy for day in (earlier, DAY)]
    assert [store.get(copy) for copy in copies] == [png(1), png(2)]
    assert copies[0].startswith("quarantine/flowers/2026-01-01/images/")
