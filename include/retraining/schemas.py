"""The columns of every table in the store, each beside what it means. Reading and writing is in `storage/tables.py`."""

from __future__ import annotations

import pyarrow as pa

ADDED = {"attributes": ""}
"""Columns that tables of an earlier version lack, and what every row of these holds in them."""

LISTING = pa.schema(
    {
        "date": pa.date32(),  # day of the batch
        "image": pa.string(),  # name as the manifest writes it
        "key": pa.string(),  # object key; empty where the name leads out of the batch
        "size_bytes": pa.int64(),  # -1 where there is no such object
        "label": pa.string(),
        "group": pa.string(),  # empty where the manifest has none
        "split": pa.string(),  # pinned split, or empty
        "attributes": pa.string(),  # the manifest's other columns as a JSON object with sorted keys; empty where none
    }
)
"""What a manifest says of each delivered image; one row an image."""

FACTS = pa.schema(
    [
        *LISTING,
        pa.field("bytes_sha256", pa.string()),  # empty where nothing could be read
        pa.field("pixel_sha256", pa.string()),  # of the picture as it is decoded to RGB; empty where it is not
        pa.field("perceptual_hash", pa.string()),  # 256 bits in hexadecimal; empty where not decoded or near-constant
        pa.field("format", pa.string()),  # as Pillow names it, or empty
        pa.field("mode", pa.string()),  # as stored, as Pillow names it, or empty
        pa.field("bit_depth", pa.int32()),  # of a channel, as stored; 0 where unknown
        pa.field("n_frames", pa.int32()),  # 0 where unknown
        pa.field("width", pa.int32()),  # pixels as displayed; 0 where unknown
        pa.field("height", pa.int32()),
        pa.field("exif_orientation", pa.int32()),  # 1 to 8; 0 where the file tells none
        pa.field("brightness", pa.float32()),  # mean of the grey picture, in [0, 1]; NaN where not decoded
        pa.field("contrast", pa.float32()),  # its standard deviation, in [0, 0.5]; NaN where not decoded
        pa.field("sharpness", pa.float32()),  # variance of its Laplacian, of values 0 to 255; NaN where not decoded
        pa.field("near_constant", pa.bool_()),  # it shows next to nothing
        pa.field("problem", pa.string()),  # code of the reason why it was not decoded, or empty
    ]
)
"""What inspection found out about each delivered image."""

VERDICTS = pa.schema(
    [
        *FACTS,
        pa.field("outcome", pa.string()),  # accepted, skipped, quarantined
        pa.field("reason", pa.string()),  # reasons joined by "; ", most specific first; empty if accepted
        pa.field("related", pa.string()),  # key of the image that it duplicates or contradicts, or empty
        pa.field("assigned_split", pa.string()),  # where it lies for ever; empty unless accepted
        pa.field("pinned", pa.bool_()),  # whether a manifest asked for that split
    ]
)
"""What became of each delivered image."""

BATCH = pa.schema(
    {
        "image_id": pa.string(),  # the pixel sha256
        "key": pa.string(),
        "bytes_sha256": pa.string(),
        "perceptual_hash": pa.string(),
        "label": pa.string(),
        "group": pa.string(),
        "split": pa.string(),  # assigned when it was accepted, and never changed
        "pinned": pa.bool_(),
        "width": pa.int32(),
        "height": pa.int32(),
        "brightness": pa.float32(),
        "contrast": pa.float32(),
        "sharpness": pa.float32(),
        "attributes": pa.string(),  # the manifest's other columns as a JSON object; empty where none
    }
)
"""An accepted batch, sorted by image id."""

SNAPSHOT = pa.schema(
    {
        "image_id": pa.string(),
        "key": pa.string(),
        "bytes_sha256": pa.string(),
        "perceptual_hash": pa.string(),
        "label": pa.string(),
        "group": pa.string(),
        "split": pa.string(),
        "date": pa.date32(),  # day of the batch that first held the image
        "attributes": pa.string(),  # as in that batch
    }
)
"""A frozen dataset, sorted by image id; an image id occurs once."""

PACK_INDEX = pa.schema(
    {
        "bytes_sha256": pa.binary(32),  # of the image's file
        "offset": pa.int64(),  # where in the pack it begins
        "size_bytes": pa.int64(),
    }
)
"""What lies in a pack, one row an image, in the order of the pack."""

SHARD = pa.schema(
    {
        "image_id": pa.string(),
        "key": pa.string(),  # of the delivered object
        "bytes_sha256": pa.string(),
        "pack": pa.string(),  # key of a pack with the same bytes, or empty
        "offset": pa.int64(),  # where they begin in it
        "size_bytes": pa.int64(),  # 0 where no pack holds them
        "label": pa.string(),  # of the shard, the same in every row
        "view": pa.int32(),  # which augmented view of its images, the same in every row; 0 for the images themselves
    }
)
"""The images of one mapped task, as they lie together in the store."""

PLANNED_ROWS = pa.schema(
    {
        "row_id": pa.string(),  # an image id, or `<image id>#<view>`
        "kept": pa.bool_(),  # false where cleaning leaves the row out
    }
)
"""The train rows that a resampling plan is over, ascending by id."""

PLAN = pa.schema(
    {
        "base": pa.int32(),  # position among the planned rows
        "neighbour": pa.int32(),  # likewise; a row of the same class
        "step": pa.float64(),
    }
)
"""A resampling plan: one row a synthetic vector, `base + step × (neighbour − base)`; 16 bytes each."""
