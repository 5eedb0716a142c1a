"""`models promote` and `models rollback`: what moves the champion by hand."""

from __future__ import annotations

import argparse

from include.retraining import steps
from include.retraining.artifacts import Move, RollbackOrder
from include.retraining.command_line.caller import the_caller
from include.retraining.command_line.output import print_json
from include.retraining.config import ClassifierConfig
from include.retraining.storage.base import ObjectStore


def promote(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Makes a version the champion that the gates approved against the present one; prints the move."""
    from include.retraining.promotion.by_hand import promote_by_hand
    from include.retraining.reporting.cards import publish_cards

    caller = the_caller()
    move = promote_by_hand(
        config,
        store,
        arguments.version,
        reason=arguments.reason,
        by=caller.name,
        run_id=caller.run_id("promote"),
        at=caller.at,
    )
    publish_cards(config, store, [name for name in (move.incumbent, move.resulting) if name])
    _print(config.name, move, as_json=arguments.json)
    return 0


def roll_back(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Makes an earlier version the champion again, once it is proven whole; prints the move."""
    caller = the_caller()
    order = RollbackOrder(
        version=arguments.version or None,
        reason=arguments.reason,
        run_id=caller.run_id("rollback"),
        at=caller.at,
        by=caller.name,
    )
    _print(config.name, steps.roll_back(config, store, order), as_json=arguments.json)
    return 0


def _print(classifier: str, move: Move, *, as_json: bool) -> None:
    if as_json:
        print_json(move)
    else:
        print(f"champion of {classifier}: {move.resulting} ({move.kind})\nbefore: {move.incumbent or 'none'}")
