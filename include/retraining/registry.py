"""The model registry on the object store alone: immutable versions, and one pointer to the champion.

A version holds its weights twice, as a Keras file and in a SavedModel: some 15 MB more for EfficientNet-Lite0, so that
either is read by its own library alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from include.retraining.artifacts import CandidateRecord, ChampionPointer, Lineage, Provenance
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.pointers import read_pointer
from include.retraining.storage.publishing import (
    MANIFEST,
    Manifest,
    create,
    manifest_of,
    problems_of,
    publish_once,
    read_manifest,
    read_manifest_if_any,
    read_published,
)
from include.retraining.storage.records import from_json, to_json

MODEL = "model.keras"
SAVED_MODEL = "saved_model/"  # prefix of the files of a SavedModel
LABELS = "labels.json"
THRESHOLDS = "thresholds.json"  # by label; only where the candidate decides by thresholds
GOLDEN = "golden.npz"  # image files, and the probabilities that they must give
RECIPE = "classifier.json"
LINEAGE = "lineage.json"
CANDIDATE = "candidate.json"
PROVENANCE = "provenance.json"  # listed in the manifest, and no part of the name

Described = TypeVar("Described")

NAME = re.compile(r"[0-9]{8}T[0-9]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Version:
    """A published model version.

    Attributes:
        name: Its name; later data windows sort later.
        uri: Its prefix.
        manifest: Its files and their digests.
        lineage: What it was made from.
        candidate: The winning candidate, with its validation metrics.
        provenance: The first run that made it; None in versions from before that was kept.
    """

    name: str
    uri: str
    manifest: Manifest
    lineage: Lineage
    candidate: CandidateRecord
    provenance: Provenance | None = None


def version_name(lineage: Lineage, files: Mapping[str, str]) -> str:
    """Returns the name of a version: the end of its data window, then the digest of its files without provenance."""
    return f"{lineage.window_end:%Y%m%dT%H%M}-{_digest_in_name(files)}"


def is_version_name(name: str) -> bool:
    """Tells whether a name is one that `version_name` may give: neither a path nor part of one."""
    return NAME.fullmatch(name) is not None


def require_version_name(name: str) -> None:
    """Refuses what somebody typed for a version's name and is none.

    Raises:
        ConfigurationError: If it is not of the form that every version's name has.
    """
    if not is_version_name(name):
        raise ConfigurationError(
            "name of a version",
            f"expected one such as 20260103T0200-0123456789ab, got {name!r:.100}",
            "`python -m include.retraining models list` shows those that there are",
        )


def publish_version(
    store: ObjectStore, classifier: str, name: str, files: Mapping[str, bytes], provenance: Provenance
) -> Manifest:
    """Publishes a version, each object written once and the manifest last.

    The first run that gets there is its provenance. A repeat with the same files, by whatever run, writes nothing.

    Args:
        store: Where to.
        classifier: Whose version.
        name: What `version_name` says for these files.
        files: Bytes by name, without provenance.
        provenance: The run that asks.

    Raises:
        ArtifactIntegrityError: If other content is there under this name.
    """
    prefix = layout.version(classifier, name)
    existing = read_manifest_if_any(store, prefix)
    if existing is None:
        first = _first_provenance(store, prefix, provenance)
        return publish_once(store, prefix, {**files, PROVENANCE: first})
    wanted = manifest_of(files)
    if _without_provenance(existing.files) != wanted.files:
        raise ArtifactIntegrityError(uri_of(store, prefix), f"content {wanted.digest}", f"content {existing.digest}")
    return existing


def version_names(store: ObjectStore, classifier: str) -> list[str]:
    """Returns the names of all published versions, oldest data window first; damaged ones are among them."""
    return [name for name, has_manifest in _folders(store, classifier).items() if has_manifest]


def unfinished_versions(store: ObjectStore, classifier: str) -> list[str]:
    """Returns the folders without a manifest: uploads that are going on, or were killed, or versions that lost it."""
    return [name for name, has_manifest in _folders(store, classifier).items() if not has_manifest]


def read_version(store: ObjectStore, classifier: str, name: str) -> Version:
    """Returns what is known of a version.

    Raises:
        ArtifactIntegrityError: If there is no such version, or its description is not what was published.
    """
    prefix = layout.version(classifier, name)
    manifest = read_manifest(store, prefix)
    return Version(
        name=name,
        uri=uri_of(store, prefix),
        manifest=manifest,
        lineage=_description(store, prefix, LINEAGE, Lineage),
        candidate=_description(store, prefix, CANDIDATE, CandidateRecord),
        provenance=_description(store, prefix, PROVENANCE, Provenance) if PROVENANCE in manifest.files else None,
    )


def version_problems(store: ObjectStore, classifier: str, name: str) -> list[str]:
    """Compares a version's every file with its manifest, and the manifest with the name, which is made of the content.

    Returns:
        One sentence a problem, each beginning with a URI; empty where the version is what was published.
    """
    prefix = layout.version(classifier, name)
    problems = problems_of(store, prefix)
    manifest = _manifest_or_none(store, prefix)
    if manifest is not None and not name.endswith(f"-{_digest_in_name(manifest.files)}"):
        problems.append(
            f"{uri_of(store, f'{prefix}{MANIFEST}')}: expected the content that the version is named after, "
            f"got content {_digest_in_name(manifest.files)}: files and manifest were replaced together."
        )
    return problems


def champion(store: ObjectStore, classifier: str) -> tuple[ChampionPointer | None, str | None]:
    """Returns the champion and the tag to move its pointer with; both None where nothing was ever promoted.

    Raises:
        ArtifactIntegrityError: If the pointer cannot be read, or names what is no version's name.
    """
    key = layout.champion(classifier)
    pointer, etag = read_pointer(store, key, ChampionPointer)
    if pointer is not None and not is_version_name(pointer.version):
        raise ArtifactIntegrityError(uri_of(store, key), "the name of a version", f"{pointer.version!r:.100}")
    return pointer, etag


def champion_problems(store: ObjectStore, classifier: str) -> list[str]:
    """Checks that the champion's every file is there and is what was published.

    Returns:
        One sentence a problem; empty where the champion is whole.
    """
    where = uri_of(store, layout.champion(classifier))
    try:
        pointer, _ = champion(store, classifier)
    except ArtifactIntegrityError as error:
        return [str(error)]
    if pointer is None:
        return [f"{where}: nothing was promoted yet."]
    prefix = layout.version(classifier, pointer.version)
    manifest_uri = uri_of(store, f"{prefix}{MANIFEST}")
    if not store.exists(f"{prefix}{MANIFEST}"):
        return [f"{where}: names {pointer.version}, and there is no {manifest_uri}."]
    problems = problems_of(store, prefix)
    if pointer.uri != uri_of(store, prefix):
        problems.append(f"{where}: expected the URI {uri_of(store, prefix)} of its version, got {pointer.uri!r:.200}.")
    manifest = _manifest_or_none(store, prefix)
    if manifest is not None and manifest.digest != pointer.digest:
        problems.append(f"{manifest_uri}: expected content {pointer.digest} as {where} says, got {manifest.digest}.")
    return problems


def _first_provenance(store: ObjectStore, prefix: str, provenance: Provenance) -> bytes:
    """Returns the provenance of whoever was first, which is written if nobody was."""
    key = f"{prefix}{PROVENANCE}"
    first = create(store, key, to_json(provenance))
    from_json(Provenance, first, uri_of(store, key))
    return first


def _description(store: ObjectStore, prefix: str, name: str, kind: type[Described]) -> Described:
    return from_json(kind, read_published(store, prefix, name), uri_of(store, f"{prefix}{name}"))


def _manifest_or_none(store: ObjectStore, prefix: str) -> Manifest | None:
    """Returns a manifest, or None where there is none, or none that can be read: what is wrong is said elsewhere."""
    try:
        return read_manifest_if_any(store, prefix)
    except ArtifactIntegrityError:
        return None


def _folders(store: ObjectStore, classifier: str) -> dict[str, bool]:
    """Returns the folders among the versions, in order, and whether a manifest is in them."""
    prefix = layout.versions(classifier)
    found: dict[str, bool] = {}
    for stored in store.list(prefix):
        name, slash, file = stored.key.removeprefix(prefix).partition("/")
        if slash:
            found[name] = found.get(name, False) or file == MANIFEST
    return dict(sorted(found.items()))


def _digest_in_name(files: Mapping[str, str]) -> str:
    return Manifest(_without_provenance(files)).digest[:12]


def _without_provenance(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name != PROVENANCE}
