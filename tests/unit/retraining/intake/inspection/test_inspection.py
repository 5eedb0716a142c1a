from __future__ import annotations

import math
import warnings
from datetime import date

import pandas as pd
import pytest
from PIL import Image

from include.retraining.config import ImagePolicy
from include.retraining.errors import StorageUnavailableError
from include.retraining.intake.inspection import facts as facts_module
from include.retraining.intake.inspection import inspectors
from include.retraining.intake.inspection.facts import look_at
from include.retraining.intake.inspection.inspection import inspect
from include.retraining.intake.inspection.measurements import measure
from include.retraining.packs import locate
from include.retraining.pictures import decode_picture
from include.retraining.schemas import FACTS, LISTING
from include.retraining.storage import parallel
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import CLASSIFIER, make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, encoded, picture, png

POLICY = ImagePolicy(maximum_side_pixels=100)


def listing_of(*rows):
    frame = pd.DataFrame([(DAY, key, key, size, "daisy", "", "", "") for key, size in rows], columns=LISTING.names)
    return from_parquet(to_parquet(frame, LISTING), LISTING, "")


def oriented(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, exif=exif)


def test_a_good_image_is_described():
    body = encoded(picture(1).resize((20, 10)))

    facts = look_at(body, POLICY)

    assert (facts.format, facts.mode, facts.bit_depth, facts.n_frames) == ("PNG", "L", 8, 1)
    assert (facts.width, facts.height, facts.exif_orientation, facts.problem) == (20, 10, 0, "")
    assert facts.bytes_sha256 == sha256(body)
    assert facts.pixel_sha256 == decode_picture(body).digest


def test_a_good_image_is_measured_as_the_network_sees_it():
    see_through = picture(1).convert("RGBA")
    see_through.putalpha(picture(2))

    facts = look_at(encoded(see_through), POLICY)

    measured = measure(decode_picture(encoded(see_through)).image)
    assert (facts.brightness, facts.contrast, facts.sharpness) == (
        measured.brightness,
        measured.contrast,
        measured.sharpness,
    )
    assert facts.perceptual_hash == measured.perceptual_hash != ""
    assert not facts.near_constant


def test_an_image_of_one_colour_is_described_and_not_refused():
    facts = look_at(encoded(Image.new("RGB", (12, 12), "#336699")), POLICY)

    assert (facts.problem, facts.near_constant, facts.perceptual_hash) == ("", True, "")
    assert facts.pixel_sha256


@pytest.mark.parametrize(
    ("image", "kind", "depth"),
    [
        (picture(1).convert("1"), "PNG", 1),
        (picture(1).quantize(4), "PNG", 2),
        (picture(1).quantize(16), "PNG", 4),
        (picture(1), "PNG", 8),
        (picture(1), "JPEG", 8),
        (Image.new("I;16", (12, 12), 300), "PNG", 16),
        (Image.new("I;16", (12, 12), 300), "TIFF", 16),
        (Image.new("I", (12, 12), 300), "TIFF", 32),
        (Image.new("F", (12, 12), 1.5), "TIFF", 32),
    ],
)
def test_the_bit_depth_is_that_of_the_file(image, kind, depth):
    facts = look_at(encoded(image, kind), ImagePolicy(formats=("PNG", "JPEG", "TIFF")))

    assert facts.bit_depth == depth


def test_the_same_picture_has_one_identity_in_every_lossless_form():
    grey = picture(1)

    forms = [
        encoded(grey),
        encoded(grey, compress_level=0),
        encoded(grey.convert("RGB")),
        encoded(grey.convert("P")),
        encoded(grey.convert("LA")),
        oriented(grey.transpose(Image.Transpose.ROTATE_90), 6),
    ]

    assert len({look_at(body, POLICY).pixel_sha256 for body in forms}) == 1
    assert len(set(forms)) == len(forms)


def test_a_format_that_is_not_allowed_is_described_but_not_decoded():
    undecodable = encoded(picture(1), "GIF")[:-50]

    facts = look_at(undecodable, POLICY)

    assert (facts.problem, facts.format, facts.width) == ("format_not_allowed", "GIF", 12)


def test_a_stereo_photograph_is_not_taken_for_a_plain_one():
    body = encoded(picture(1), "MPO", save_all=True, append_images=[picture(2)])

    assert look_at(body, POLICY).problem == "format_not_allowed"
    assert look_at(body, ImagePolicy(formats=("MPO",))).problem == "animated"
    assert look_at(body, ImagePolicy(formats=("MPO",), animated="convert")).problem == ""


def test_a_format_that_pillow_does_not_know_lets_nothing_in():
    assert look_at(png(1), ImagePolicy(formats=("JPG",))).problem == "format_not_allowed"


def test_what_is_refused_by_its_header_still_tells_size_and_format():
    facts = look_at(encoded(Image.new("L", (101, 50))), POLICY)

    assert (facts.problem, facts.format, facts.width, facts.height) == ("sides_out_of_bounds", "PNG", 101, 50)
    assert math.isnan(facts.brightness)


def test_an_object_that_grew_since_it_was_listed_is_refused_unread():
    facts = look_at(png(1), ImagePolicy(maximum_bytes=100))

    assert (facts.problem, facts.format) == ("too_many_bytes", "")


