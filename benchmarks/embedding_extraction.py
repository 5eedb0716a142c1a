"""Times the way from objects in the store to vectors, and its memory: what `benchmarks.embedding` is made of.

Each measurement runs in a fresh process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.memory import peak_mb
from benchmarks.results import REPOSITORY
from include.retraining.artifacts import ExtractorRecord, ImageRef, Window
from include.retraining.command_line.environment import store_from
from include.retraining.config import ClassifierConfig
from include.retraining.dataset.images import image_refs, locality_order, read_images
from include.retraining.dataset.snapshot import IMAGES as SNAPSHOT_TABLE
from include.retraining.embedding.extraction.extraction import SMALL_INPUT, calls_at_once, extract
from include.retraining.embedding.extraction.shards import Shard, keep_shard, plan, recall_shard
from include.retraining.embedding.extractors.devices import share_cores
from include.retraining.embedding.extractors.extractor import Extractor
from include.retraining.embedding.extractors.workers import ready_extractor
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components
from include.retraining.embedding.gathering import gather
from include.retraining.embedding.networks.network import build_network
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.packs import keep_small
from include.retraining.run import Run
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import put_many
from include.retraining.storage.publishing import content_type_of, publish, sha256
from include.retraining.storage.tables import to_parquet

DELIVERED = 12_000
DELIVERED_AT_ONCE = 4000
SIDE = 28
DAY = date(2026, 1, 2)
SIZES = {64: 5000, 96: 5000, 224: 1500}  # images by side of the network's input
STORED = 5000
SHARES = (0.0, 0.01, 0.1, 1.0)  # new images, as a share of the stored ones
RECIPE_IMAGES = 2000
ROUNDS = 3  # a machine's speed wanders; what is compared is measured side by side
SHARD_LENGTHS = (2000, 10_000)  # by 2,000 images all that is kept ahead is full


def main(arguments: Sequence[str] | None = None) -> int:
    """Does the one measurement that `benchmarks.embedding` asks this process for; returns the exit status."""
    asked = _parser().parse_args(arguments)
    return _measure_here(asked.measure, json.loads(asked.options))


def deliver(store: ObjectStore, number: int) -> None:
    """Puts small pictures and their packs, as an intake leaves them."""
    for start in range(0, number, DELIVERED_AT_ONCE):
        bodies = {_key(index): picture(index) for index in range(start, min(number, start + DELIVERED_AT_ONCE))}
        put_many(store, bodies, content_type_of)
        # Taken to the end and thrown away: what matters is that the packs are written.
        deque(keep_small(store, _config(96).name, [DAY] * len(bodies), bodies.values()), maxlen=0)


def measure_throughput(
    size: int, number: int, environment: Mapping[str, str], *, runtime: str = "tensorflow", packs: bool = True
) -> dict[str, Any]:
    """Compares a shard, from objects to stored vectors, with the same network on a batch that lies ready in memory.

    Args:
        size: Side of the network's input in pixels.
        number: Images.
        environment: Names the store, which holds the pictures.
        runtime: As the recipe names it.
        packs: Whether images are read out of packs, or one by one.

    Returns:
        Images a second of the network alone and of the shard, medians over `ROUNDS`; and the median ratio, each of a
        shard over the mean of the network alone right before and right after it. Building the network is in none.
    """
    options = {"size": size, "number": number, "runtime": runtime}
    bare = [_measure("bare", environment, **options)["images_per_second"]]
    shards = []
    for index in range(ROUNDS):
        version = f"throughput {runtime} {packs} {index}"
        shards.append(_measure("throughput", environment, **options, packs=packs, version=version)["images_per_second"])
        bare.append(_measure("bare", environment, **options)["images_per_second"])
    ratios = [rate * 2 / (bare[index] + bare[index + 1]) for index, rate in enumerate(shards)]
    return {
        "images": number,
        "images_per_second": {"bare": float(np.median(bare)), "shard": float(np.median(shards))},
        "ratio": float(np.median(ratios)),
    }


def measure_incremental(environment: Mapping[str, str], *, size: int = 96) -> dict[str, Any]:
    """Measures planning, extracting and gathering where a share of the images is new, for each of `SHARES`.

    Args:
        environment: Names the store, which holds the pictures.
        size: Side of the network's input in pixels.
    """
    _measure("extract", environment, size=size, first=0, number=STORED, stored=STORED)
    runs, first = {}, STORED
    for share in SHARES:
        new = round(share * STORED)
        runs[f"{share:g}"] = _measure("extract", environment, size=size, first=first, number=new, stored=STORED)
        first += new
    return runs


def measure_recipe(environment: Mapping[str, str], *, size: int = 96, number: int = RECIPE_IMAGES) -> dict[str, Any]:
    """Compares a shard with the common recipe: `model.predict` on one array of all images, flattened feature maps.

    Args:
        environment: Names the store, which holds the pictures.
        size: Side of the network's input in pixels.
        number: Images.

    Returns:
        Images a second, peak memory and stored bytes an image of both, and how many times better the shard is.
    """
    here = _measure_shard(environment, size, number, "recipe")
    recipe = _measure("predict", environment, size=size, number=number)
    return {
        "images": number,
        "shard": here,
        "common_recipe": recipe,
        "speed": here["images_per_second"] / recipe["images_per_second"],
        "memory": recipe["peak_mb"] / here["peak_mb"],
        "bytes": recipe["bytes_per_image"] / here["bytes_per_image"],
    }


def measure_memory(environment: Mapping[str, str], *, size: int = 64) -> dict[str, dict[str, float]]:
    """Measures the peak memory of shards of `SHARD_LENGTHS` images.

    The memory allocator of Linux keeps a reserve for each thread, which fills up in the first thousands of images and
    hides what the shard itself needs. So it is measured as it comes, and with one reserve for all threads.

    Returns:
        MiB of resident memory by the number of images, `default` and with `one_arena`.
    """
    one_arena = {**environment, "MALLOC_ARENA_MAX": "1"}
    return {
        name: {
            str(number): _measure_shard(variables, size, number, f"memory {name} {number}")["peak_mb"]
            for number in SHARD_LENGTHS
        }
        for name, variables in (("default", environment), ("one_arena", one_arena))
    }


def picture(number: int) -> bytes:
    """Returns a small picture as PNG, another for each number."""
    rng = np.random.default_rng(number)
    blobs = Image.fromarray(rng.integers(30, 226, (7, 7), dtype=np.uint8)).resize((SIDE, SIDE))
    grain = rng.integers(-20, 21, (SIDE, SIDE))
    sink = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(blobs) + grain, 0, 255).astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def _measure_shard(environment: Mapping[str, str], size: int, number: int, version: str) -> dict[str, Any]:
    uri = _measure("keep", environment, number=number)["uri"]
    return _measure("shard", environment, size=size, number=number, version=version, uri=uri)


def _measure(name: str, environment: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """Does one measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.embedding_extraction", "--measure", name]
    command += ["--options", json.dumps(options)]
    ran = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY)
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    print(name, options, told, flush=True)
    return told


