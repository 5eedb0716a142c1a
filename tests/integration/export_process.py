"""Exports a version in a process of its own, and leaves the version's files in a folder of the version's name."""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from include.retraining.storage.base import key_of
from tests.unit.retraining.training.exported import THRESHOLDS, exported


def main(folder: str, n_functions: str) -> None:
    """Exports after so many other functions were made, which TensorFlow counts."""
    for _ in range(int(n_functions)):
        tf.function(lambda value: value + 1).get_concrete_function(tf.constant(1))
    made = exported((5,), temperature=0.4, thresholds=THRESHOLDS)
    prefix = key_of(made.run.store, made.version.uri)
    for key, body in made.run.store.objects.items():
        if key.startswith(prefix):
            path = Path(folder) / made.version.name / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