def test_rows_are_inspected_in_their_order_whatever_can_be_fetched():
    class Store(InMemoryStore):
        def get(self, key):
            assert key not in ("large.png", "empty.png"), "was fetched"
            return super().get(key)

    store = Store()
    store.objects |= {"a.png": png(1), "large.png": bytes(301), "empty.png": b"", "b.png": png(2)}
    run = make_run(store, make_config(intake={"images": {"maximum_bytes": 300}}))
    sizes = [250, -1, 0, -1, 301, 9, 250]
    keys = ["b.png", "gone.png", "empty.png", "", "large.png", "vanished.png", "a.png"]
    listing = listing_of(*zip(keys, sizes, strict=True))

    facts = inspect(run, listing)

    assert list(facts["image"]) == list(listing["image"])
    assert list(facts["problem"]) == [
        "",
        "missing_object",
        "empty_object",
        "outside_batch",
        "too_many_bytes",
        "missing_object",
        "",
    ]
    assert facts["pixel_sha256"].iloc[0] == decode_picture(png(2)).digest
    assert facts["pixel_sha256"].iloc[6] == decode_picture(png(1)).digest


@pytest.mark.parametrize("cores", [1, 2])
def test_what_was_looked_at_is_kept_in_packs_of_its_day(cores, monkeypatch):
    monkeypatch.setattr(inspectors, "_cores", lambda: cores)
    monkeypatch.setattr(inspectors, "WORTH_A_PROCESS", 30)
    store = InMemoryStore()
    store.objects |= {f"{number:02d}.png": png(number) for number in range(40)}
    bodies = list(store.objects.values())
    listing = listing_of(*((key, len(body)) for key, body in store.objects.items()), ("empty.png", 0), ("gone.png", 9))

    facts = inspect(make_run(store), listing)

    assert list(facts["bytes_sha256"]) == [*map(sha256, bodies), "", ""]
    (pack,) = {place.pack for place in locate(store, CLASSIFIER, DAY, facts["bytes_sha256"][:40])}
    assert store.objects[pack] == b"".join(bodies)


@pytest.mark.parametrize("rows", [[], [("a.png", 250), ("gone.png", -1)]], ids=["no rows", "rows"])
def test_facts_keep_their_schema(rows):
    store = InMemoryStore()
    store.put("a.png", png(1))

    facts = inspect(make_run(store), listing_of(*rows))

    stored = from_parquet(to_parquet(facts, FACTS), FACTS, "")
    assert list(stored.columns) == FACTS.names
    assert stored["date"].tolist() == [date(2026, 1, 2)] * len(rows)


def test_a_part_of_a_listing_is_inspected_as_the_whole_is():
    store = InMemoryStore()
    store.objects |= {f"{number}.png": png(number) for number in range(5)}
    listing = listing_of(*((key, 250) for key in store.objects))

    whole = inspect(make_run(store), listing)
    part = inspect(make_run(store), listing.iloc[2:4])

    pd.testing.assert_frame_equal(part, whole.iloc[2:4].reset_index(drop=True))


def test_no_more_bytes_than_promised_wait_for_the_decoder(monkeypatch):
    bodies = {f"{number}.png": png(number, side=40) for number in range(40)}
    monkeypatch.setattr(parallel, "READ_AHEAD_BYTES", 5000)
    fetched: list[int] = []
    looked_at: list[int] = []

    class Store(InMemoryStore):
        def get(self, key):
            fetched.append(len(bodies[key]))
            return super().get(key)

    def counting_look_at(body, policy):
        looked_at.append(len(body))
        assert sum(fetched) - sum(looked_at) <= 5000
        return look_at(body, policy)

    monkeypatch.setattr(inspectors, "look_at", counting_look_at)
    store = Store()
    store.objects |= bodies

    inspect(make_run(store), listing_of(*((key, len(body)) for key, body in bodies.items())))

    assert len(looked_at) == 40


def test_a_store_that_is_away_is_no_finding_about_the_images():
    class Store(InMemoryStore):
        def get(self, key):
            raise StorageUnavailableError(operation=f"get {key}", cause="down")

    with pytest.raises(StorageUnavailableError):
        inspect(make_run(Store()), listing_of(("a.png", 250)))


def test_what_pillow_warns_of_is_not_told_and_changes_nothing():
    body = encoded(Image.new("1", (9500, 9500)))  # over the number of pixels that Pillow warns of
    before = list(warnings.filters)

    facts = look_at(body, ImagePolicy(maximum_side_pixels=10_000, maximum_pixels=100_000_000, formats=("JPEG",)))

    assert facts.problem == "format_not_allowed"
    assert facts.width == 9500
    assert list(warnings.filters) == before
    assert Image.MAX_IMAGE_PIXELS == 89_478_485


def test_a_worker_without_memory_refuses_no_good_image(monkeypatch):
    def fail(body, formats):
        raise MemoryError

    monkeypatch.setattr(facts_module, "decode_picture", fail)

    with pytest.raises(MemoryError):
        look_at(encoded(picture(1)), POLICY)
