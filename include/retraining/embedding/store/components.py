"""What each fingerprint is made of, remembered, so that a run can say why no vector of its own is stored yet."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

from include.retraining.embedding.store.parts import has_parts
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many

logger = logging.getLogger(__name__)

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def remember_components(store: ObjectStore, fingerprint: str, components: Mapping[str, str]) -> None:
    """Writes what a fingerprint is made of; a repeat writes nothing."""
    key = layout.fingerprint_components(fingerprint)
    body = json.dumps(dict(components), sort_keys=True, indent=2, ensure_ascii=False).encode()
    try:
        if store.get(key) == body:
            return
    except KeyError:
        pass
    store.put(key, body, content_type="application/json")


def why_missing(store: ObjectStore, fingerprint: str, components: Mapping[str, str]) -> tuple[str, ...]:
    """Says in which components a fingerprint without vectors differs from the nearest one that has some.

    Returns:
        A sentence a component, in the order of their names. None where vectors of this fingerprint are stored; one
        sentence where no extractor has any.
    """
    if has_parts(store, fingerprint):
        return ()
    others = _remembered(store)
    by_distance = sorted(others, key=lambda name: (len(_differing(components, others[name])), name))
    nearest = next((name for name in by_distance if has_parts(store, name)), None)
    if nearest is None:
        return ("No vector of any extractor is stored yet.",)
    return tuple(
        f"{name} is {_shown(components, name)}, the nearest stored fingerprint {nearest} has "
        f"{_shown(others[nearest], name)}."
        for name in _differing(components, others[nearest])
    )


def _remembered(store: ObjectStore) -> dict[str, dict[str, str]]:
    """Returns the components by fingerprint; what cannot be read is left out, with a warning."""
    root = layout.fingerprints()
    remembered = {}
    keys = [found.key for found in store.list(root)]
    for key, body in zip(keys, get_many(store, keys), strict=True):
        components = _parse(body or b"")
        if components is None:
            logger.warning("passed over uri=%s expected=the components of a fingerprint", uri_of(store, key))
        else:
            remembered[key.removeprefix(root).removesuffix(".json")] = components
    return remembered


def _parse(body: bytes) -> dict[str, str] | None:
    try:
        return {str(name): str(value) for name, value in json.loads(body).items()}
    except (ValueError, AttributeError):
        return None


def _differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]


def _shown(components: Mapping[str, str], name: str) -> str:
    if name not in components:
        return "none"
    return _DIGEST.sub(lambda digest: f"{digest.group()[:12]}…", components[name]) or "empty"
