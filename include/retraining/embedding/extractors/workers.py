"""What a process keeps between shards: the last network, built and checked once."""

from __future__ import annotations

from include.retraining.artifacts import ExtractorRecord
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.extractor import Extractor, build_extractor
from include.retraining.embedding.extractors.golden import check_golden
from include.retraining.storage.base import ObjectStore

_ready: dict[tuple[str, str, int], Extractor] = {}  # one entry at most


def ready_extractor(store: ObjectStore, config: EmbeddingConfig, record: ExtractorRecord) -> Extractor:
    """Returns the network of an extractor, after it gave the expected vectors for the golden images.

    Side effects:
        Keeps it for the next call; the one before is dropped first.

    Raises:
        RetrainingError: If the network cannot be built, or does not give the expected vectors.
    """
    key = (record.fingerprint, config.runtime, config.batch_size)
    if key not in _ready:
        _ready.clear()
        extractor = build_extractor(store, config, record.weights)
        check_golden(store, extractor, record)
        _ready[key] = extractor
    return _ready[key]
