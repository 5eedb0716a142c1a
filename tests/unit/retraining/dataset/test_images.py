from __future__ import annotations

import io
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from include.retraining import packs
from include.retraining.artifacts import ImageRef
from include.retraining.dataset.images import image_refs, locality_order, read_bodies, read_images
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.packs import keep_small
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import CLASSIFIER

DAY = date(2026, 1, 2)
NEXT_DAY = date(2026, 1, 3)


def png(grey):
    sink = io.BytesIO()
    Image.new("L", (4, 3), grey).save(sink, "PNG")
    return sink.getvalue()


def snapshot_of(*rows):
    """Rows of a snapshot, as it is read, each given by its image id, day and file."""
    columns = ("image_id", "date", "bytes_sha256", "key")
    frame = pd.DataFrame([(name, day, sha256(body), f"{day}/{name}") for name, day, body in rows], columns=columns)
    frame = frame.assign(perceptual_hash="", label="daisy", group="", split="train", attributes="")
    return from_parquet(to_parquet(frame, SNAPSHOT), SNAPSHOT, "")


def delivered(*rows, packed=True):
    """A store with delivered objects, and with packs of the days whose images are many enough."""
    store = InMemoryStore()
    for name, day, body in rows:
        store.put(f"{day}/{name}", body)
    if packed:
        for day in sorted({day for _, day, _ in rows}):
            bodies = [body for _, of, body in rows if of == day]
            list(keep_small(store, CLASSIFIER, [day] * len(bodies), bodies))
    return store


ROWS = [(f"{grey:03d}.png", DAY if grey < 20 else NEXT_DAY, png(grey)) for grey in range(40)]


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "without packs"])
def test_images_come_decoded_in_the_order_asked_for(packed):
    store = delivered(*ROWS, packed=packed)
    order = [ROWS[position] for position in (30, 10, 20, 11)]

    images = list(read_images(store, image_refs(store, CLASSIFIER, snapshot_of(*order))))

    assert [image[0, 0, 0] for image in images] == [30, 10, 20, 11]
    assert {(image.shape, image.dtype) for image in images} == {((3, 4, 3), np.dtype(np.uint8))}


@pytest.mark.parametrize("rows", [[], ROWS[:3]], ids=["no image", "few images"])
def test_an_empty_bucket_has_no_packs_and_that_is_no_error(rows):
    refs = image_refs(InMemoryStore(), CLASSIFIER, snapshot_of(*rows))

    assert refs == [ImageRef(name, f"{day}/{name}", sha256(body)) for name, day, body in rows]


def test_a_reference_names_the_pack_of_the_image_s_own_day():
    store = delivered(*ROWS)
    mixed = [*ROWS[::-2], *ROWS[::2]]

    refs = image_refs(store, CLASSIFIER, snapshot_of(*mixed))

    assert [ref.image_id for ref in refs] == [name for name, _, _ in mixed]
    for ref, (name, day, body) in zip(refs, mixed, strict=True):
        assert ref.pack.startswith(f"packs/{CLASSIFIER}/{day}/")
        assert store.objects[ref.pack][ref.offset : ref.offset + ref.size_bytes] == body
        assert (ref.key, ref.bytes_sha256) == (f"{day}/{name}", sha256(body))


def test_a_part_of_a_snapshot_has_the_references_of_the_whole():
    store = delivered(*ROWS)
    whole = snapshot_of(*ROWS)

    refs = image_refs(store, CLASSIFIER, whole[whole["image_id"] > "015.png"])

    assert refs == image_refs(store, CLASSIFIER, whole)[16:]


def test_only_the_days_of_the_rows_are_looked_at():
    class Store(InMemoryStore):
        def list(self, prefix):
            assert str(DAY) not in prefix
            return super().list(prefix)

    store = Store()
    store.objects.update(delivered(*ROWS).objects)

    assert all(ref.pack for ref in image_refs(store, CLASSIFIER, snapshot_of(*ROWS[20:])))


def test_images_of_a_pack_lie_together_in_the_order_of_their_bytes():
    loose = [ImageRef("b", "day/b", "b"), ImageRef("a", "day/a", "a")]
    packed = [ImageRef(f"{pack}{offset}", "key", "", pack, offset, 1) for pack in "qp" for offset in (9, 10, 2)]

    ordered = locality_order([*packed, *loose])

    assert [ref.image_id for ref in ordered] == ["a", "b", "p2", "p9", "p10", "q2", "q9", "q10"]


def test_accepted_bytes_are_read_though_the_delivered_object_was_changed_or_deleted_since():
    store = delivered(*ROWS)
    refs = image_refs(store, CLASSIFIER, snapshot_of(*ROWS[:20]))
    store.put(refs[0].key, b"another image")
    store.delete(refs[1].key)

    assert list(read_bodies(store, refs)) == [body for _, _, body in ROWS[:20]]


def test_an_image_that_was_replaced_since_it_was_accepted_is_refused_where_no_pack_has_it():
    store = delivered(*ROWS, packed=False)
    refs = image_refs(store, CLASSIFIER, snapshot_of(*ROWS[:3]))
    store.put(refs[1].key, png(11))
    images = read_images(store, refs)

    next(images)
    with pytest.raises(ArtifactIntegrityError, match="s3://memory/2026-01-02/001.png: .* as when it was acc") as caught:
        next(images)

    assert caught.value.expected == f"sha256 {sha256(png(1))}, as when it was accepted"
    assert caught.value.got == f"sha256 {sha256(png(11))}"


def test_an_image_that_was_deleted_since_is_refused_where_no_pack_has_it():
    store = delivered(*ROWS, packed=False)
    refs = image_refs(store, CLASSIFIER, snapshot_of(*ROWS[:3]))
    store.delete(refs[2].key)

    with pytest.raises(ArtifactIntegrityError, match="got no object"):
        list(read_bodies(store, refs))


@given(
    deliveries=st.lists(
        st.tuples(st.sampled_from((DAY, NEXT_DAY)), st.binary(min_size=1, max_size=45)),
        max_size=60,
        unique_by=lambda it: it[1],
    ),
    data=st.data(),
)
def test_every_image_is_read_as_it_was_delivered_in_any_order_and_over_any_packs(deliveries, data):
    rows = [(f"{number:02d}", day, body) for number, (day, body) in enumerate(deliveries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packs, "PACK_BYTES", 150)
        patch.setattr(packs, "SMALL_BYTES", 40)
        patch.setattr(packs, "MOST_PACK_BYTES", 190)
        patch.setattr(packs, "FEWEST_IMAGES", 2)
        store = delivered(*rows)
        asked = data.draw(st.permutations(rows))

        refs = image_refs(store, CLASSIFIER, snapshot_of(*asked))

        assert list(read_bodies(store, refs)) == [body for _, _, body in asked]
        bodies = {name: body for name, _, body in rows}
        ordered = locality_order(refs)
        assert sorted(ordered, key=repr) == sorted(refs, key=repr)
        assert list(read_bodies(store, ordered)) == [bodies[ref.image_id] for ref in ordered]
