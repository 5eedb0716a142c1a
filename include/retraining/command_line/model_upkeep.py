"""`models verify` and `models gc`: whether everything is as it was published, and what need not be kept."""

from __future__ import annotations

import argparse

from include.retraining.command_line.caller import the_caller
from include.retraining.command_line.output import print_json, print_table
from include.retraining.command_line.version_argument import published_version
from include.retraining.config import ClassifierConfig
from include.retraining.promotion import retention
from include.retraining.promotion.audit import audit
from include.retraining.registry import version_problems
from include.retraining.storage.base import ObjectStore


def verify(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Verifies a version, or champion, versions and journal; exit status 1 if anything is not what it was."""
    if arguments.version:
        return _verify_version(store, config.name, arguments.version, as_json=arguments.json)
    found = audit(store, config.name)
    if arguments.json:
        print_json({"classifier": config.name, "whole": not found.problems, **vars(found)})
    elif found.problems:
        print("\n".join(f"{problem.where}: {problem.sentence}" for problem in found.problems))
    else:
        print(f"{config.name} is whole: {found.n_versions} versions, {found.n_entries} entries of the journal.")
    if not arguments.json:
        print("".join(f"note: {note.where}: {note.sentence}\n" for note in found.notes), end="")
    return 1 if found.problems else 0


def _verify_version(store: ObjectStore, classifier: str, named: str, *, as_json: bool) -> int:
    name = published_version(store, classifier, named)
    problems = version_problems(store, classifier, name)
    if as_json:
        print_json({"version": name, "whole": not problems, "problems": problems})
    else:
        print("\n".join(problems) or f"{name} is whole: every file matches its sha256.")
    return 1 if problems else 0


def collect(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints what retention would remove and why it keeps the rest; with `--delete` it removes it."""
    caller = the_caller()
    plan = retention.plan(config, store, now=caller.at)
    retirement = retention.carry_out(config, store, plan, by=caller.name, at=caller.at) if arguments.delete else None
    if arguments.json:
        print_json({"plan": plan, "deleted": arguments.delete, "retirement": retirement})
        return 0
    if plan.keep:
        print_table("Kept", ("version", "because"), [(kept.version, kept.because) for kept in plan.keep])
    goes = [*((name, "no longer needed") for name in plan.remove), *((it, "unfinished") for it in plan.unfinished)]
    if not goes:
        print("\nNothing to remove.")
        return 0
    print_table("Removed" if arguments.delete else "Would be removed", ("version", "why"), goes)
    if not arguments.delete:
        print("With --delete they are removed for good: none of them can be champion again.")
    return 0
