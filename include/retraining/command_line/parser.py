"""What can be typed: the commands, their arguments and their help. Running them is in `main.py`."""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING

from include.retraining.command_line import (
    embed,
    gates,
    intake,
    model_diff,
    model_moves,
    model_upkeep,
    models,
    quarantine,
    runs,
)

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser; what it parsed holds the function that does it as `command`.

    A command gets the arguments, the classifier's recipe and the store. Where `spans_classifiers` is set it gets the
    names of all classifiers instead of a recipe.
    """
    parser = argparse.ArgumentParser(
        prog="python -m include.retraining",
        description="Retrains image classifiers whose classes are badly imbalanced.",
    )
    parser.set_defaults(spans_classifiers=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_intake(commands)
    _add_embed(commands)
    _add_quarantine(commands)
    _add_gates(commands)
    _add_models(commands)
    return parser


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser("run", help="retrain a classifier on what was delivered for some days")
    _common(run)
    run.add_argument(
        "--from", dest="start", type=_day, required=True, metavar="DAY", help="first day, such as 2026-01-05"
    )
    run.add_argument("--to", dest="end", type=_day, metavar="DAY", help="last day, itself included; default: the first")
    run.add_argument(
        "--no-promote", action="store_true", help="dry run: decide and report, but leave the champion alone"
    )
    run.add_argument(
        "--rebaseline",
        action="store_true",
        help="replace a champion that cannot be scored, on the gates alone that do not compare with it",
    )
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


def _add_gates(commands: _Commands) -> None:
    parent = commands.add_parser("gates", help="what was asked of a challenger, and what was found")
    explaining = parent.add_subparsers(required=True, metavar="VERB").add_parser(
        "explain", help="every gate of a run's decision with its numbers"
    )
    explaining.add_argument("run", metavar="RUN", help="run id, its key in the bucket, or <classifier>/<run>")
    explaining.add_argument("--classifier", metavar="NAME", help="whose run it is; default: it is looked for")
    _common_options(explaining)
    explaining.set_defaults(command=gates.explain, spans_classifiers=True)


def _add_models(commands: _Commands) -> None:
    parent = commands.add_parser("models", help="look at the model versions, move the champion, remove old versions")
    verbs = parent.add_subparsers(required=True, metavar="VERB")
    _add_looking(verbs)
    _add_moving(verbs)
    collecting = verbs.add_parser("gc", help="what retention would remove, and why it keeps the rest")
    _common(collecting)
    collecting.add_argument("--delete", action="store_true", help="remove it, for good")
    collecting.set_defaults(command=model_upkeep.collect)


def _add_looking(verbs: _Commands) -> None:
    listing = verbs.add_parser("list", help="all versions, newest data first")
    showing = verbs.add_parser("show", help="one version: where it comes from, how good it is, what became of it")
    comparing = verbs.add_parser("diff", help="what differs between two versions")
    verifying = verbs.add_parser("verify", help="compare files with their sha256, and the journal with its chain")
    for verb, command in (
        (listing, models.list_versions),
        (showing, models.show),
        (comparing, model_diff.diff),
        (verifying, model_upkeep.verify),
    ):
        _common(verb)
        verb.set_defaults(command=command)
    showing.add_argument("version", nargs="?", help="name of the version; default: the champion")
    verifying.add_argument("version", nargs="?", help="name of a version; default: all of them, champion and journal")
    for name in ("first", "second"):
        comparing.add_argument(name, metavar="VERSION", help="name of a version")


def _add_moving(verbs: _Commands) -> None:
    promoting = verbs.add_parser("promote", help="make a version that its gates approved the champion")
    rolling = verbs.add_parser("rollback", help="make an earlier version the champion again, once it is proven whole")
    for verb, command in ((promoting, model_moves.promote), (rolling, model_moves.roll_back)):
        _common(verb)
        verb.add_argument("--reason", type=_reason, required=True, help="why; the journal keeps it with who and when")
        verb.set_defaults(command=command)
    promoting.add_argument("version", metavar="VERSION", help="name of the version")
    rolling.add_argument(
        "version", nargs="?", help="name of the version; default: the newest former champion that is not withdrawn"
    )


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("classifier", metavar="CLASSIFIER", help="name of a file in include/classifiers, without .yaml")
    _common_options(parser)


def _common_options(parser: argparse.ArgumentParser) -> None:
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


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a few words, got none")
    return text.strip()
