"""The corpus of bad images: whatever an object holds, inspection says in a word what it is."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from include.retraining.config import ImagePolicy
from include.retraining.intake.inspection.facts import ImageFacts, look_at
from include.retraining.intake.reasons import Reason
from include.retraining.pictures import decode_picture
from tests.unit.retraining.intake.broken_files import (
    ORIENTATION,
    RUBBISH_EXIF,
    TURNED,
    animation,
    bomb,
    colours,
    honest_bomb,
    palette_with_transparency,
    see_through,
    sixteen_bit_colours,
    sixteen_bits,
    text_bomb,
    turned_by_exif,
    with_checksum_flipped,
    zip_file,
)
from tests.unit.retraining.intake.deliveries import encoded, picture

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF")
POLICY = ImagePolicy(formats=FORMATS)
DECODES = ""


CORPUS = {
    "zero bytes": (b"", Reason.EMPTY_OBJECT),
    "one byte": (b"\x89", Reason.NOT_AN_IMAGE),
    "HTML": (b"<!DOCTYPE html><html><body>404 not found</body></html>", Reason.NOT_AN_IMAGE),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', Reason.NOT_AN_IMAGE),
    "ZIP": (zip_file(), Reason.NOT_AN_IMAGE),
    "text": (b"image,label\na.png,daisy\n", Reason.NOT_AN_IMAGE),
    "zeros": (bytes(5000), Reason.NOT_AN_IMAGE),
    "JPEG, whatever its name": (encoded(colours(), "JPEG"), DECODES),
    "BMP": (encoded(picture(1), "BMP"), Reason.FORMAT_NOT_ALLOWED),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n", Reason.FORMAT_NOT_ALLOWED),
    "a bomb": (bomb(50_000, 50_000), Reason.SIDES_OUT_OF_BOUNDS),
    "a bomb that Pillow would open": (bomb(12_000, 12_000), Reason.SIDES_OUT_OF_BOUNDS),
    "a bomb of allowed sides": (bomb(8_000, 8_000), Reason.SIDES_OUT_OF_BOUNDS),
    "a bomb that holds its pixels": (honest_bomb(20_000), Reason.SIDES_OUT_OF_BOUNDS),
    "a bomb in a comment": (text_bomb(behind_pixels=False), Reason.TRUNCATED_OR_CORRUPT),
    "a bomb in a comment behind the pixels": (text_bomb(behind_pixels=True), Reason.TRUNCATED_OR_CORRUPT),
    "1 x 1": (encoded(Image.new("L", (1, 1))), Reason.SIDES_OUT_OF_BOUNDS),
    "1 x 10000": (encoded(Image.new("L", (1, 10_000))), Reason.SIDES_OUT_OF_BOUNDS),
    "8 x 800": (encoded(Image.new("L", (8, 800))), Reason.ASPECT_OUT_OF_BOUNDS),
    "grey": (encoded(picture(1)), DECODES),
    "1 bit": (encoded(picture(1).convert("1")), DECODES),
    "CMYK JPEG": (encoded(colours().convert("CMYK"), "JPEG"), DECODES),
    "16-bit PNG": (encoded(sixteen_bits()), DECODES),
    "16-bit PNG of colours": (sixteen_bit_colours(), DECODES),
    "palette": (encoded(colours().quantize(16)), DECODES),
    "palette with transparency": (palette_with_transparency(), DECODES),
    "alpha": (encoded(see_through("RGBA")), DECODES),
    "grey with alpha": (encoded(see_through("LA")), DECODES),
    "animated GIF": (animation("GIF"), Reason.ANIMATED),
    "animated PNG": (animation("PNG"), Reason.ANIMATED),
    "animated WebP": (animation("WEBP"), Reason.ANIMATED),
    "TIFF of two pages": (animation("TIFF"), Reason.ANIMATED),
    "broken EXIF in PNG": (encoded(picture(1), exif=RUBBISH_EXIF), DECODES),
    "broken EXIF in JPEG": (encoded(picture(1), "JPEG", exif=RUBBISH_EXIF), DECODES),
    "ICC rubbish in PNG": (encoded(picture(1), icc_profile=b"no profile at all"), DECODES),
    "ICC rubbish in JPEG": (encoded(picture(1), "JPEG", icc_profile=b"no profile at all"), DECODES),
    "a checksum that is wrong": (with_checksum_flipped(), Reason.TRUNCATED_OR_CORRUPT),
    "bytes behind the end": (encoded(picture(1)) + b"<script>", DECODES),
    "float TIFF": (encoded(Image.fromarray(np.ones((12, 12), np.float32)), "TIFF"), Reason.UNSUPPORTED_PIXELS),
    "32-bit TIFF": (encoded(Image.fromarray(np.full((12, 12), 1 << 20, np.int32)), "TIFF"), Reason.UNSUPPORTED_PIXELS),
    "32-bit TIFF of 16-bit values": (encoded(Image.fromarray(np.full((12, 12), 9, np.int32)), "TIFF"), DECODES),
}


@pytest.mark.parametrize("name", CORPUS)
def test_every_bad_image_has_its_named_outcome(name: str):
    body, outcome = CORPUS[name]

    facts = look_at(body, POLICY)

    assert facts.problem == outcome
    assert (facts.pixel_sha256 != "") == (outcome == DECODES)
    assert (facts.brightness == facts.brightness) == (outcome == DECODES)  # NaN is not itself


WHOLE = {
    "PNG": encoded(colours()),
    "JPEG": encoded(colours(), "JPEG"),
    "progressive JPEG": encoded(colours(), "JPEG", progressive=True),
    "GIF": encoded(colours(), "GIF"),
    "WebP": encoded(colours(), "WEBP"),
    "lossless WebP": encoded(colours(), "WEBP", lossless=True),
    "TIFF": encoded(colours(), "TIFF"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_decodes(name: str):
    assert look_at(WHOLE[name], POLICY).problem == DECODES


@pytest.mark.parametrize("keep", [20, 0.25, 0.5, 0.9, -1])
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_was_cut_off_is_truncated_wherever_it_was_cut(name: str, keep: float):
    body = WHOLE[name]
    end = keep if isinstance(keep, int) else int(len(body) * keep)

    facts = look_at(body[:end], POLICY)

    assert (facts.problem, facts.pixel_sha256) == (Reason.TRUNCATED_OR_CORRUPT, "")
    assert facts.format == look_at(body, POLICY).format


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("missing", [1, 4, 30])
def test_an_animation_that_was_cut_off_is_truncated_though_its_first_frame_is_whole(kind: str, missing: int):
    policy = ImagePolicy(formats=FORMATS, animated="convert")

    assert look_at(animation(kind), policy).problem == DECODES
    assert look_at(animation(kind)[:-missing], policy).problem == Reason.TRUNCATED_OR_CORRUPT


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("grey", "grey"),
        ("grey", "1 bit"),
        ("palette", "palette"),
        ("alpha", "alpha"),
        ("alpha", "grey with alpha"),
        ("alpha", "palette with transparency"),
        ("palette", "palette with transparency"),
        ("sixteen_bit", "16-bit PNG"),
        ("sixteen_bit", "16-bit PNG of colours"),
        ("cmyk", "CMYK JPEG"),
    ],
)
def test_a_kind_of_colour_is_refused_where_the_policy_says_so(kind: str, name: str):
    policy = ImagePolicy(**{"formats": FORMATS, kind: "quarantine"})

    facts = look_at(CORPUS[name][0], policy)

    assert (facts.problem, facts.pixel_sha256) == (Reason.COLOUR_NOT_ALLOWED, "")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_counts_where_animations_are_converted(kind: str):
    facts = look_at(animation(kind), ImagePolicy(formats=FORMATS, animated="convert"))

    assert (facts.problem, facts.n_frames) == (DECODES, 3)
    assert facts.pixel_sha256 == decode_picture(encoded(picture(0, 16))).digest


@pytest.mark.parametrize("orientation", TURNED)
def test_an_image_that_exif_turns_is_the_image_that_a_viewer_shows(orientation: int):
    upright = colours().crop((0, 0, 40, 20))

    facts = look_at(turned_by_exif(upright, orientation), POLICY)

    assert facts.exif_orientation == orientation
    assert (facts.width, facts.height) == (40, 20)
    assert facts.pixel_sha256 == decode_picture(encoded(upright)).digest
    assert facts.perceptual_hash == look_at(encoded(upright), POLICY).perceptual_hash


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_that_exif_turns_is_measured_as_it_is_shown(orientation: int):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    facts = look_at(encoded(colours().crop((0, 0, 40, 20)), "JPEG", exif=exif.tobytes()), POLICY)

    assert (facts.width, facts.height) == ((20, 40) if orientation >= 5 else (40, 20))


def test_a_colour_profile_is_no_part_of_the_picture():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()

    facts = look_at(encoded(colours(), icc_profile=profile), POLICY)

    assert facts.pixel_sha256 == decode_picture(encoded(colours())).digest


def test_a_second_page_does_not_hide_the_size_of_the_first():
    """Pillow counts pages by going through them, and stays where it fails."""
    body = bytearray(encoded(Image.new("1", (16, 16)), "TIFF", save_all=True, append_images=[Image.new("1", (16, 16))]))
    height = body.index(struct.pack("<HHI", 257, 4, 1)) + 8
    body[height : height + 4] = struct.pack("<I", 8_126_480)
    entries = struct.unpack_from("<H", body, 8)[0]
    second = struct.unpack_from("<I", body, 10 + 12 * entries)[0]
    entries = struct.unpack_from("<H", body, second)[0]
    struct.pack_into("<I", body, second + 2 + 12 * entries, 9)  # the third page: rubbish

    facts = look_at(bytes(body), ImagePolicy(formats=FORMATS, animated="convert"))

    assert (facts.problem, facts.height) == (Reason.SIDES_OUT_OF_BOUNDS, 8_126_480)


def assert_is_a_finding(facts: ImageFacts) -> None:
    assert facts.problem == DECODES or facts.problem in set(Reason)
    assert (facts.pixel_sha256 == "") == (facts.problem != DECODES)


@given(st.binary(max_size=400))
def test_whatever_bytes_are_delivered_inspection_never_raises(body: bytes):
    assert_is_a_finding(look_at(body, POLICY))


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF0000WEBP", b"II*\x00", b"BM"]), st.binary()
)
def test_nor_does_it_for_bytes_that_begin_like_an_image(signature: bytes, rest: bytes):
    assert_is_a_finding(look_at(signature + rest, POLICY))


@given(st.sampled_from(sorted(CORPUS)), st.data())
def test_nor_does_it_for_images_that_were_damaged(name: str, data: st.DataObject):
    body = bytearray(CORPUS[name][0][:20_000])
    for _ in range(data.draw(st.integers(1, 4)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[len(body) - data.draw(st.integers(0, len(body))) :]

    assert_is_a_finding(look_at(bytes(body), POLICY))
