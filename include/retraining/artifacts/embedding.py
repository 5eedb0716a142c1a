"""What the embedding stage needs to know of images and networks, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ImageRef:
    """An accepted image, and where its bytes can be read.

    Attributes:
        image_id: Its id.
        key: The delivered object.
        bytes_sha256: What intake saw there.
        pack: Key of a pack that holds the same bytes; empty where none does.
        offset: Where in the pack they begin.
        size_bytes: How many they are; 0 where no pack holds them.
    """

    image_id: str
    key: str
    bytes_sha256: str
    pack: str = ""
    offset: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Weights:
    """The weights of a network.

    Attributes:
        source: `imagenet`, `none`, or the URI or path of a file.
        sha256: Of the file. For `imagenet` and `none` a text that names them as exactly as a digest would.
    """

    source: str
    sha256: str


@dataclass(frozen=True)
class ExtractorRecord:
    """The extractor whose vectors a run works with.

    Attributes:
        fingerprint: Digest of all that decides the numbers of a vector.
        components: What the fingerprint is made of.
        weights: Of its network.
        origin: One sentence for people: where the weights come from, and why these.
        fine_tune_because: Why the network is to be fine-tuned in this run; empty where it is not.
    """

    fingerprint: str
    components: Mapping[str, str]
    weights: Weights
    origin: str
    fine_tune_because: str = ""


@dataclass(frozen=True)
class TunedExtractor:
    """A fine-tuned network, published once and never changed.

    Attributes:
        weights: Its file.
        classifier: Whose train images it was trained on.
        architecture: The network, as the recipe names it.
        image_size: Side in pixels of the images that it was trained on.
        window_end: End of the data window of the run that trained it.
        snapshot_digest: The frozen dataset.
        started_from: The weights before.
        because: Why it was due.
        run_id: The run that trained it.
        loss: Mean training loss by epoch.
        seconds: How long each epoch took.
    """

    weights: Weights
    classifier: str
    architecture: str
    image_size: int
    window_end: datetime
    snapshot_digest: str
    started_from: Weights
    because: str
    run_id: str
    loss: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class EmbeddingPlan:
    """What a snapshot's vectors cost. Views count as vectors of their own.

    Attributes:
        fingerprint: Of the extractor.
        n_images: Images in the snapshot.
        n_vectors: Vectors that it needs: one an image, and one a view of a train image.
        n_stored: Of those, the ones that were there already, and whole.
        n_missing: Of those, the ones that this run has to compute.
        n_damaged: Of the missing, the ones that are stored in bytes that are not those that were published.
        why_missing: One sentence a reason, with the components of the fingerprint that differ from the one before.
        components: What the fingerprint is made of.
    """

    fingerprint: str
    n_images: int
    n_vectors: int
    n_stored: int
    n_missing: int
    n_damaged: int
    why_missing: tuple[str, ...]
    components: Mapping[str, str]


@dataclass(frozen=True)
class PlannedShard:
    """A shard of images that need vectors, as it travels to the task that makes them.

    Attributes:
        uri: Of its list of images.
        label: For people: `shard 3/12 · 500 images`.
    """

    uri: str
    label: str


@dataclass(frozen=True)
class EmbeddingRecord:
    """A snapshot's vectors, all stored: what later stages read them by.

    Attributes:
        extractor: What made them.
        view_fingerprints: Under which the vectors of each augmented view are stored, view by view.
        projection_uri: The projection to apply to them; empty where there is none.
        digest: Of all that decides the numbers that later stages read.
    """

    extractor: ExtractorRecord
    view_fingerprints: tuple[str, ...]
    projection_uri: str
    digest: str
