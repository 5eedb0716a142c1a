"""Whether a version can go into production by itself: whole, loadable, and saying what it said when it was made.

Light on purpose: whoever only moves pointers does not load TensorFlow.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.registry import (
    GOLDEN,
    LABELS,
    LINEAGE,
    MODEL,
    RECIPE,
    SAVED_MODEL,
    require_version_name,
    version_problems,
)
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import Manifest, get_verified, read_manifest

logger = logging.getLogger(__name__)

NEEDED = (MODEL, LABELS, RECIPE, LINEAGE, GOLDEN)


def require_sound(store: ObjectStore, classifier: str, version: str) -> Manifest:
    """Returns the manifest of a version that is proven fit to serve.

    Every file is compared with its sha256 and all of them with the version's name; the Keras file, in safe mode, and
    the SavedModel are loaded and compared with the version's golden file.

    Raises:
        ArtifactIntegrityError: If any of that fails, or the version has no golden file; some made by old releases have
            none.
    """
    require_version_name(version)
    prefix = layout.version(classifier, version)
    uri = uri_of(store, prefix)
    manifest = read_manifest(store, prefix)
    missing = [name for name in NEEDED if name not in manifest.files]
    if missing:
        raise ArtifactIntegrityError(uri, "a version that can be checked before it serves", f"one without {missing}")
    if problems := version_problems(store, classifier, version):
        raise ArtifactIntegrityError(uri, "a whole version", "; ".join(problems).rstrip("."))
    files = {name: get_verified(store, f"{prefix}{name}", digest) for name, digest in manifest.files.items()}
    difference, tolerance = _difference(files, uri), _tolerance(files, uri)
    if not difference <= tolerance:  # `>` would let NaN pass
        raise ArtifactIntegrityError(
            uri, f"probabilities within {tolerance} of its golden file's", f"a difference of {difference:.3g}"
        )
    logger.info("sound version=%s n_files=%d largest_difference=%.2e", version, len(files), difference)
    return manifest


def _difference(files: Mapping[str, bytes], uri: str) -> float:
    """Returns the largest difference of a probability from the golden ones; NaN if one is none."""
    import numpy as np

    from include.retraining.pictures import decode_image
    from include.retraining.training import keras_file, saved_model
    from include.retraining.training.golden import check_golden, from_npz
    from include.retraining.training.inference import predict_proba

    served = {name.removeprefix(SAVED_MODEL): body for name, body in files.items() if name.startswith(SAVED_MODEL)}
    try:
        golden = from_npz(files[GOLDEN])
        model = keras_file.from_bytes(files[MODEL])
        differences = [
            check_golden(lambda images: predict_proba(model, [decode_image(image) for image in images]), golden),
            check_golden(lambda images: saved_model.predict(served, images).probabilities, golden),
        ]
    # Keras, TensorFlow, zipfile and NumPy each have errors of their own for bytes that they cannot read.
    except Exception as error:
        raise ArtifactIntegrityError(uri, "models that load and answer", f"{type(error).__name__}: {error}") from error
    return float(np.max(differences))


def _tolerance(files: Mapping[str, bytes], uri: str) -> float:
    """Returns what the export was held to; of the recipe these settings alone are read, so that old ones stay good."""
    from include.retraining.training.export import TOLERANCE, TOLERANCE_OF_16_BITS

    try:
        embedding = json.loads(files[RECIPE])["embedding"]
        has_16_bits = embedding.get("precision") == "mixed" or embedding.get("stored_as") == "float16"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactIntegrityError(f"{uri}{RECIPE}", "a recipe", "something else") from error
    return TOLERANCE_OF_16_BITS if has_16_bits else TOLERANCE
