"""The columns of every table in the store, each beside what it means. Reading and writing is in `storage/tables.py`."""

from __future__ import annotations

import pyarrow as pa

LISTING = pa.schema(
    {
        "date": pa.date32(),  # day of the batch
        "image": pa.string(),  # name as the manifest writes it
        "key": pa.string(),  # object key; empty where the name leads out of the batch
        "size_bytes": pa.int64(),  # -1 where there is no such object
        "label": pa.string(),
        "group": pa.string(),  # empty where the manifest has none
        "split": pa.string(),  # pinned split, or empty
    }
)
"""What a manifest says of each delivered image; one row an image."""

FACTS = pa.schema(
    [
        *LISTING,
        pa.field("bytes_sha256", pa.string()),  # empty where nothing could be read
        pa.field("pixel_sha256", pa.string()),  # over mode, size and decoded pixels; empty where not decodable
        pa.field("format", pa.string()),
        pa.field("mode", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("problem", pa.string()),  # why it could not be decoded, or empty
    ]
)
"""What inspection found out about each delivered image."""

VERDICTS = pa.schema(
    [
        *FACTS,
        pa.field("outcome", pa.string()),  # accepted, skipped, quarantined
        pa.field("reason", pa.string()),  # reasons joined by "; ", most specific first; empty if accepted
    ]
)
"""What became of each delivered image."""

BATCH = pa.schema(
    {
        "image_id": pa.string(),  # the pixel sha256
        "key": pa.string(),
        "bytes_sha256": pa.string(),
        "label": pa.string(),
        "group": pa.string(),
        "split": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
    }
)
"""An accepted batch, sorted by image id."""

SNAPSHOT = pa.schema(
    {
        "image_id": pa.string(),
        "key": pa.string(),
        "bytes_sha256": pa.string(),
        "label": pa.string(),
        "group": pa.string(),
        "split": pa.string(),
        "date": pa.date32(),  # day of the batch that first held the image
    }
)
"""A frozen dataset, sorted by image id; an image id occurs once."""

PLAN = pa.schema({"base": pa.string(), "neighbour": pa.string(), "step": pa.float64(), "label": pa.string()})
"""A resampling plan: one row a synthetic vector, `base + step × (neighbour − base)`."""
