"""Makes an earlier version the champion again, where the present one does badly.

One Dag for each YAML file in `include/classifiers`, started by hand alone: the form asks for the reason, and for the
version where it is not to be the newest former champion. The version is verified, loaded and compared with its golden
file before `champion.json` moves. What is left is withdrawn: no later run makes it champion again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration import tasks
from include.orchestration.assets import champion_asset
from include.orchestration.classifiers import valid_classifiers
from include.orchestration.params import rollback_form
from include.orchestration.retries import retry_arguments
from include.orchestration.runs import ROLLBACK_PREFIX
from include.retraining.config import ClassifierConfig


def make_dag(config: ClassifierConfig) -> DAG:
    """Wires the Dag of one classifier."""
    with DAG(
        dag_id=f"{ROLLBACK_PREFIX}{config.name}",
        description=f"Makes an earlier version of {config.name} the champion again.",
        doc_md=__doc__,
        schedule=None,
        max_active_runs=1,
        params=rollback_form(),
        default_args={"owner": "retraining", "execution_timeout": timedelta(hours=1), **retry_arguments()},
        tags=["retraining", "rollback", config.name],
    ) as dag:
        tasks.roll_back.override(outlets=[champion_asset(config.name)])()
    return dag


for _config in valid_classifiers():
    globals()[f"{ROLLBACK_PREFIX}{_config.name}"] = make_dag(_config)
