"""Fine-tuned networks: each is published once, under the digest of all that it was trained from, and stays.

Light on purpose: choosing an extractor needs no network.
"""

from __future__ import annotations

from include.retraining.artifacts import TunedExtractor
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, publish, read_published, sha256
from include.retraining.storage.records import from_json, read_record, to_json, write_record

WEIGHTS = "backbone.weights.h5"
RECORD = "extractor.json"


def tuned_extractors(store: ObjectStore, classifier: str) -> list[TunedExtractor]:
    """Returns a classifier's fine-tuned networks, oldest data first; of equally old data in the order of their digests.

    Raises:
        ArtifactIntegrityError: If the description of one is not the one that was published.
    """
    digests = store.list_folders(layout.tuned_extractors(classifier))
    found = [tuned for digest in digests if (tuned := read_tuned(store, classifier, digest)) is not None]
    return sorted(found, key=lambda tuned: tuned.window_end)


def read_tuned(store: ObjectStore, classifier: str, digest: str) -> TunedExtractor | None:
    """Returns the network that was trained from inputs of a digest, or None where its training never came to an end."""
    prefix = layout.tuned_extractor(classifier, digest)
    if not store.exists(f"{prefix}{MANIFEST}"):
        return None
    return from_json(TunedExtractor, read_published(store, prefix, RECORD), uri_of(store, f"{prefix}{RECORD}"))


def weights_uri(store: ObjectStore, classifier: str, digest: str) -> str:
    """Returns the URI of a fine-tuned network's weights."""
    return uri_of(store, f"{layout.tuned_extractor(classifier, digest)}{WEIGHTS}")


def publish_tuned(store: ObjectStore, digest: str, tuned: TunedExtractor, weights: bytes) -> TunedExtractor:
    """Publishes a fine-tuned network; returns its description as it is published.

    Two attempts at one training give the same weights in other times. The first one's description stands, so that
    both publish the same files.

    Raises:
        ArtifactIntegrityError: If another network is published there.
        ValueError: If the weights are not those that the description names.
    """
    if sha256(weights) != tuned.weights.sha256:
        raise ValueError(f"Expected weights of sha256 {tuned.weights.sha256}; got {sha256(weights)}.")
    prefix = layout.tuned_extractor(tuned.classifier, digest)
    key = f"{prefix}{RECORD}"
    store.replace(key, to_json(tuned), etag=None)
    first = read_record(store, key, TunedExtractor)
    if first.weights != tuned.weights and not store.exists(f"{prefix}{MANIFEST}"):
        # An attempt on another kind of processor was killed here: its weights differ in last bits, and are lost.
        write_record(store, key, tuned)
        first = tuned
    publish(store, prefix, {WEIGHTS: weights, RECORD: to_json(first)})
    return first
