"""How an artifact gets into the store whole: its files first, a manifest with their digests last.

A prefix without a manifest does not exist for a reader. Pointers, the only objects that change, are in `pointers.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import THREADS, put_many

MANIFEST = "manifest.json"
ATTEMPTS = 8  # to create an object that is neither there nor not there
SHA256 = re.compile("[0-9a-f]{64}")

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}


@dataclass(frozen=True)
class Manifest:
    """The files of a published artifact.

    Attributes:
        files: sha256 (hexadecimal) by file name, sorted by name.
    """

    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Digest of all the content: sha256 over the sorted names and digests."""
        return content_digest(self.files)

    def to_json(self) -> bytes:
        """Returns the manifest's bytes, equal for equal files."""
        return json.dumps({"digest": self.digest, "files": dict(sorted(self.files.items()))}, indent=2).encode()


def sha256(body: bytes) -> str:
    """Returns the sha256 of bytes in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def content_digest(digests: Mapping[str, str]) -> str:
    """Returns one sha256 for a set of named digests, whatever their order."""
    lines = "".join(f"{name}\t{digest}\n" for name, digest in sorted(digests.items()))
    return sha256(lines.encode())


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """Returns the manifest that files would be published with."""
    return Manifest(files={name: sha256(body) for name, body in sorted(files.items())})


def content_type_of(name: str) -> str:
    """Returns the content type that a file's ending calls for."""
    return next((kind for ending, kind in CONTENT_TYPES.items() if name.endswith(ending)), "application/octet-stream")


def publish(store: ObjectStore, prefix: str, files: Mapping[str, bytes]) -> Manifest:
    """Writes files under a prefix, then their manifest; a repeat with the same files writes nothing.

    For what can be computed again: what a killed writer left without a manifest is overwritten.

    Args:
        store: Where to.
        prefix: Ends in a slash; belongs to this artifact alone.
        files: Bytes by name.

    Side effects:
        The files are written in no order, `manifest.json` last.

    Raises:
        ArtifactIntegrityError: If other files are published there already, or a name leaves the prefix.
    """
    manifest = manifest_of(files)
    if not _is_published(store, prefix, manifest):
        put_many(store, {f"{prefix}{name}": body for name, body in files.items()}, content_type_of)
        store.put(f"{prefix}{MANIFEST}", manifest.to_json(), content_type=content_type_of(MANIFEST))
    return manifest


def publish_once(store: ObjectStore, prefix: str, files: Mapping[str, bytes]) -> Manifest:
    """Publishes as `publish` does, and never overwrites an object: each is created by `If-None-Match: *`.

    For what must not change once anybody may have seen it. It costs the server a comparison an object, which thousands
    of small artifacts that can be computed again are not worth.

    Side effects:
        As `publish`. Objects that are there already with the same bytes are left alone.

    Raises:
        ArtifactIntegrityError: If an object, or the manifest, is there with other bytes.
    """
    manifest = manifest_of(files)
    if not _is_published(store, prefix, manifest):
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(lambda name: write_once(store, f"{prefix}{name}", files[name]), files):
                pass
        write_once(store, f"{prefix}{MANIFEST}", manifest.to_json())
    return manifest


def write_once(store: ObjectStore, key: str, body: bytes) -> None:
    """Creates an object, unless it is there with the same bytes.

    Raises:
        ArtifactIntegrityError: If it is there with other bytes.
    """
    found = create(store, key, body)
    if found != body:
        raise ArtifactIntegrityError(uri_of(store, key), f"sha256 {sha256(body)}", f"sha256 {sha256(found)}")


def create(store: ObjectStore, key: str, body: bytes) -> bytes:
    """Creates an object unless it is there; returns what is there then: these bytes, or those of who was first.

    A client that repeats a write whose answer was lost has lost against itself, and finds its own bytes.

    Raises:
        StorageUnavailableError: If the store says again and again that the object is there and that it is not.
    """
    for _ in range(ATTEMPTS):
        if store.replace(key, body, etag=None, content_type=content_type_of(key)):
            return body
        with suppress(KeyError):  # it was removed again, or its writer was not done yet
            return store.get(key)
    raise StorageUnavailableError(
        f"create {uri_of(store, key)}", f"{ATTEMPTS} times it was there and could not be read"
    )


