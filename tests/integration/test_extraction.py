"""A worker that is killed in the middle of a shard, with a real store and a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedded.stack import EmbeddedStack
from include.retraining.artifacts import ExtractorRecord, ImageRef
from include.retraining.embedding.extraction import extraction
from include.retraining.embedding.extraction.extraction import extract
from include.retraining.embedding.extraction.shards import Shard, keep_shard
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.embedding.store.index import open_index
from include.retraining.embedding.store.vectors import read_vectors
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.publishing import MANIFEST
from include.retraining.storage.s3 import S3Store
from tests.builders import make_config, make_run
from tests.datasets import pictured, split_rows
from tests.integration.s3_stores import s3_store
from tests.kills import kill_9
from tests.stores import holding

REPOSITORY = Path(__file__).parent.parent.parent
PART = 16
N_IMAGES = 200
CONFIG = make_config(embedding={"image_size": 32, "layers": ["block_2"], "batch_size": 8})

# A worker with small parts, which tells what it has embedded and then dawdles, so that it is caught in the middle.
WORKER = f"""
import os, sys, time
from include.retraining.artifacts import ExtractorRecord
from include.retraining.command_line.environment import store_from
from include.retraining.embedding.extraction import extraction
from include.retraining.embedding.extraction.shards import recall_shard
from tests.builders import make_run
from tests.integration.test_extraction import CONFIG

def progress(done, total):
    print(done, flush=True)
    time.sleep(0.05)

extraction.PART_IMAGES = {PART}
run = make_run(store_from(os.environ), CONFIG)
extraction.extract(run, recall_shard(run, sys.argv[1]), run.load(sys.argv[2], ExtractorRecord), progress=progress)
"""


@pytest.fixture
def store(seaweed_stack: EmbeddedStack) -> Iterator[S3Store]:
    with s3_store(seaweed_stack) as opened:
        yield opened


def make_extractor(run: Run) -> ExtractorRecord:
    weights = weights_of(run.config.embedding)
    components = fingerprint_components(run.config.embedding, weights)
    return ExtractorRecord(fingerprint(components), components, weights, origin="the recipe's weights")


def make_shard(run: Run) -> Shard:
    rows = pictured(run.store, split_rows({"train": {"daisy": N_IMAGES}}))
    images = tuple(ImageRef(row["image_id"], row["key"], row["bytes_sha256"]) for row in rows)
    return Shard(f"shard 1/1 · {N_IMAGES} images", 0, images)


def n_parts(run: Run, extractor: ExtractorRecord) -> int:
    parts = run.store.list(layout.embedding_parts(extractor.fingerprint))
    return sum(found.key.endswith(f"/{MANIFEST}") for found in parts)


def test_a_killed_worker_loses_the_part_that_it_wrote_and_the_one_that_it_computed_and_no_more(
    seaweed_stack: EmbeddedStack, store: S3Store, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(store, CONFIG)
    shard, extractor = make_shard(run), make_extractor(run)
    arguments = [keep_shard(run, 0, shard), run.record("extractor.json", extractor)]
    environment = {**os.environ, **seaweed_stack.s3_environment(), "PYTHONPATH": str(REPOSITORY)}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments], env=environment, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    with worker:
        embedded = next(done for done in map(int, worker.stdout) if done >= N_IMAGES // 2)
        kill_9(worker.pid)
        embedded = max([embedded, *map(int, worker.stdout)])
    whole = n_parts(run, extractor) * PART

    told: list[int] = []
    monkeypatch.setattr(extraction, "PART_IMAGES", PART)
    extract(run, shard, extractor, progress=lambda done, _: told.append(done))

    assert embedded < N_IMAGES
    assert embedded - whole <= 2 * PART
    assert told[0] == whole > 0
    ids = [image.image_id for image in shard.images]
    assert not open_index(store, extractor.fingerprint).missing(ids).any()
    elsewhere = replace(run, store=holding({image.key: store.get(image.key) for image in shard.images}))
    extract(elsewhere, shard, extractor)
    expected = read_vectors(elsewhere.store, extractor.fingerprint, ids)
    assert np.array_equal(read_vectors(store, extractor.fingerprint, ids), expected)
