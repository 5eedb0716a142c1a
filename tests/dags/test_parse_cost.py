from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.dags.dag_files import REPOSITORY

# boto3 is left out: Airflow itself loads it for an asset whose URI begins with s3://.
HEAVY = {
    "PIL",
    "great_expectations",
    "imblearn",
    "keras",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "tensorflow",
}
READ_BY_EVERY_PROCESS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in ("dags", "plugins")
    for path in (REPOSITORY / folder).glob("[!_]*.py")
)
PROGRAM = """
import json, runpy, sys
import airflow.sdk
names = runpy.run_path(sys.argv[1])
dags = {name: it for name, it in names.items() if isinstance(it, airflow.sdk.DAG)}
loaded = sorted({module.partition(".")[0] for module in sys.modules})
serialized = {}
if dags:
    from airflow.serialization.serialized_objects import DagSerialization
    serialized = {name: DagSerialization.to_dict(dag) for name, dag in dags.items()}
print(json.dumps({"loaded": loaded, "dags": serialized}))
"""


def read_alone(file: str, hash_seed: int = 0) -> dict:
    """What a fresh interpreter has loaded after it executed a file, and the Dags in it as Airflow stores them."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(REPOSITORY / file)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("file", READ_BY_EVERY_PROCESS)
def test_reading_a_file_that_every_process_reads_loads_no_heavy_library(file: str):
    loaded = set(read_alone(file)["loaded"])

    assert "airflow" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("kind", ["retrain", "rollback"])
def test_two_processes_read_the_same_dag(kind: str):
    # Whatever differs from one parse to the next, a moving start date or the order of a set, makes a new Dag version.
    first, second = (read_alone(f"dags/{kind}.py", hash_seed=seed) for seed in (1, 2))

    assert first["dags"].keys() == {f"{kind}_fashion_mnist"}
    assert first["dags"] == second["dags"]


def test_the_recorded_parse_time_of_each_dag_file_is_under_a_second():
    # Recorded by `python -m benchmarks.dag_parse`: a clock in a test would fail on a busy machine.
    recorded = json.loads((REPOSITORY / "benchmarks/results/dag_parse.json").read_text(encoding="utf-8"))

    seconds = recorded["seconds_beyond_airflow_sdk"]
    assert seconds.keys() == {file for file in READ_BY_EVERY_PROCESS if file.startswith("dags/")}
    assert max(seconds.values()) < 1.0
