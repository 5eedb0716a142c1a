"""The assets that Dags emit. Declared once: two assets with one URI and different names would disable each other."""

from __future__ import annotations

from airflow.sdk import Asset

from include.orchestration.settings import read_settings
from include.retraining.storage import layout


def champion_asset(classifier: str) -> Asset:
    """Returns the asset that changes when a classifier's champion does."""
    return Asset(name=f"champion_{classifier}", uri=f"s3://{read_settings().bucket}/{layout.champion(classifier)}")
