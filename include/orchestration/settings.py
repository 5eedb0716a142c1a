"""Deployment switches, read from `RETRAIN_*` variables once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from include.retraining.config import DIRECTORY


@dataclass(frozen=True)
class Settings:
    """What differs between deployments.

    Attributes:
        bucket: Bucket of the lake (`RETRAIN_BUCKET`, default `lake`).
        classifiers: Folder of the classifiers' YAML files (`RETRAIN_CLASSIFIERS`, default `include/classifiers`).
        retry_delay: Wait before a task is tried again (`RETRAIN_RETRY_DELAY_SECONDS`, default 10); doubles each time.
    """

    bucket: str
    classifiers: Path
    retry_delay: timedelta


def read_settings() -> Settings:
    """Returns the settings of this process's environment."""
    return Settings(
        bucket=os.environ.get("RETRAIN_BUCKET", "lake"),
        classifiers=Path(os.environ.get("RETRAIN_CLASSIFIERS", DIRECTORY)),
        retry_delay=timedelta(seconds=float(os.environ.get("RETRAIN_RETRY_DELAY_SECONDS", "10"))),
    )
