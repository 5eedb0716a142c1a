"""What holds for every test: nothing of the developer's shell, and an Airflow of the tests' own that nobody else uses.

Airflow reads its configuration when it is imported for the first time, so this happens when the file is loaded.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from hypothesis import settings

REPOSITORY = Path(__file__).parent.parent
FOREIGN_PREFIXES = ("AIRFLOW", "_AIRFLOW", "AWS_", "RETRAIN_")
HARMLESS = frozenset({"RETRAIN_CACHE_DIR"})  # where downloads lie changes no result
AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="retrain-tests-airflow-")

assert "airflow" not in sys.modules, "Airflow was imported before its configuration was set."
for _name in set(os.environ) - HARMLESS:
    if _name.startswith(FOREIGN_PREFIXES):
        del os.environ[_name]
os.environ.update(
    {
        "AIRFLOW_HOME": AIRFLOW_HOME.name,
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks name servers
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME.name}/airflow.db",
        "SCARF_ANALYTICS": "false",
    }
)
# The same examples everywhere and every time, whatever else the machine is doing.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("repeatable")


def pytest_unconfigure() -> None:
    """Removes Airflow's directory."""
    AIRFLOW_HOME.cleanup()