def _is_published(store: ObjectStore, prefix: str, manifest: Manifest) -> bool:
    """Tells whether just this is published; raises where something else is, or where its manifest would be refused."""
    _require_names_below(manifest.files, uri_of(store, prefix))
    existing = read_manifest_if_any(store, prefix)
    if existing is not None and existing != manifest:
        raise ArtifactIntegrityError(uri_of(store, prefix), f"content {manifest.digest}", f"content {existing.digest}")
    return existing is not None


def read_manifest_if_any(store: ObjectStore, prefix: str) -> Manifest | None:
    """Returns the manifest under a prefix, or None where nothing is published."""
    key = f"{prefix}{MANIFEST}"
    try:
        body = store.get(key)
    except KeyError:
        return None
    return parse_manifest(body, uri_of(store, key))


def parse_manifest(body: bytes, uri: str) -> Manifest:
    """Returns the manifest that bytes hold. Its names can be appended to its prefix: none leads out of it.

    Raises:
        ArtifactIntegrityError: If they are no manifest, its files are not those of its digest, or a name leaves the
            prefix.
    """
    try:
        document = json.loads(body)
        files = dict(sorted(document["files"].items()))
        stated = document["digest"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ArtifactIntegrityError(uri, "a manifest", "something else") from error
    _require_names_below(files, uri)
    for name, digest in files.items():
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            raise ArtifactIntegrityError(uri, f"a sha256 of {name}", f"{digest!r:.80}")
    manifest = Manifest(files)
    if stated != manifest.digest:
        raise ArtifactIntegrityError(uri, f"digest {manifest.digest}", f"digest {stated}")
    return manifest


def _require_names_below(names: Iterable[str], uri: str) -> None:
    """Refuses names that a store, or a file system that they are copied to, could take for a place elsewhere."""
    for name in names:
        is_path_down = all(part not in ("", ".", "..") for part in name.split("/"))
        if not is_path_down or "\\" in name or not name.isprintable() or name == MANIFEST:
            raise ArtifactIntegrityError(uri, "names of files below its prefix", f"{name!r:.200}")


def read_manifest(store: ObjectStore, prefix: str) -> Manifest:
    """Returns the manifest under a prefix.

    Raises:
        ArtifactIntegrityError: If nothing is published there.
    """
    manifest = read_manifest_if_any(store, prefix)
    if manifest is None:
        raise ArtifactIntegrityError(uri_of(store, f"{prefix}{MANIFEST}"), "a published artifact", "nothing")
    return manifest


def read_published(store: ObjectStore, prefix: str, name: str) -> bytes:
    """Returns a file of a published artifact after comparing it with the manifest.

    Raises:
        ArtifactIntegrityError: If the file is missing, unlisted or not the one that was published.
    """
    expected = read_manifest(store, prefix).files.get(name)
    uri = uri_of(store, f"{prefix}{name}")
    if expected is None:
        raise ArtifactIntegrityError(uri, "a file that the manifest lists", "an unlisted name")
    return get_verified(store, f"{prefix}{name}", expected)


def get_verified(store: ObjectStore, key: str, expected: str) -> bytes:
    """Returns an object whose sha256 is known.

    Raises:
        ArtifactIntegrityError: If it is missing or differs.
    """
    try:
        body = store.get(key)
    except KeyError as error:
        raise ArtifactIntegrityError(uri_of(store, key), f"sha256 {expected}", "no object") from error
    if sha256(body) != expected:
        raise ArtifactIntegrityError(uri_of(store, key), f"sha256 {expected}", f"sha256 {sha256(body)}")
    return body


def problems_of(store: ObjectStore, prefix: str) -> list[str]:
    """Compares every file of an artifact with its manifest.

    Returns:
        One sentence a problem; empty where the artifact is whole.
    """
    try:
        manifest = read_manifest(store, prefix)
    except ArtifactIntegrityError as error:
        return [str(error)]
    problems = []
    for name, expected in manifest.files.items():
        try:
            get_verified(store, f"{prefix}{name}", expected)
        except ArtifactIntegrityError as error:
            problems.append(str(error))
    return problems
