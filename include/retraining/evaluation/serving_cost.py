"""What serving a version takes: its size, and its latency on a CPU along the path that a client's image goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from include.retraining.artifacts import ServingCost
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.evaluation.kept import kept_once
from include.retraining.evaluation.verified import VerifiedVersion, verify
from include.retraining.registry import GOLDEN, SAVED_MODEL
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.records import from_json, to_json
from include.retraining.training import saved_model
from include.retraining.training.golden import from_npz

SERVING = "serving"  # where the digest of test rows is for scores
COST = "cost.json"
WARM_UP = 5
CALLS = 50

Timer = Callable[[], float]


def serving_cost(
    run: Run, version: str, *, expected_digest: str | None = None, timer: Timer = time.perf_counter
) -> ServingCost:
    """Returns what serving a version takes, measured once: a repeated task decides on the same numbers.

    Each call hands one golden image, as a client sends it, to the signature `serve_bytes` of the SavedModel.

    Args:
        run: Where everything is.
        version: Name of the version.
        expected_digest: Content digest that it must have; None to take its manifest's word.
        timer: Seconds since any moment, never less than before.

    Raises:
        ArtifactIntegrityError: If the version is not whole, is not the one expected, or holds no SavedModel.
    """
    verified = verify(run, version, expected_digest=expected_digest)
    prefix = verified.evaluation(SERVING)
    body = kept_once(run.store, prefix, COST, lambda: to_json(_measured(verified, timer)))
    return from_json(ServingCost, body, uri_of(run.store, prefix))


def _measured(version: VerifiedVersion, timer: Timer) -> ServingCost:
    names = [name for name in version.manifest.files if name.startswith(SAVED_MODEL)]
    if not names:
        raise ArtifactIntegrityError(version.uri(SAVED_MODEL), "a SavedModel", "none that the manifest lists")
    files = {name.removeprefix(SAVED_MODEL): version.read(name) for name in names}
    took = _milliseconds(files, from_npz(version.read(GOLDEN)).images, timer)
    return ServingCost(
        size_bytes=_size_bytes(version),
        median_milliseconds=float(np.median(took)),
        slow_milliseconds=float(np.quantile(took, 0.95)),
        calls=len(took),
    )


def _size_bytes(version: VerifiedVersion) -> int:
    """Returns the size of all files that the manifest lists: what a server downloads."""
    prefix = layout.version(version.classifier, version.name)
    sizes = {found.key.removeprefix(prefix): found.size_bytes for found in version.store.list(prefix)}
    missing = [name for name in version.manifest.files if name not in sizes]
    if missing:
        raise ArtifactIntegrityError(version.uri(missing[0]), "a file that the manifest lists", "no object")
    return sum(sizes[name] for name in version.manifest.files)


def _milliseconds(files: dict[str, bytes], images: tuple[bytes, ...], timer: Timer) -> np.ndarray:
    """Returns the time of each call after the warm-up, shape `(CALLS,)`."""
    took = []
    # A gate on latency must not depend on whether the worker that evaluates happens to have a GPU.
    with tf.device("/CPU:0"), saved_model.loaded(files) as serve:
        for call in range(WARM_UP + CALLS):
            image = images[call % len(images)]
            started = timer()
            serve(images=tf.constant([image]))["labels"].numpy()
            took.append(1000 * (timer() - started))
    return np.array(took[WARM_UP:])
