"""Parses the command line, turns errors into messages: 0 is success, 1 an error or a problem found, 2 wrong usage."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from include.retraining.command_line import embed, intake, models, quarantine, runs
from include.retraining.command_line.environment import classifiers_directory, store_from
from include.retraining.config import load_classifier
from include.retraining.errors import RetrainingError

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    _log_to_standard_error(logging.INFO if parsed.verbose else logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if parsed.verbose else "3")
    try:
        config = load_classifier(parsed.classifier, classifiers_directory())
        status: int = parsed.command(parsed, config, store_from(os.environ))
    except RetrainingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command takes up where it stopped\n")
        return 130
    return status


def _log_to_standard_error(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setLevel(level)  # beside the root's level: some libraries set a lower one of their own
    logging.basicConfig(level=level, handlers=[handler], format="%(levelname)s %(message)s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.retraining",
        description="Retrains image classifiers whose classes are badly imbalanced.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_intake(commands)
    _add_embed(commands)
    _add_quarantine(commands)
    _add_models(commands)
    return parser


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser("run", help="retrain a classifier on what was delivered for some days")
    _common(run)
    run.add_argument(
        "--from", dest="start", type=_day, required=True, metavar="DAY", help="first day, such as 2026-01-05"
    )
    run.add_argument("--to", dest="end", type=_day, metavar="DAY", help="last day, itself included; default: the first")
    run.add_argument("--no-promote", action="store_true", help="decide and report, but leave the champion alone")
    _add_register_baseline(run)
    run.set_defaults(command=runs.run)


def _add_intake(commands: _Commands) -> None:
    alone = commands.add_parser("intake", help="take in what was delivered for a day, and train nothing")
    _common(alone)
    _add_day(alone)
    _add_register_baseline(alone)
    alone.set_defaults(command=intake.intake)


def _add_embed(commands: _Commands) -> None:
    vectors = commands.add_parser("embed", help="make the vectors of what was accepted, and no model")
    _common(vectors)
    vectors.add_argument(
        "day", type=_day, metavar="DAY", help="last day whose accepted images count, such as 2026-01-05"
    )
    vectors.set_defaults(command=embed.embed)


def _add_quarantine(commands: _Commands) -> None:
    listing = commands.add_parser("quarantine", help="which images of a day were refused, and why")
    _common(listing)
    _add_day(listing)
    listing.add_argument("--csv", action="store_true", help="print a file of corrections, to be edited")
    listing.set_defaults(command=quarantine.list_images)

    release = commands.add_parser("release", help="put corrected images from quarantine into a later delivery")
    _common(release)
    _add_day(release)
    release.add_argument("--to", type=_day, required=True, metavar="DAY", help="day of the later delivery")
    release.add_argument(
        "--corrections", required=True, metavar="FILE", help="CSV with the columns image,label[,group][,split][,file]"
    )
    release.add_argument("--dry-run", action="store_true", help="say what would be released, and write nothing")
    release.set_defaults(command=quarantine.release)


def _add_models(commands: _Commands) -> None:
    model = commands.add_parser("models", help="look at the model versions and the champion")
    verbs = model.add_subparsers(required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="all versions, newest data first")
    showing = verbs.add_parser("show", help="one version: where it comes from and how good it is")
    verifying = verbs.add_parser("verify", help="compare every file with its sha256")
    for verb, command in ((listing, models.list_versions), (showing, models.show), (verifying, models.verify)):
        _common(verb)
        verb.set_defaults(command=command)
    for verb in (showing, verifying):
        verb.add_argument("version", nargs="?", help="name of the version; default: the champion")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("classifier", metavar="CLASSIFIER", help="name of a file in include/classifiers, without .yaml")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--verbose", action="store_true", help="log what happens to standard error")


def _add_day(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", type=_day, metavar="DAY", help="day of the delivery, such as 2026-01-05")


def _add_register_baseline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--register-baseline", action="store_true", help="compare later batches from the first day on, not older ones"
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day such as 2026-01-05, got {text!r}") from None
