"""A version as one manifest describes it: read once, so that no file is compared with a manifest that came later."""

from __future__ import annotations

from dataclasses import dataclass

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.registry import MODEL, THRESHOLDS
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import Manifest, get_verified, read_manifest


@dataclass(frozen=True)
class VerifiedVersion:
    """A version whose manifest is the one that was asked for.

    Attributes:
        store: Where it lies.
        classifier: Whose it is.
        name: Its name.
        manifest: Its files and their digests.
    """

    store: ObjectStore
    classifier: str
    name: str
    manifest: Manifest

    @property
    def model_digests(self) -> tuple[str | None, ...]:
        """Digests of what decides its predictions: equal for versions that are one model, byte for byte."""
        return tuple(self.manifest.files.get(name) for name in (MODEL, THRESHOLDS))

    def uri(self, file: str) -> str:
        """Returns the URI of one of its files."""
        return uri_of(self.store, self._key(file))

    def read(self, file: str) -> bytes:
        """Returns one of its files.

        Raises:
            ArtifactIntegrityError: If the manifest does not list it, or it is missing or another.
        """
        expected = self.manifest.files.get(file)
        if expected is None:
            raise ArtifactIntegrityError(self.uri(file), "a file that the manifest lists", "an unlisted name")
        return get_verified(self.store, self._key(file), expected)

    def evaluation(self, what: str) -> str:
        """Returns the prefix of what was found out about it; other content under the same name has another one."""
        return layout.evaluation(self.classifier, f"{self.name}-{self.manifest.digest[:12]}", what)

    def _key(self, file: str) -> str:
        return f"{layout.version(self.classifier, self.name)}{file}"


def verify(run: Run, name: str, *, expected_digest: str | None = None) -> VerifiedVersion:
    """Returns a version after comparing its manifest with a digest; its files are compared when they are read.

    Args:
        run: Where everything is.
        name: Of the version.
        expected_digest: Content digest that it must have; None to take its manifest's word.

    Raises:
        ArtifactIntegrityError: If there is no such version, or it is another.
    """
    prefix = layout.version(run.classifier, name)
    manifest = read_manifest(run.store, prefix)
    if expected_digest not in (None, manifest.digest):
        raise ArtifactIntegrityError(
            uri_of(run.store, prefix), f"content {expected_digest}", f"content {manifest.digest}"
        )
    return VerifiedVersion(run.store, run.classifier, name, manifest)
