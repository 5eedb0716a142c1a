"""Runs one command and turns errors into messages: 0 is success, 1 an error or a problem found, 2 wrong usage."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from include.retraining.command_line.environment import classifiers_directory, store_from
from include.retraining.command_line.parser import make_parser
from include.retraining.config import classifier_names, load_classifier
from include.retraining.errors import RetrainingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parsed = make_parser().parse_args(arguments)
    _log_to_standard_error(logging.INFO if parsed.verbose else logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if parsed.verbose else "3")
    try:
        return _run(parsed)
    except RetrainingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command takes up where it stopped\n")
        return 130


def _run(parsed: argparse.Namespace) -> int:
    directory = classifiers_directory()
    config = load_classifier(parsed.classifier, directory) if parsed.classifier else None
    store = store_from(os.environ)
    if parsed.spans_classifiers:
        status: int = parsed.command(parsed, store, [config.name] if config else classifier_names(directory))
    else:
        status = parsed.command(parsed, config, store)
    return status


def _log_to_standard_error(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setLevel(level)  # beside the root's level: some libraries set a lower one of their own
    logging.basicConfig(level=level, handlers=[handler], format="%(levelname)s %(message)s")