def _measure_here(name: str, options: Mapping[str, Any]) -> int:
    """Does one measurement in this process and prints it."""
    told = MEASUREMENTS[name](store_from(os.environ), **options)
    told["peak_mb"] = peak_mb()
    print(json.dumps(told))
    return 0


def _bare_alone(store: ObjectStore, *, size: int, number: int, runtime: str) -> dict[str, Any]:
    """Times the network alone, as anybody would call it, in a process that it has for itself."""
    run = _run(store, size, runtime)
    return {"images_per_second": _bare(ready_extractor(store, run.config.embedding, _record(run, "bare")), number)}


def _throughput(
    store: ObjectStore, *, size: int, number: int, runtime: str, packs: bool, version: str
) -> dict[str, Any]:
    """Extracts a shard as a worker does that has nothing else to do; the building of the network left out."""
    run = _run(store, size, runtime)
    shard, record = _shard(run, number), _record(run, version)
    if not packs:
        shard = replace(shard, images=tuple(ImageRef(it.image_id, it.key, it.bytes_sha256) for it in shard.images))
    _require_new(run, record)
    if size <= SMALL_INPUT:
        share_cores(calls_at_once())
    ready_extractor(store, run.config.embedding, record)
    started = time.perf_counter()
    extract(run, shard, record, alone=True)
    return {"images_per_second": number / (time.perf_counter() - started)}


