from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from include.retraining.intake.contact_sheet import contact_sheet
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver, encoded, keep_verdicts_of, picture, png

REFUSED = {"outcome": "quarantined", "reason": "unknown_label", "label": "rose"}
HOSTILE = '"><script>alert(1)</script>\n\u202egnp.exe'


class Page(HTMLParser):
    """What a browser would see of a page: its tags, its text and its pictures, tile by tile."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(html.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def pictures(self) -> list[Image.Image]:
        found = [address for address in self.addresses if address.startswith("data:image/")]
        return [Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) for address in found]


class CountingStore(InMemoryStore):
    """Remembers what was fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def get(self, key):
        self.fetched.append(key)
        return super().get(key)

    def get_of_delivery(self) -> list[str]:
        return [key.removeprefix("incoming/flowers/2026-01-02/") for key in self.fetched if key.startswith("incoming/")]


def sheet_of(run, *rows) -> bytes:
    return contact_sheet(run, DAY, keep_verdicts_of(run, *rows).days[DAY].shard_uris)


def test_images_are_grouped_by_their_first_reason_with_its_meaning_and_number():
    run = make_run()
    deliver(run.store, {f"{number}.png": png(number) for number in range(4)})
    conflict = {**REFUSED, "label": "daisy", "reason": "invalid_split; label_conflict"}

    page = Page(sheet_of(run, REFUSED, conflict, REFUSED, {}))

    assert re.search(r"unknown label 2 The label is not one of the classifier's.* 0\.png .* 2\.png", page.text)
    assert re.search(r"invalid split 1 .* 1\.png label daisy 12 × 12 also label conflict", page.text)
    assert "3.png" not in page.text
    assert page.text.index("unknown label") < page.text.index("invalid split"), "the most specific reason first"
    assert len(page.pictures) == 3


def test_a_picture_is_what_was_delivered_and_never_larger_than_a_thumbnail():
    run = make_run()
    deliver(run.store, {"0.png": png(7), "1.png": encoded(picture(1, side=400).resize((400, 100)))})

    tiny, large = Page(sheet_of(run, REFUSED, {**REFUSED, "width": 400, "height": 100})).pictures

    assert tiny.convert("L").tobytes() == picture(7).tobytes()
    assert (large.size, large.format) == ((96, 24), "JPEG")


def test_at_most_24_images_of_a_reason_are_fetched_and_shown_and_all_are_counted():
    run = make_run(CountingStore())
    deliver(run.store, {f"{number:02}.png": png(number) for number in range(30)})

    page = Page(sheet_of(run, *[{**REFUSED, "image": f"{number:02}.png"} for number in range(30)]))

    assert sorted(run.store.get_of_delivery()) == [f"{number:02}.png" for number in range(24)]
    assert len(page.pictures) == 24
    assert "unknown label 30" in page.text
    assert "The first 24 are shown." in page.text


def test_skipped_images_are_counted_only():
    run = make_run(CountingStore())
    deliver(run.store, {"0.png": png(0)})
    skipped = {"outcome": "skipped", "reason": "duplicate_of_earlier_batch"}

    page = Page(sheet_of(run, skipped, skipped, {"outcome": "skipped", "reason": "duplicate"}))

    assert run.store.get_of_delivery() == []
    assert "An earlier batch holds the same pixels and label. 2" in page.text
    assert "No image of this delivery was quarantined." in page.text
    assert "3 skipped as duplicates" in page.text


@pytest.mark.parametrize(
    ("facts", "is_fetched"),
    [
        pytest.param({"size_bytes": 1001}, False, id="too many bytes"),
        pytest.param({"size_bytes": -1}, False, id="not there"),
        pytest.param({"size_bytes": 0}, False, id="empty"),
        pytest.param({"width": 50_000, "height": 50_000}, False, id="bomb"),
        pytest.param({"width": 8000, "height": 8000}, False, id="too many pixels"),
        pytest.param({"width": 0, "height": 0}, False, id="no header"),
        pytest.param({}, True, id="anything else"),
    ],
)
def test_what_was_refused_for_its_size_is_not_even_fetched(facts, is_fetched):
    config = make_config(intake={"images": {"maximum_bytes": 1000}})
    run = make_run(CountingStore(), config)
    deliver(run.store, {"0.png": png(0)})

    page = Page(sheet_of(run, {**REFUSED, **facts}))

    assert run.store.get_of_delivery() == (["0.png"] if is_fetched else [])
    assert len(page.pictures) == int(is_fetched)
    assert "0.png" in page.text


def test_an_object_that_was_swapped_for_a_bomb_meanwhile_is_not_decoded():
    run = make_run(config=make_config(intake={"images": {"maximum_side_pixels": 100}}))
    deliver(run.store, {"0.png": encoded(Image.new("L", (101, 101)))})

    page = Page(sheet_of(run, REFUSED))

    assert page.pictures == []
    assert "not shown" in page.text


@pytest.mark.parametrize("body", [b"", b"<svg onload='alert(1)'/>", png(1)[:60], encoded(picture(1), "GIF")])
def test_what_cannot_or_must_not_be_decoded_is_a_tile_without_a_picture(body):
    run = make_run()
    deliver(run.store, {"0.png": body})

    page = Page(sheet_of(run, REFUSED))

    assert page.pictures == []
    assert "not shown 0.png label rose" in page.text


def test_an_object_that_is_gone_and_one_that_was_never_there_are_tiles_too():
    run = make_run()

    page = Page(sheet_of(run, REFUSED, {**REFUSED, "reason": "missing_object", "size_bytes": -1, "width": 0}))

    assert "not shown 0.png" in page.text
    assert "no such object 1.png" in page.text


def test_the_page_names_the_image_that_is_contradicted_and_of_which_day_it_is():
    run = make_run()
    rows = [
        {**REFUSED, "reason": "label_conflict", "related": "incoming/flowers/2026-01-02/other.png"},
        {**REFUSED, "reason": "label_conflict", "related": "incoming/flowers/2026-01-01/older.png"},
    ]

    text = Page(sheet_of(run, *rows)).text

    assert "see other.png" in text
    assert "see 2026-01-01/older.png" in text


def test_an_image_without_a_line_in_the_manifest_is_shown_by_its_key():
    run = make_run()
    row = {**REFUSED, "image": "", "label": "", "key": "incoming/flowers/2026-01-02/dir/stray.png"}

    assert "dir/stray.png no label" in Page(sheet_of(run, row)).text


def test_hostile_names_and_labels_are_text_and_what_is_not_printable_is_escaped():
    run = make_run()
    deliver(run.store, {HOSTILE: png(1)})
    row = {**REFUSED, "image": HOSTILE, "label": HOSTILE, "related": f"incoming/flowers/2026-01-02/{HOSTILE}"}

    html = sheet_of(run, row)

    page = Page(html)
    assert "script" not in page.tags
    assert page.handlers == []
    assert page.text.count(r'"><script>alert(1)</script>\n\u202egnp.exe') == 3
    assert "\u202e" not in html.decode()


def test_the_page_carries_all_that_it_shows_and_runs_nothing():
    run = make_run()
    deliver(run.store, {"0.png": png(0)})

    html = sheet_of(run, REFUSED)

    page = Page(html)
    outside = [address for address in page.addresses if not address.startswith("data:image/")]
    assert outside == ["index.html"]
    assert b"default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "svg", "form"})


def test_the_same_verdicts_give_the_same_page():
    run = make_run()
    deliver(run.store, {"0.png": png(0)})

    assert sheet_of(run, REFUSED) == sheet_of(run, REFUSED)
