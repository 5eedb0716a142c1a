"""`models diff`: what differs between two versions, from what each keeps of itself and what was decided about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.retraining.artifacts import PromotionDecision
from include.retraining.command_line.output import print_json, print_table
from include.retraining.command_line.standing import read_standings
from include.retraining.command_line.version_argument import published_version
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.registry import RECIPE, Version, read_version
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import read_published

DIGEST_SHOWN = 12
METRICS = ("macro_recall", "macro_f1", "geometric_mean", "geometric_mean_macro", "minimum_recall", "accuracy", "ece")


@dataclass(frozen=True)
class _Side:
    """What is compared of one version, each part as values by key."""

    name: str
    recipe: Mapping[str, object]
    lineage: Mapping[str, object]
    files: Mapping[str, object]
    validation: Mapping[str, object]
    test: Mapping[str, object]
    test_digest: str


@dataclass(frozen=True)
class Differing:
    """A key whose values are not the same; None where one side has none.

    Attributes:
        key: A recipe's keys are joined by dots.
        first: Value of the first version.
        second: Value of the second version.
    """

    key: str
    first: object
    second: object


@dataclass(frozen=True)
class Diff:
    """What differs between two versions; what is the same is left out.

    Attributes:
        first: Name of the first version.
        second: Name of the second version.
        recipe: Keys of the recipes.
        lineage: What they were made from.
        files: sha256 by file name.
        validation: Metrics of the candidates on their validation rows.
        test: Metrics on the test rows, from the newest decision about each.
        same_test_rows: Whether these decisions are about the same test rows; None where one of them is missing.
    """

    first: str
    second: str
    recipe: tuple[Differing, ...]
    lineage: tuple[Differing, ...]
    files: tuple[Differing, ...]
    validation: tuple[Differing, ...]
    test: tuple[Differing, ...]
    same_test_rows: bool | None


def diff(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints what differs between two versions."""
    names = [published_version(store, config.name, name) for name in (arguments.first, arguments.second)]
    standings = read_standings(store, config.name)
    first, second = (
        _side(store, config.name, read_version(store, config.name, it), standings.decision(it)) for it in names
    )
    found = _compare(first, second)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    return 0


def _compare(first: _Side, second: _Side) -> Diff:
    is_known = bool(first.test_digest and second.test_digest)
    return Diff(
        first=first.name,
        second=second.name,
        recipe=differing(first.recipe, second.recipe),
        lineage=differing(first.lineage, second.lineage),
        files=differing(first.files, second.files),
        validation=differing(first.validation, second.validation),
        test=differing(first.test, second.test),
        same_test_rows=first.test_digest == second.test_digest if is_known else None,
    )


def differing(first: Mapping[str, object], second: Mapping[str, object]) -> tuple[Differing, ...]:
    """Returns the keys whose values differ, in the order of the first, then of the second."""
    keys = dict.fromkeys([*first, *second])
    return tuple(Differing(key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key))


def _side(store: ObjectStore, classifier: str, version: Version, decision: PromotionDecision | None) -> _Side:
    validation = version.candidate.validation
    return _Side(
        name=version.name,
        recipe=_recipe(store, version, classifier),
        lineage=flat(vars(version.lineage)),
        files=version.manifest.files,
        validation={
            "candidate": version.candidate.name,
            **{name: getattr(validation, name) for name in METRICS},
            **_recalls(validation.recall),
        },
        test={} if decision is None else {**decision.metrics, **_recalls(decision.recall)},
        test_digest="" if decision is None else decision.test_digest,
    )


def _recipe(store: ObjectStore, version: Version, classifier: str) -> dict[str, object]:
    if RECIPE not in version.manifest.files:
        return {}
    prefix = layout.version(classifier, version.name)
    try:
        return flat(json.loads(read_published(store, prefix, RECIPE)))
    except ValueError as error:
        raise ArtifactIntegrityError(f"{version.uri}{RECIPE}", "a recipe as JSON", "something else") from error


def _recalls(recall: Mapping[str, float | None]) -> dict[str, object]:
    return {f"recall:{label}": value for label, value in recall.items()}


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Returns a nested document as values by dotted keys; members of lists are numbered from 1.

    Example:
        >>> flat({"training": {"epochs": 40}, "gates": [{"gate": "floor"}]})
        {'training.epochs': 40, 'gates.1.gate': 'floor'}
    """
    found: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, list | tuple):
            value = {str(number): item for number, item in enumerate(value, start=1)}
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value or None if isinstance(value, Mapping) else value
    return found


def _print(found: Diff) -> None:
    print(f"first   {found.first}\nsecond  {found.second}")
    _print_part("Recipe", found.recipe)
    _print_part("Lineage", found.lineage)
    _print_part("Files, sha256 begins with", found.files)
    _print_part("Validation", found.validation)
    _print_part("Test rows, from the newest decision about each", found.test)
    if found.same_test_rows is False:
        print("The decisions are about different test rows: their metrics cannot be compared.")


def _print_part(title: str, parts: Sequence[Differing]) -> None:
    if parts:
        rows = [(it.key, _shown(it.key, it.first), _shown(it.key, it.second)) for it in parts]
        print_table(title, ("what", "first", "second"), rows)
    else:
        print(f"\n{title}: no difference")


def _shown(key: str, value: object) -> object:
    is_digest = isinstance(value, str) and (len(value) == 64 or key.endswith(("_digest", "_fingerprint")))
    return str(value)[:DIGEST_SHOWN] or None if is_digest else value
