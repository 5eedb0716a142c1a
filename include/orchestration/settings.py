"""Deployment switches, read from `RETRAIN_*` variables once."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from include.retraining.config import DIRECTORY
from include.retraining.errors import ConfigurationError


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
    """Returns the settings of this process's environment; an empty variable counts as absent.

    Raises:
        ConfigurationError: If a variable does not hold what it should.
    """
    return Settings(
        bucket=os.environ.get("RETRAIN_BUCKET") or "lake",
        classifiers=Path(os.environ.get("RETRAIN_CLASSIFIERS") or DIRECTORY),
        retry_delay=timedelta(seconds=_seconds("RETRAIN_RETRY_DELAY_SECONDS", default="10")),
    )


def _seconds(variable: str, *, default: str) -> float:
    text = os.environ.get(variable) or default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= timedelta(days=1).total_seconds():
        raise ConfigurationError(
            f"environment, {variable}", f"expected seconds, at most a day, got {text!r}", f"Write {variable}={default}"
        )
    return seconds
