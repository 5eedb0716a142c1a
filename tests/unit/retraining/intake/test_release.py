from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest

from include.retraining.errors import ConfigurationError, PointerMovedError, StorageUnavailableError
from include.retraining.intake.attributes import attributes_of, attributes_text
from include.retraining.intake.corrections import Correction, Corrections
from include.retraining.intake.delivery.listing import list_delivery
from include.retraining.intake.quarantine import quarantine_images
from include.retraining.intake.release import plan_release, publish_release
from include.retraining.storage.memory import InMemoryStore
from tests.builders import WINDOW, make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver, keep_verdicts_of, png

TO = date(2026, 1, 3)
INCOMING = "incoming/flowers/2026-01-03/"
LABELS = f"{INCOMING}released/labels.csv"
RECORD = "quarantine/flowers/2026-01-02/released.jsonl"
REFUSED = {"outcome": "quarantined", "reason": "unknown_label", "label": "rose"}


class FailingStore(InMemoryStore):
    """Fails at the nth write and at all after it, as for a command that is killed there."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left = -1
        self.writes: list[str] = []

    def put(self, key, body, *, content_type="application/octet-stream"):
        if self.writes_left == 0:
            raise StorageUnavailableError(f"put {key}", "killed")
        self.writes_left -= 1
        self.writes.append(key)
        super().put(key, body, content_type=content_type)


@pytest.fixture
def store() -> FailingStore:
    """Two images in quarantine, `a.png` and `b.png`, and a third that was never delivered."""
    store = FailingStore()
    quarantine(store, "a.png", "b.png")
    store.writes.clear()
    return store


def quarantine(store: InMemoryStore, *names: str, **facts) -> None:
    run = make_run(store)
    deliver(store, {name: png(number) for number, name in enumerate(names, 1)})
    missing = {**REFUSED, "image": "gone.png", "reason": "missing_object", "size_bytes": -1}
    rows = [{**REFUSED, "image": name, **facts} for name in names]
    quarantine_images(run, keep_verdicts_of(run, *rows, missing))


def corrected(*lines: Correction | tuple[str, str], path: Path = Path("corrections.csv")) -> Corrections:
    numbered = [
        line if isinstance(line, Correction) else Correction(number, *line) for number, line in enumerate(lines, 2)
    ]
    return Corrections(path, tuple(numbered))


def release(store: InMemoryStore, *lines: Correction | tuple[str, str], to: date = TO, path: Path = Path("c.csv")):
    planned = plan_release(store, make_config(), corrected(*lines, path=path), day=DAY, to=to)
    publish_release(store, planned)
    return planned


def released_rows(store: InMemoryStore, key: str = LABELS) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(store.get(key).decode())))


def test_an_image_gets_back_with_its_bytes_and_the_right_label(store):
    release(store, ("a.png", "daisy"))

    (row,) = released_rows(store)
    assert (row["label"], row["group"], row["split"]) == ("daisy", "", "")
    assert row["image"].startswith("2026-01-02/")
    assert store.get(f"{INCOMING}released/{row['image']}") == png(1)


def test_intake_lists_what_was_released_beside_the_rest_of_that_delivery(store):
    deliver(store, {"new.png": png(9)}, ["new.png,poppy,,"], day=TO)
    before = store.get(f"{INCOMING}labels.csv")

    release(store, ("a.png", "daisy"), Correction(3, "b.png", "poppy", group="g", split="test"))

    window = type(WINDOW)(start=WINDOW.start.replace(day=3), end=WINDOW.end.replace(day=4))
    rows = list_delivery(make_run(store, window=window)).rows
    found = {(row.label, row.group, row.split, row.size_bytes > 0) for row in rows.itertuples()}
    assert found == {("poppy", "", "", True), ("daisy", "", "", True), ("poppy", "g", "test", True)}
    assert store.get(f"{INCOMING}labels.csv") == before


def test_what_is_not_corrected_is_as_it_was_delivered_but_a_split_that_is_none():
    store = InMemoryStore()
    quarantine(store, "a.png", group="patient 1", split="test")
    release(store, ("a.png", "daisy"))
    quarantine(store, "a.png", group="patient 1", split="tset")
    release(store, ("a.png", "daisy"), to=date(2026, 1, 4))

    (kept,) = released_rows(store)
    (dropped,) = released_rows(store, "incoming/flowers/2026-01-04/released/labels.csv")
    assert (kept["group"], kept["split"]) == ("patient 1", "test")
    assert (dropped["group"], dropped["split"]) == ("patient 1", "")


def test_attributes_are_as_they_were_delivered_whatever_columns_the_day_s_other_images_have():
    store = FailingStore()
    quarantine(store, "a.png", attributes=attributes_text({"site": "nörd", "camera": "a\rb,\n"}))
    release(store, ("a.png", "daisy"))
    quarantine(store, "b.png", attributes=attributes_text({f"column {number}": "x" for number in range(32)}))

    release(store, ("b.png", "poppy"))

    window = type(WINDOW)(start=WINDOW.start.replace(day=3), end=WINDOW.end.replace(day=4))
    rows = list_delivery(make_run(store, window=window)).rows.set_index("label")
    assert attributes_of(rows.loc["daisy", "attributes"]) == {"site": "nörd", "camera": "a\rb,\n"}
    assert attributes_of(rows.loc["poppy", "attributes"]) == {f"column {number}": "x" for number in range(32)}


def test_an_image_that_an_earlier_version_quarantined_is_released_without_attributes(store):
    key = "quarantine/flowers/2026-01-02/reasons.jsonl"
    lines = [json.loads(line) for line in store.get(key).splitlines()]
    assert all(line.pop("attributes") == "" for line in lines)
    store.put(key, "".join(f"{json.dumps(line)}\n" for line in lines).encode())

    release(store, ("a.png", "daisy"))

    assert [row["label"] for row in released_rows(store)] == ["daisy"]


def test_an_image_may_be_named_by_its_key(store):
    planned = release(store, ("incoming/flowers/2026-01-02/a.png", "daisy"))

    assert [image.image for image in planned.images] == ["a.png"]


def test_a_corrected_file_takes_the_place_of_the_bytes_seen_from_the_folder_of_the_corrections(store, tmp_path):
    (tmp_path / "fixed.png").write_bytes(png(77))
    lines = [Correction(2, "a.png", "daisy", file="fixed.png"), Correction(3, "gone.png", "poppy", file="fixed.png")]

    planned = release(store, *lines, path=tmp_path / "corrections.csv")

    assert [store.get(image.released_key) for image in planned.images] == [png(77)] * 2
    assert [image.is_replaced for image in planned.images] == [True, True]
    assert len({image.released_key for image in planned.images}) == 2


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_done(store, tmp_path):
    (tmp_path / "large.png").write_bytes(b"x" * 21)
    config = make_config(intake={"images": {"maximum_bytes": 20}})
    lines = corrected(
        ("nobody.png", "daisy"),
        ("a.png", "Daisy"),
        ("gone.png", "daisy"),
        Correction(5, "b.png", "daisy", split="tset"),
        Correction(6, "b.png", "daisy", file="none.png"),
        Correction(7, "incoming/flowers/2026-01-02/a.png", "", file="large.png"),
        path=tmp_path / "c.csv",
    )
    before = dict(store.objects)

    with pytest.raises(ConfigurationError) as refusal:
        plan_release(store, config, lines, day=DAY, to=TO)

    assert refusal.value.problem.split("; ") == [
        "2 lines name 'incoming/flowers/2026-01-02/a.png': leave one",
        "2 lines name 'incoming/flowers/2026-01-02/b.png': leave one",
        "line 2: 'nobody.png' is neither the name nor the key of one quarantined image",
        "line 3: the label 'Daisy' is none of daisy, poppy, orchid",
        "line 4: there is no copy of 'gone.png' in quarantine: name a file with its bytes",
        "line 5: the split 'tset' is none of train, validation, test, nor empty",
        f"line 6: there is no file {tmp_path}/none.png",
        "line 7: the label '' is none of daisy, poppy, orchid",
        f"line 7: {tmp_path}/large.png has more than the 20 bytes that intake.images.maximum_bytes allows",
    ]
    assert "nothing was released" in str(refusal.value)
    assert store.objects == before


def test_a_copy_that_has_disappeared_is_missed_before_anything_is_written(store):
    for key in [key for key in store.objects if key.startswith("quarantine/flowers/2026-01-02/images/")]:
        store.delete(key)

    with pytest.raises(ConfigurationError, match=r"there is no copy of 'a\.png'"):
        plan_release(store, make_config(), corrected(("a.png", "daisy")), day=DAY, to=TO)


@pytest.mark.parametrize("to", [DAY, date(2026, 1, 1)])
def test_a_release_into_the_same_or_an_earlier_delivery_is_refused(store, to):
    with pytest.raises(ConfigurationError, match=f"--to: expected a day after 2026-01-02, got {to}"):
        plan_release(store, make_config(), corrected(("a.png", "daisy")), day=DAY, to=to)


def test_a_day_without_a_quarantine_is_refused(store):
    with pytest.raises(ConfigurationError, match="no image of that day was ever quarantined"):
        plan_release(store, make_config(), corrected(("a.png", "daisy")), day=date(2026, 1, 1), to=TO)


def test_what_was_released_before_stays_and_a_later_correction_replaces_an_earlier_one(store):
    release(store, ("a.png", "daisy"))
    release(store, ("b.png", "poppy"))
    release(store, ("a.png", "orchid"))

    assert sorted(row["label"] for row in released_rows(store)) == ["orchid", "poppy"]
    assert [json.loads(line)["label"] for line in store.get(RECORD).splitlines()] == [
        row["label"] for row in released_rows(store)
    ]


def test_images_of_two_days_meet_in_one_delivery(store):
    run = make_run(store)
    earlier = date(2026, 1, 1)
    deliver(store, {"a.png": png(50)}, day=earlier)
    quarantine_images(run, keep_verdicts_of(run, {**REFUSED, "image": "a.png", "date": earlier}))

    release(store, ("a.png", "daisy"))
    plan = plan_release(store, make_config(), corrected(("a.png", "poppy")), day=earlier, to=TO)
    publish_release(store, plan)

    bodies = {row["label"]: store.get(f"{INCOMING}released/{row['image']}") for row in released_rows(store)}
    assert bodies == {"daisy": png(1), "poppy": png(50)}


def test_a_repeat_writes_the_same(store):
    release(store, ("a.png", "daisy"), ("b.png", "poppy"))
    before = dict(store.objects)

    release(store, ("a.png", "daisy"), ("b.png", "poppy"))

    assert store.objects == before


def test_the_images_are_written_first_and_a_kill_at_any_write_is_repaired_by_the_repeat(store):
    release(store, ("a.png", "daisy"), ("b.png", "poppy"))
    whole, writes = dict(store.objects), list(store.writes)
    assert len(writes) == 4
    assert writes[2:] == [LABELS, RECORD]

    for number in range(len(writes)):
        killed = FailingStore()
        quarantine(killed, "a.png", "b.png")
        killed.writes_left = number
        with pytest.raises(StorageUnavailableError):
            release(killed, ("a.png", "daisy"), ("b.png", "poppy"))
        listed = released_rows(killed) if killed.exists(LABELS) else []
        assert all(killed.exists(f"{INCOMING}released/{row['image']}") for row in listed)
        killed.writes_left = -1
        release(killed, ("a.png", "daisy"), ("b.png", "poppy"))

        assert killed.objects == whole


def test_two_releases_at_once_lose_no_line(store):
    plans = [
        plan_release(store, make_config(), corrected((name, "daisy")), day=DAY, to=TO) for name in ("a.png", "b.png")
    ]
    theirs = store.get_tagged

    def overtaken(key: str):
        store.get_tagged = theirs
        try:
            return theirs(key)
        finally:
            publish_release(store, plans[1])

    store.get_tagged = overtaken
    with pytest.raises(PointerMovedError):
        publish_release(store, plans[0])
    publish_release(store, plans[0])

    assert len(released_rows(store)) == 2


def test_it_is_known_whether_the_later_delivery_is_marked_complete(store):
    assert release(store, ("a.png", "daisy")).is_marked_ready is False
    store.put(f"{INCOMING}_READY", b"")
    assert release(store, ("a.png", "daisy")).is_marked_ready is True
