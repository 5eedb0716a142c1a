from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from include.retraining import registry
from include.retraining.artifacts import Lineage, RollbackOrder
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.promotion.rollback import roll_back
from include.retraining.promotion.soundness import require_sound
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, Manifest, manifest_of, read_manifest, sha256
from include.retraining.storage.records import from_json
from include.retraining.training.golden import Golden, from_npz
from tests.builders import CLASSIFIER, STARTED_AT
from tests.promotions import PROVENANCE, crown, publish_made_version
from tests.stores import holding
from tests.unit.retraining.training.exported import CONFIG, Exported, exported

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


@pytest.fixture(scope="module")
def made() -> Exported:
    return exported(())


@pytest.fixture(scope="module")
def files(made: Exported) -> dict[str, bytes]:
    """The files of a version that is sound, without what says who made it."""
    prefix = layout.version(CLASSIFIER, made.version.name)
    names = [name for name in read_manifest(made.run.store, prefix).files if name != registry.PROVENANCE]
    return {name: made.run.store.get(f"{prefix}{name}") for name in names}


def republished(files: Mapping[str, bytes]) -> tuple[InMemoryStore, str]:
    """Publishes files as a version that is whole and named after them, whatever is in them."""
    store = InMemoryStore()
    lineage = from_json(Lineage, files[registry.LINEAGE], "")
    name = registry.version_name(lineage, manifest_of(files).files)
    registry.publish_version(store, CLASSIFIER, name, files, PROVENANCE)
    return store, name


def with_golden(files: Mapping[str, bytes], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, bytes]:
    golden = from_npz(files[registry.GOLDEN])
    return {**files, registry.GOLDEN: Golden(golden.images, change(golden.probabilities)).to_npz()}


def with_recipe(files: Mapping[str, bytes], **embedding: str) -> dict[str, bytes]:
    recipe = json.loads(files[registry.RECIPE])
    recipe["embedding"] |= embedding
    return {**files, registry.RECIPE: json.dumps(recipe).encode()}


def test_a_version_as_it_was_exported_is_sound(made: Exported):
    manifest = require_sound(made.run.store, CLASSIFIER, made.version.name)

    assert manifest.digest == made.version.digest


def test_a_version_can_be_rolled_back_to_that_is_loaded_for_it(made: Exported):
    store = holding(made.run.store.objects)
    crown(store, made.version)
    crown(store, publish_made_version(store))

    move = roll_back(CONFIG, store, RollbackOrder(None, "recall fell", "manual__1", STARTED_AT, "ada"))

    assert move.resulting == made.version.name
    assert registry.champion_problems(store, CLASSIFIER) == []


def test_a_model_that_says_something_else_than_it_did_is_not_sound(files: dict[str, bytes]):
    store, name = republished(with_golden(files, lambda probabilities: probabilities + np.float32(0.002)))

    with pytest.raises(ArtifactIntegrityError, match=r"within 0\.001 of its golden file's, got a difference of 0\.00"):
        require_sound(store, CLASSIFIER, name)


def test_a_probability_that_is_none_is_not_sound(files: dict[str, bytes]):
    store, name = republished(with_golden(files, lambda probabilities: probabilities * np.float32(np.nan)))

    with pytest.raises(ArtifactIntegrityError, match="got a difference of nan"):
        require_sound(store, CLASSIFIER, name)


@pytest.mark.parametrize("setting", [{"precision": "mixed"}, {"stored_as": "float16"}])
def test_numbers_of_16_bits_are_held_to_what_their_export_was(files: dict[str, bytes], setting: dict[str, str]):
    changed = with_golden(with_recipe(files, **setting), lambda probabilities: probabilities + np.float32(0.01))

    require_sound(*(republished(changed)[0], CLASSIFIER, republished(changed)[1]))


def test_a_recipe_from_before_today_s_sections_is_good_enough(files: dict[str, bytes]):
    recipe = json.loads(files[registry.RECIPE])
    old = {"name": recipe["name"], "embedding": recipe["embedding"], "gates": [{"gate": "of old"}]}
    store, name = republished({**files, registry.RECIPE: json.dumps(old).encode()})

    require_sound(store, CLASSIFIER, name)


@pytest.mark.parametrize("name", [registry.GOLDEN, registry.LABELS, registry.MODEL, registry.RECIPE])
def test_a_version_without_what_it_is_checked_by_is_refused_with_what_is_missing(files: dict[str, bytes], name: str):
    store, version = republished({file: body for file, body in files.items() if file != name})

    with pytest.raises(ArtifactIntegrityError, match="before it serves") as caught:
        require_sound(store, CLASSIFIER, version)

    assert name in str(caught.value)


@pytest.mark.parametrize(
    "name", [registry.MODEL, registry.GOLDEN, f"{registry.SAVED_MODEL}saved_model.pb"], ids=["Keras", "golden", "saved"]
)
def test_bytes_that_do_not_load_are_refused_though_they_are_what_was_published(files: dict[str, bytes], name: str):
    store, version = republished({**files, name: files[name][: len(files[name]) // 2]})

    with pytest.raises(ArtifactIntegrityError, match="expected models that load and answer"):
        require_sound(store, CLASSIFIER, version)


def test_a_saved_model_without_its_variables_is_refused(files: dict[str, bytes]):
    left = {name: body for name, body in files.items() if not name.startswith(f"{registry.SAVED_MODEL}variables/")}
    store, version = republished(left)

    with pytest.raises(ArtifactIntegrityError, match="expected models that load and answer"):
        require_sound(store, CLASSIFIER, version)


def test_a_recipe_that_is_none_is_refused(files: dict[str, bytes]):
    store, version = republished({**files, registry.RECIPE: b"[]"})

    with pytest.raises(ArtifactIntegrityError, match="expected a recipe"):
        require_sound(store, CLASSIFIER, version)


@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_a_file_that_is_not_what_was_published_is_named(made: Exported, damage: str):
    store = holding(made.run.store.objects)
    key = f"{layout.version(CLASSIFIER, made.version.name)}{registry.SAVED_MODEL}saved_model.pb"
    if damage == "deleted":
        store.delete(key)
    else:
        store.put(key, store.get(key)[:-1] + b"\x00")

    with pytest.raises(ArtifactIntegrityError, match="expected a whole version") as caught:
        require_sound(store, CLASSIFIER, made.version.name)

    assert f"s3://memory/{key}" in str(caught.value)


def test_a_manifest_that_was_forged_to_fit_other_files_no_longer_fits_the_name(files: dict[str, bytes]):
    store, version = republished(files)
    prefix = layout.version(CLASSIFIER, version)
    labels = json.dumps(["daisy", "orchid", "poppy"]).encode()
    manifest = read_manifest(store, prefix)
    store.put(f"{prefix}{registry.LABELS}", labels)
    store.put(f"{prefix}{MANIFEST}", Manifest({**manifest.files, registry.LABELS: sha256(labels)}).to_json())

    with pytest.raises(ArtifactIntegrityError, match="expected the content that the version is named after"):
        require_sound(store, CLASSIFIER, version)


@pytest.mark.parametrize("name", ["", "../other", "20260103T0200-aaaaaaaaaaaa/../x", "newest"])
def test_what_is_no_name_of_a_version_is_not_looked_for(name: str):
    with pytest.raises((ArtifactIntegrityError, ConfigurationError)):
        require_sound(InMemoryStore(), CLASSIFIER, name)


def test_whoever_only_moves_pointers_does_not_load_tensorflow():
    program = (
        "import sys; from include.retraining.promotion import promotion, rollback; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'sklearn', 'pandas')))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
