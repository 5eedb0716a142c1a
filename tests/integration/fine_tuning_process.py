"""Fine-tunes EfficientNet-Lite0 on a few small pictures, in a process that a test can kill; the store is a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from include.retraining.embedding.fine_tuning.choice import choose_extractor
from include.retraining.embedding.fine_tuning.training import fine_tune
from include.retraining.storage.memory import InMemoryStore
from tests.builders import LABELS, make_config, make_run
from tests.datasets import pictured, publish_snapshot, split_rows

FINE_TUNE = {
    "occasion": {"when": "every_runs"},
    "trained_from": "block_15",
    "epochs": 3,
    "batch_size": 10,
    "learning_rate": 0.01,
}


class FolderStore(InMemoryStore):
    """Keeps its objects in a folder too, each write whole or not at all, so that another process finds them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".partial":
                self.objects[path.relative_to(folder).as_posix()] = path.read_bytes()

    def put(self, key, body, *, content_type="application/octet-stream"):
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(body)
        os.replace(partial, path)
        super().put(key, body, content_type=content_type)

    def delete(self, key):
        (self._folder / key).unlink(missing_ok=True)
        super().delete(key)


def main(folder: Path) -> None:
    config = make_config(fine_tune=FINE_TUNE, embedding={"image_size": 32})
    run = make_run(FolderStore(folder), config)
    counts = {split: dict.fromkeys(LABELS, 30) for split in ("train", "validation", "test")}
    snapshot = publish_snapshot(run, pictured(run.store, split_rows(counts)))
    fine_tune(run, choose_extractor(run), snapshot)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
