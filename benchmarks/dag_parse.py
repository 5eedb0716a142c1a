"""`python -m benchmarks.dag_parse`: times what each Dag file costs a process that reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.results import REPOSITORY, Benchmark, write_result

RUNS = 9
BENCHMARK = Benchmark(
    name="dag_parse",
    title="Reading a Dag file",
    command="python -m benchmarks.dag_parse",
    method=(
        "A fresh interpreter imports `airflow.sdk`, which every parse needs, and then executes one Dag file; the two "
        f"are timed apart. Of {RUNS} interpreters a file the fastest counts, since whatever else the machine does can "
        "only add."
    ),
    packages=("apache-airflow", "pydantic"),
)
PROGRAM = """
import json, runpy, sys, time
started = time.perf_counter()
import airflow.sdk
imported = time.perf_counter()
runpy.run_path(sys.argv[1])
print(json.dumps([imported - started, time.perf_counter() - imported]))
"""


def main() -> int:
    """Measures and writes the result; returns the exit status."""
    files = [path.relative_to(REPOSITORY).as_posix() for path in sorted((REPOSITORY / "dags").glob("[!_]*.py"))]
    with tempfile.TemporaryDirectory(prefix="retraining-dag-parse-") as home:
        environment = _environment(home)
        timed = {file: [_time_once(file, environment) for _ in range(RUNS)] for file in files}
    figures = {
        "runs": RUNS,
        "airflow_sdk_seconds": min(sdk for pairs in timed.values() for sdk, _ in pairs),
        "seconds_beyond_airflow_sdk": {file: min(beyond for _, beyond in pairs) for file, pairs in timed.items()},
    }
    print(f"wrote {write_result(BENCHMARK, figures)}")
    return 0


def _time_once(file: str, environment: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", PROGRAM, str(REPOSITORY / file)]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    sdk_seconds, beyond_seconds = json.loads(ran.stdout.splitlines()[-1])
    return float(sdk_seconds), float(beyond_seconds)


def _environment(home: str) -> dict[str, str]:
    """Returns this environment with an Airflow that nobody configured, and the shipped recipes."""
    foreign = ("RETRAIN_", "AIRFLOW", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"AIRFLOW_HOME": home, "PYTHONPATH": str(REPOSITORY)}


if __name__ == "__main__":
    sys.exit(main())
