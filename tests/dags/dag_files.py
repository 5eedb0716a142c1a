"""The Dag files as Airflow's Dag processor reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
DAGS = REPOSITORY / "dags"


def read_dags() -> Any:
    """Reads the folder `dags` in the present environment; returns Airflow's `DagBag`."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(DAGS)
