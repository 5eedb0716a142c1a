from __future__ import annotations

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from include.retraining import lineage
from include.retraining.lineage import code_digest, config_digest, environment_digest, library_versions, seeds
from tests.builders import make_config

LOCK = Path(__file__).parents[3] / "requirements.txt"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small library that stands where this one does; every digest is computed anew."""
    (tmp_path / "lineage.py").write_text("a = 1\n")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "b.py").write_text("b = 2\n")
    monkeypatch.setattr(lineage, "__file__", str(tmp_path / "lineage.py"))
    monkeypatch.setattr(lineage, "code_digest", code_digest.__wrapped__)
    return tmp_path


def test_the_code_s_digest_is_a_sha256_and_stays_while_nothing_changes(library: Path):
    digest = lineage.code_digest()
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert lineage.code_digest() == digest


def test_a_changed_a_new_and_a_moved_source_file_change_the_code_s_digest(library: Path):
    digests = [lineage.code_digest()]
    (library / "part" / "b.py").write_text("b = 3\n")
    digests.append(lineage.code_digest())
    (library / "c.py").write_text("")
    digests.append(lineage.code_digest())
    (library / "c.py").rename(library / "d.py")
    digests.append(lineage.code_digest())
    assert len(set(digests)) == 4


def test_byte_code_does_not_change_the_code_s_digest(library: Path):
    digest = lineage.code_digest()
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "b.cpython-311.pyc").write_bytes(b"\x00")
    assert lineage.code_digest() == digest


def test_the_library_s_own_digest_is_taken_over_all_of_it():
    assert code_digest() == code_digest.__wrapped__()
    assert (Path(lineage.__file__).parent / "errors.py").exists()


def test_a_recipe_s_digest_is_that_of_what_it_says_and_not_of_how_it_is_written():
    heads = {"linear": {"weight_decay": 1.0}, "mlp": {"weight_decay": 2.0}}
    one = make_config(training={"epochs": 20, "heads": heads})
    other = make_config(training={"heads": dict(reversed(heads.items()))})  # 20 epochs are the default
    assert list(one.training.heads) != list(other.training.heads)
    assert config_digest(one) == config_digest(other)


def test_another_threshold_and_another_order_of_labels_are_another_recipe():
    digests = {
        config_digest(make_config()),
        config_digest(make_config(gates=[{"gate": "floor", "metric": "macro_recall", "minimum": 0.6}])),
        config_digest(make_config(labels=("poppy", "daisy", "orchid"))),
    }
    assert len(digests) == 3


def test_the_versions_are_those_that_are_installed():
    versions = library_versions()
    assert versions["keras"] == version("keras")
    assert {"numpy", "scikit-learn", "imbalanced-learn", "tensorflow"} <= versions.keys()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that stands where this one does."""
    monkeypatch.setattr(lineage, "__file__", str(tmp_path / "include" / "retraining" / "lineage.py"))
    monkeypatch.setattr(lineage, "environment_digest", environment_digest.__wrapped__)
    return tmp_path


def test_the_environment_is_the_lock_beside_the_library_byte_for_byte(checkout: Path):
    (checkout / "requirements.txt").write_bytes(b"numpy==2.4.6\n")

    assert lineage.environment_digest() == hashlib.sha256(b"numpy==2.4.6\n").hexdigest()


def test_without_a_lock_the_environment_is_not_known(checkout: Path):
    assert lineage.environment_digest() == ""


def test_this_repository_has_a_lock_where_it_is_looked_for():
    assert environment_digest() == hashlib.sha256(LOCK.read_bytes()).hexdigest()


def test_the_seeds_are_the_recipe_s():
    heads = {"linear": {"weight_decay": 1.0}}
    config = make_config(balancing={"seed": 3}, training={"seed": 5, "heads": heads}, evaluation={"seed": 7})

    assert seeds(config) == {"balancing": 3, "training": 5, "evaluation": 7}
