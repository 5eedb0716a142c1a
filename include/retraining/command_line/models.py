"""`models`: what is in the registry, and whether it is whole."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime

from include.retraining.artifacts import CandidateRecord
from include.retraining.command_line.output import print_json, print_table, shown_mean
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.registry import champion, champion_problems, read_version, version_names
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, problems_of

DIGEST_SHOWN = 12


@dataclass(frozen=True)
class _Row:
    """One version of the list; what cannot be read of a broken one is None, and `problem` says why."""

    version: str
    champion: bool
    window_end: datetime | None
    candidate: str | None
    validation_macro_recall: float | None
    uri: str
    problem: str | None


def list_versions(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints all versions, newest data first, with the champion marked; exit status 1 if one is broken."""
    pointer, _ = champion(store, config.name)
    current = pointer.version if pointer else None
    rows = [_row(store, config.name, name, current) for name in reversed(version_names(store, config.name))]
    problems = [row.problem for row in rows if row.problem]
    if arguments.json:
        print_json(rows)
    elif rows:
        print_table(
            f"Versions of {config.name}, newest data first; * is the champion",
            ("", "version", "data up to", "candidate", "recall"),
            [
                ("*" if row.champion else "", row.version, row.window_end, row.candidate, row.validation_macro_recall)
                for row in rows
            ],
        )
        print("recall: macro recall on validation; moments in UTC")
        print("".join(f"broken: {problem}\n" for problem in problems), end="")
    else:
        print(f"No version of {config.name} was published yet.")
    return 1 if problems else 0


def show(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints everything known of one version."""
    version = read_version(store, config.name, _version(arguments, config, store))
    if arguments.json:
        print_json(version)
        return 0
    print(f"{version.name}\n{version.uri}\ncontent {version.manifest.digest}")
    print_table("Lineage", ("what", "which"), [_lineage(name, value) for name, value in vars(version.lineage).items()])
    print_table("Training", ("what", "which"), _training(version.candidate))
    validation = version.candidate.validation
    recalls = [(label, validation.n_rows[label], recall) for label, recall in validation.recall.items()]
    print_table(f"{version.candidate.name} on validation", ("label", "images", "recall"), recalls)
    files = [(name, digest[:DIGEST_SHOWN]) for name, digest in version.manifest.files.items()]
    print_table("Files", ("file", "sha256 begins with"), files)
    return 0


def verify(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Compares every file of a version with its sha256; exit status 1 if one differs or is missing."""
    name = _version(arguments, config, store)
    is_named = arguments.version is not None
    prefix = layout.version(config.name, name)
    problems = problems_of(store, prefix) if is_named else champion_problems(store, config.name)
    if arguments.json:
        print_json({"version": name, "whole": not problems, "problems": problems})
    else:
        print("\n".join(problems) or f"{name} is whole: every file matches its sha256.")
    return 1 if problems else 0


def _row(store: ObjectStore, classifier: str, name: str, current: str | None) -> _Row:
    try:
        version = read_version(store, classifier, name)
    except ArtifactIntegrityError as error:
        uri = uri_of(store, layout.version(classifier, name))
        return _Row(name, name == current, None, None, None, uri, str(error))
    validation = version.candidate.validation.macro_recall
    return _Row(
        name, name == current, version.lineage.window_end, version.candidate.name, validation, version.uri, None
    )


def _lineage(name: str, value: object) -> tuple[str, object]:
    is_digest = name.endswith(("_digest", "_fingerprint"))
    return name.replace("_", " "), str(value)[:DIGEST_SHOWN] or None if is_digest else value


def _training(candidate: CandidateRecord) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("cross-validation", shown_mean(candidate)),
        *((name.replace("_", " "), f"{value:g}") for name, value in candidate.settings.items()),
        ("parameters", candidate.n_parameters),
        ("train rows", candidate.n_train_rows),
        ("kept epoch", candidate.best_epoch),
        ("temperature", f"{candidate.temperature:.3f}"),
    ]
    if candidate.thresholds is not None:
        rows.append(("thresholds", {label: f"{value:.3g}" for label, value in candidate.thresholds.items()}))
    return rows


def _version(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> str:
    if arguments.version:
        name = str(arguments.version)
        if not store.exists(f"{layout.version(config.name, name)}{MANIFEST}"):
            raise ConfigurationError(
                f"version {name} of {config.name}", "there is none", "`models list` shows those that there are"
            )
        return name
    pointer, _ = champion(store, config.name)
    if pointer is None:
        raise ConfigurationError(
            f"classifier {config.name}", "no version was promoted yet", "Name a version; `models list` shows them"
        )
    return pointer.version
