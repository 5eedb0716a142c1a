from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

from include.retraining import errors
from include.retraining.errors import (
    ArtifactIntegrityError,
    ConfigurationError,
    DataContractError,
    GoldenCheckError,
    InsufficientDataError,
    PermanentError,
    PointerMovedError,
    RetrainingError,
    StorageUnavailableError,
    TrainingDivergedError,
    TransientError,
)

INCLUDE = Path(errors.__file__).parents[1]

SENTENCES = {
    ConfigurationError("a.yaml, key epochs", "expected a number, got 'many'", "Write a number"): (
        "a.yaml, key epochs: expected a number, got 'many'. Write a number"
    ),
    DataContractError("s3://b/incoming/x/", ["no manifest", "no image"]): (
        "s3://b/incoming/x/ is refused: no manifest; no image. "
        "The data owner must correct the delivery and run the window again."
    ),
    InsufficientDataError("The train split", {"daisy": 1, "poppy": 0}, 2): (
        "The train split needs at least 2 images a class; 'daisy' has 1, 'poppy' has 0. "
        "Deliver more images of these labels, or take the labels out of the classifier's YAML."
    ),
    TrainingDivergedError("smote · mlp", 3, 7): (
        "The loss of 'smote · mlp' was not finite at epoch 3 (seed 7). "
        "Lower training.learning_rate or the head's weight_decay in the classifier's YAML."
    ),
    ArtifactIntegrityError("s3://b/k", "sha256 aa", "no object"): (
        "s3://b/k: expected sha256 aa, got no object. "
        "Restore the object from a backup, or delete what holds it and run the step again."
    ),
    StorageUnavailableError("put s3://b/k", "timed out"): (
        "The object store failed at put s3://b/k: timed out. Check that it is up and reachable; then retry."
    ),
    PointerMovedError("s3://b/champion.json"): (
        "s3://b/champion.json was moved by another writer since it was read. "
        "Nothing was overwritten; the retry reads again."
    ),
    GoldenCheckError("TensorFlow on gpu NVIDIA H100", 0.98765, 1e-3): (
        "TensorFlow on gpu NVIDIA H100 gives wrong vectors for the golden images: they differ by 0.988 of their length "
        "from the expected ones, which is not within 0.001. This worker stored nothing. Free its accelerator's memory "
        "and check its driver, or let another worker retry; where precision is mixed and every worker fails, set "
        "embedding.precision to float32."
    ),
}


def drawn_parents() -> dict[str, str | None]:
    """The parent of each class, as the picture in the module's docstring draws it."""
    parents: dict[str, str | None] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            branch[depth:] = [found[2]]
            parents[found[2]] = branch[depth - 1] if depth else None
    return parents


def all_below(cls: type) -> set[type]:
    return {sub for child in cls.__subclasses__() for sub in {child, *all_below(child)}}


def test_the_tree_that_is_drawn_is_the_tree_of_the_classes():
    classes = {RetrainingError, *all_below(RetrainingError)}
    assert drawn_parents() == {
        cls.__name__: None if cls is RetrainingError else cls.__bases__[0].__name__ for cls in classes
    }


def test_every_leaf_has_a_sentence_here():
    leaves = {cls for cls in all_below(RetrainingError) if not cls.__subclasses__()}
    assert {type(error) for error in SENTENCES} == leaves


@pytest.mark.parametrize("error", SENTENCES, ids=lambda error: type(error).__name__)
def test_a_message_says_what_came_what_was_expected_and_what_to_do(error: RetrainingError):
    assert str(error) == SENTENCES[error]


@pytest.mark.parametrize("error", SENTENCES, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_between_processes(error: RetrainingError):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_wrong_setting_is_a_value_error_too():
    assert issubclass(ConfigurationError, ValueError)


def test_only_a_store_that_is_away_a_lost_race_and_a_broken_worker_are_worth_a_retry():
    assert all_below(TransientError) == {StorageUnavailableError, PointerMovedError, GoldenCheckError}
    assert not all_below(TransientError) & all_below(PermanentError)


def test_leaves_are_raised_and_never_the_classes_between():
    between = {cls.__name__ for cls in {RetrainingError, *all_below(RetrainingError)} if cls.__subclasses__()}
    calls = [
        (path.name, node.lineno)
        for path in INCLUDE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in between
    ]
    assert between == {"RetrainingError", "PermanentError", "TransientError"}
    assert calls == []
