"""Shows a broken recipe as an import error in the Airflow UI, while `retrain.py` keeps the Dags of the other ones."""

from __future__ import annotations

from include.orchestration.classifiers import check_classifiers

check_classifiers()
