from __future__ import annotations

import struct
import zlib
from datetime import date

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from include.retraining.config import IntakeConfig
from include.retraining.intake import inspection
from include.retraining.intake.inspection import inspect, look_at, pixel_digest
from include.retraining.schemas import FACTS, LISTING
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, encoded, picture, png

POLICY = IntakeConfig(maximum_side_pixels=100)


def listing_of(*rows):
    frame = pd.DataFrame([(DAY, key, key, size, "daisy", "", "") for key, size in rows], columns=LISTING.names)
    return from_parquet(to_parquet(frame, LISTING), LISTING, "")


def oriented(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, exif=exif)


def bomb(side):
    """A PNG file whose header promises far more pixels than its bytes could hold."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_good_image_is_described():
    body = encoded(picture(1).resize((20, 10)))

    facts = look_at(body, POLICY)

    assert (facts.format, facts.mode, facts.width, facts.height, facts.problem) == ("PNG", "L", 20, 10, "")
    assert facts.bytes_sha256 == sha256(body)
    assert len(facts.pixel_sha256) == 64


def test_the_same_picture_has_one_identity_in_every_lossless_form():
    grey = picture(1)

    forms = [
        encoded(grey),
        encoded(grey, compress_level=0),
        encoded(grey.convert("RGB")),
        encoded(grey.convert("P")),
        oriented(grey.transpose(Image.Transpose.ROTATE_90), 6),
    ]

    assert len({look_at(body, POLICY).pixel_sha256 for body in forms}) == 1
    assert len(set(forms)) == len(forms)


def test_pictures_that_differ_have_different_identities():
    grey = picture(1)
    see_through = grey.convert("RGBA")
    see_through.putalpha(picture(2))
    deep = Image.fromarray(np.full((12, 12), 300, dtype=np.uint16))
    deeper = Image.fromarray(np.full((12, 12), 301, dtype=np.uint16))  # both are white in 8 bits

    digests = [pixel_digest(image) for image in (grey, picture(2), see_through, deep, deeper)]

    assert len(set(digests)) == len(digests)


def test_the_shape_belongs_to_the_identity():
    wide = Image.new("L", (8, 2), 7)

    assert pixel_digest(wide) != pixel_digest(wide.resize((4, 4)))


def test_a_turned_image_is_measured_as_it_is_displayed():
    facts = look_at(oriented(picture(1).resize((20, 10)), 6), POLICY)

    assert (facts.width, facts.height) == (10, 20)


def test_exif_that_cannot_be_read_does_not_spoil_the_image():
    facts = look_at(encoded(picture(1), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish"), POLICY)

    assert facts.problem == ""
    assert facts.pixel_sha256 == pixel_digest(picture(1))


@pytest.mark.parametrize("body", [b"", b"hello", b"<svg/>", b"PK\x03\x04" + bytes(50), png(1)[:12]])
def test_bytes_that_begin_like_no_image_are_not_an_image(body):
    facts = look_at(body, POLICY)

    assert (facts.problem, facts.pixel_sha256, facts.format) == ("not_an_image", "", "")
    assert facts.bytes_sha256 == sha256(body)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_file_that_was_cut_off_is_truncated(kind, share):
    body = encoded(picture(1, side=64), kind)

    facts = look_at(body[: int(len(body) * share)], POLICY)

    assert (facts.problem, facts.pixel_sha256, facts.format) == ("truncated_or_corrupt", "", kind)


def test_a_flipped_bit_is_found_by_the_checksums():
    body = bytearray(png(1))
    body[-20] ^= 1  # in the checksum of the pixels

    assert look_at(bytes(body), POLICY).problem == "truncated_or_corrupt"


def test_a_format_that_is_not_allowed_is_named_but_not_decoded():
    undecodable = encoded(picture(1), "GIF")[:-50]

    facts = look_at(undecodable, POLICY)

    assert (facts.problem, facts.format, facts.width) == ("format_not_allowed", "GIF", 12)


@pytest.mark.parametrize("side", [101, 20_000, 50_000])
def test_too_many_pixels_are_refused_by_the_header_alone(side):
    facts = look_at(bomb(side), POLICY)

    assert (facts.problem, facts.pixel_sha256) == ("sides_out_of_bounds", "")


def test_rows_are_inspected_in_their_order_whatever_can_be_fetched():
    class Store(InMemoryStore):
        def get(self, key):
            assert key != "large.png", "was fetched"
            return super().get(key)

    store = Store()
    store.objects |= {"a.png": png(1), "large.png": bytes(301), "b.png": png(2)}
    run = make_run(store, make_config(intake={"maximum_image_bytes": 300}))
    sizes = [250, -1, -1, 301, 9, 250]
    keys = ["b.png", "gone.png", "", "large.png", "vanished.png", "a.png"]
    listing = listing_of(*zip(keys, sizes, strict=True))

    facts = inspect(run, listing)

    assert list(facts["image"]) == list(listing["image"])
    assert list(facts["problem"]) == ["", "missing_object", "outside_batch", "too_many_bytes", "missing_object", ""]
    assert facts["pixel_sha256"].iloc[0] == pixel_digest(picture(2))
    assert facts["pixel_sha256"].iloc[5] == pixel_digest(picture(1))


@pytest.mark.parametrize("rows", [[], [("a.png", 250), ("gone.png", -1)]], ids=["no rows", "rows"])
def test_facts_keep_their_schema(rows):
    store = InMemoryStore()
    store.put("a.png", png(1))

    facts = inspect(make_run(store), listing_of(*rows))

    stored = from_parquet(to_parquet(facts, FACTS), FACTS, "")
    assert list(stored.columns) == FACTS.names
    assert stored["date"].tolist() == [date(2026, 1, 2)] * len(rows)


def test_a_worker_without_memory_refuses_no_good_image(monkeypatch):
    def fail(body):
        raise MemoryError

    monkeypatch.setattr(inspection, "_decode", fail)

    with pytest.raises(MemoryError):
        look_at(encoded(picture(1)), POLICY)