def _bare(network: Extractor, number: int) -> float:
    """Returns the images a second of the network on one batch that lies ready, as often as a shard needs it."""
    rng = np.random.default_rng(0)
    shape = (network.batch_size, network.image_size, network.image_size, 3)
    batch = rng.uniform(0, 255, shape).astype(np.float32)
    network.vectors_of(batch)
    calls = -(-number // network.batch_size)
    started = time.perf_counter()
    for _ in range(calls):
        network.vectors_of(batch)
    return calls * network.batch_size / (time.perf_counter() - started)


def _extract(store: ObjectStore, *, size: int, first: int, number: int, stored: int) -> dict[str, Any]:
    """Plans, extracts and gathers the first images and some others."""
    run = _run(store, size)
    record = _record(run, "incremental")
    others = range(first, first + number) if first else range(0)
    snapshot_uri = _freeze(run, [*range(stored), *others])
    started = time.perf_counter()
    if number:
        ready_extractor(store, run.config.embedding, record)
    build_seconds = time.perf_counter() - started
    moments = [time.perf_counter()]
    planned, shards = plan(run, snapshot_uri, record)
    moments.append(time.perf_counter())
    for shard in shards:
        extract(run, shard, record)
    moments.append(time.perf_counter())
    gather(run, snapshot_uri, record)
    moments.append(time.perf_counter())
    if planned.n_missing != number:
        raise AssertionError(f"Expected {number} missing vectors; the plan has {planned.n_missing}.")
    return {
        "images": number,
        "seconds": moments[-1] - moments[0],
        **dict(zip(("plan_seconds", "extract_seconds", "gather_seconds"), np.diff(moments).tolist(), strict=True)),
        "build_seconds": build_seconds,
    }


def _keep(store: ObjectStore, *, number: int) -> dict[str, Any]:
    """Leaves a shard for another process, as `plan_shards` does."""
    run = _run(store, 96)
    return {"uri": keep_shard(run, number, _shard(run, number))}


def _extract_kept(store: ObjectStore, *, size: int, number: int, version: str, uri: str) -> dict[str, Any]:
    """Extracts one shard, the building of the network left out of the time."""
    run = _run(store, size)
    record = _record(run, version)
    ready_extractor(store, run.config.embedding, record)
    _require_new(run, record)
    started = time.perf_counter()
    extract(run, recall_shard(run, uri), record)
    seconds = time.perf_counter() - started
    stored_bytes = sum(found.size_bytes for found in store.list(layout.embedding_parts(record.fingerprint)))
    return {"images_per_second": number / seconds, "bytes_per_image": stored_bytes / number}


def _predict(store: ObjectStore, *, size: int, number: int) -> dict[str, Any]:
    """Does what the common recipe does, with the same network: all images in an array, flattened feature maps."""
    run = _run(store, size)
    config = run.config.embedding.model_copy(update={"layers": ("head",), "pooling": "flatten"})
    network = build_network(store, config, weights_of(config))
    network.compile()
    images = _shard(run, number).images
    started = time.perf_counter()
    pixels = np.stack([_as_recipes_do(image, size) for image in read_images(store, images)])
    predicting = time.perf_counter()
    features = network.predict(pixels, batch_size=config.batch_size, verbose=0)
    predict_seconds = time.perf_counter() - predicting
    sink = io.BytesIO()
    np.save(sink, features, allow_pickle=False)
    store.put("runs/benchmark/features.npy", sink.getvalue())
    return {
        "images_per_second": number / (time.perf_counter() - started),
        "predict_images_per_second": number / predict_seconds,
        "bytes_per_image": sink.getbuffer().nbytes / number,
    }


def _as_recipes_do(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes as `keras.utils.load_img(target_size=...)` does."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST), np.float32)


MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "bare": _bare_alone,
    "throughput": _throughput,
    "extract": _extract,
    "keep": _keep,
    "shard": _extract_kept,
    "predict": _predict,
}


def _config(size: int, runtime: str = "tensorflow") -> ClassifierConfig:
    return ClassifierConfig.model_validate(
        {
            "name": "benchmark",
            "description": "Small grey pictures.",
            "labels": ["one", "other"],
            "schedule": {"start_date": "2026-01-01"},
            "embedding": {"image_size": size, "runtime": runtime},
            "training": {"heads": {"linear": {"weight_decay": 1.0}}},
            "gates": [{"gate": "floor", "metric": "macro_recall", "minimum": 0.5}],
        }
    )


def _run(store: ObjectStore, size: int, runtime: str = "tensorflow") -> Run:
    start = datetime.combine(DAY, datetime.min.time(), UTC)
    window = Window(start=start, end=start + timedelta(days=1))
    return Run(_config(size, runtime), store, window, run_id="benchmark", started_at=window.end)


def _record(run: Run, version: str) -> ExtractorRecord:
    """Returns the extractor of a recipe, under a fingerprint of its own for each measurement."""
    weights = weights_of(run.config.embedding)
    components = {**fingerprint_components(run.config.embedding, weights), "measurement": version}
    return ExtractorRecord(fingerprint(components), components, weights, origin="a benchmark")


def _require_new(run: Run, record: ExtractorRecord) -> None:
    """Makes sure that a shard has to be computed: what is stored already is fast."""
    if any(run.store.list(layout.embedding_parts(record.fingerprint))):
        raise AssertionError("These vectors are stored already. Measure with an empty store.")


def _shard(run: Run, number: int) -> Shard:
    images = locality_order(image_refs(run.store, run.classifier, _rows(range(number))))
    return Shard(f"shard 1/1 · {number} images", 0, tuple(images))


def _freeze(run: Run, numbers: Sequence[int]) -> str:
    """Publishes a snapshot of pictures; returns its URI."""
    body = to_parquet(_rows(numbers).sort_values("image_id"), SNAPSHOT)
    prefix = layout.snapshot(run.classifier, sha256(body)[:16])
    publish(run.store, prefix, {SNAPSHOT_TABLE: body})
    return uri_of(run.store, prefix)


def _rows(numbers: Sequence[int]) -> pd.DataFrame:
    rows = pd.DataFrame({"key": [_key(number) for number in numbers]})
    digests = [sha256(picture(number)) for number in numbers]
    return rows.assign(
        image_id=digests,
        bytes_sha256=digests,
        perceptual_hash="",
        label="one",
        group="",
        split="train",
        date=DAY,
        attributes="",
    )


def _key(number: int) -> str:
    return f"{layout.incoming('benchmark', DAY)}{number // 1000:03d}/{number:06d}.png"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding_extraction", description=__doc__)
    parser.add_argument("--measure", choices=tuple(MEASUREMENTS), required=True)
    parser.add_argument("--options", default="{}", help="as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
