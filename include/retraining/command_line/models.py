"""`models`: what is in the registry, and whether it is whole."""

from __future__ import annotations

import argparse

from include.retraining.command_line.output import print_json, print_table
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ConfigurationError
from include.retraining.registry import champion, champion_problems, read_version, version_names
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import problems_of


def list_versions(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints all versions, newest data first, with the champion marked."""
    pointer, _ = champion(store, config.name)
    current = pointer.version if pointer else None
    versions = [read_version(store, config.name, name) for name in reversed(version_names(store, config.name))]
    rows = [
        {
            "version": version.name,
            "champion": version.name == current,
            "window_end": version.lineage.window_end,
            "candidate": version.candidate.name,
            "validation_macro_recall": version.candidate.validation.macro_recall,
            "uri": version.uri,
        }
        for version in versions
    ]
    if arguments.json:
        print_json(rows)
    elif rows:
        print_table(f"Versions of {config.name}", list(rows[0]), [list(row.values()) for row in rows])
    else:
        print(f"No version of {config.name} was published yet.")
    return 0


def show(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints everything known of one version."""
    version = read_version(store, config.name, _version(arguments, config, store))
    if arguments.json:
        print_json(version)
        return 0
    print(f"{version.name}\n{version.uri}\ncontent {version.manifest.digest}")
    print_table("Lineage", ("what", "which"), [(name, value) for name, value in vars(version.lineage).items()])
    validation = version.candidate.validation
    recalls = [(label, validation.n_rows[label], recall) for label, recall in validation.recall.items()]
    print_table(f"{version.candidate.name} on validation", ("label", "images", "recall"), recalls)
    print_table("Files", ("file", "sha256"), list(version.manifest.files.items()))
    return 0


def verify(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Compares every file of a version with its sha256; exit status 1 if one differs or is missing."""
    name = _version(arguments, config, store)
    whole = arguments.version is not None
    problems = problems_of(store, layout.version(config.name, name)) if whole else champion_problems(store, config.name)
    if arguments.json:
        print_json({"version": name, "whole": not problems, "problems": problems})
    else:
        print("\n".join(problems) or f"{name} is whole: every file matches its sha256.")
    return 1 if problems else 0


def _version(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> str:
    if arguments.version:
        return str(arguments.version)
    pointer, _ = champion(store, config.name)
    if pointer is None:
        raise ConfigurationError(
            f"classifier {config.name}", "no version was promoted yet", "Name a version; `models list` shows them"
        )
    return pointer.version
