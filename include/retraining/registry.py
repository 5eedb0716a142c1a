"""The model registry on the object store alone: immutable versions, and one pointer to the champion.

A version holds its weights twice, as a Keras file and in a SavedModel: some 15 MB more for EfficientNet-Lite0, so that
either is read by its own library alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from include.retraining.artifacts import CandidateRecord, ChampionPointer, Lineage
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.pointers import read_pointer
from include.retraining.storage.publishing import (
    MANIFEST,
    Manifest,
    problems_of,
    publish,
    read_manifest,
    read_manifest_if_any,
    read_published,
)
from include.retraining.storage.records import from_json

MODEL = "model.keras"
SAVED_MODEL = "saved_model/"  # prefix of the files of a SavedModel
LABELS = "labels.json"
THRESHOLDS = "thresholds.json"  # by label; only where the candidate decides by thresholds
GOLDEN = "golden.npz"  # image files, and the probabilities that they must give
RECIPE = "classifier.json"
LINEAGE = "lineage.json"
CANDIDATE = "candidate.json"


@dataclass(frozen=True)
class Version:
    """A published model version.

    Attributes:
        name: Its name; later data windows sort later.
        uri: Its prefix.
        manifest: Its files and their digests.
        lineage: What it was made from.
        candidate: The winning candidate, with its validation metrics.
    """

    name: str
    uri: str
    manifest: Manifest
    lineage: Lineage
    candidate: CandidateRecord


def version_name(lineage: Lineage, files: Mapping[str, str]) -> str:
    """Returns the name of a version: the end of its data window, then the digest of its files."""
    return f"{lineage.window_end:%Y%m%dT%H%M}-{Manifest(files).digest[:12]}"


def publish_version(store: ObjectStore, classifier: str, name: str, files: Mapping[str, bytes]) -> Manifest:
    """Publishes a version, manifest last; a repeat with the same files writes nothing."""
    return publish(store, layout.version(classifier, name), files)


def version_names(store: ObjectStore, classifier: str) -> list[str]:
    """Returns the names of all published versions, oldest data window first; damaged ones are among them."""
    names = store.list_folders(layout.versions(classifier))
    return [name for name in names if store.exists(f"{layout.version(classifier, name)}{MANIFEST}")]


def read_version(store: ObjectStore, classifier: str, name: str) -> Version:
    """Returns what is known of a version.

    Raises:
        ArtifactIntegrityError: If there is no such version, or its description is not what was published.
    """
    prefix = layout.version(classifier, name)
    return Version(
        name=name,
        uri=uri_of(store, prefix),
        manifest=read_manifest(store, prefix),
        lineage=from_json(Lineage, read_published(store, prefix, LINEAGE), uri_of(store, f"{prefix}{LINEAGE}")),
        candidate=from_json(
            CandidateRecord, read_published(store, prefix, CANDIDATE), uri_of(store, f"{prefix}{CANDIDATE}")
        ),
    )


def champion(store: ObjectStore, classifier: str) -> tuple[ChampionPointer | None, str | None]:
    """Returns the champion and the tag to move its pointer with; both None where nothing was ever promoted."""
    return read_pointer(store, layout.champion(classifier), ChampionPointer)


def champion_problems(store: ObjectStore, classifier: str) -> list[str]:
    """Checks that the champion's every file is there and is what was published.

    Returns:
        One sentence a problem; empty where the champion is whole.
    """
    pointer, _ = champion(store, classifier)
    if pointer is None:
        return [f"{uri_of(store, layout.champion(classifier))}: nothing was promoted yet."]
    prefix = layout.version(classifier, pointer.version)
    problems = problems_of(store, prefix)
    manifest = read_manifest_if_any(store, prefix) if not problems else None
    if manifest is not None and manifest.digest != pointer.digest:
        problems.append(f"{pointer.uri}: expected content {pointer.digest} as the pointer says, got {manifest.digest}.")
    return problems
