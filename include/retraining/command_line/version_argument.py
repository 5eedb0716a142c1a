"""The version that a command is about: the one that is named, or the champion."""

from __future__ import annotations

from include.retraining.errors import ConfigurationError
from include.retraining.registry import champion, require_version_name
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import MANIFEST


def published_version(store: ObjectStore, classifier: str, named: str | None) -> str:
    """Returns the name of a version that is published.

    Args:
        store: The bucket.
        classifier: Whose version.
        named: What was typed; None or empty means the champion.

    Raises:
        ConfigurationError: If there is no such version, or no champion.
    """
    if not named:
        return _champion(store, classifier)
    require_version_name(named)
    if not store.exists(f"{layout.version(classifier, named)}{MANIFEST}"):
        raise ConfigurationError(
            f"version {named} of {classifier}", "there is none", "`models list` shows those that there are"
        )
    return named


def _champion(store: ObjectStore, classifier: str) -> str:
    pointer, _ = champion(store, classifier)
    if pointer is None:
        raise ConfigurationError(
            f"classifier {classifier}", "no version was promoted yet", "Name a version; `models list` shows them"
        )
    return pointer.version
