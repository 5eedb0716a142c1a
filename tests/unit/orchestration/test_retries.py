from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from include.orchestration.retries import RETRY_POLICY, retry_arguments
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

EXAMPLES = [
    ConfigurationError("a.yaml, key b", "missing", "Add 'b'"),
    DataContractError("s3://lake/incoming", ["too few rows"]),
    InsufficientDataError("SMOTE", {"daisy": 1}, 2),
    TrainingDivergedError("none · linear", 3, 0),
    ArtifactIntegrityError("s3://lake/a", "sha256 1", "sha256 2"),
    StorageUnavailableError("get s3://lake/a", "timeout"),
    PointerMovedError("s3://lake/champion.json"),
    GoldenCheckError("TensorFlow on gpu NVIDIA H100", 1.0, 1e-3),
]


def action(error: BaseException) -> RetryAction:
    return RETRY_POLICY.evaluate(error, try_number=1, max_tries=3).action


def leaves(error: type[Exception]) -> set[type[Exception]]:
    below = error.__subclasses__()
    return {leaf for child in below for leaf in leaves(child)} if below else {error}


def test_every_error_of_the_project_has_an_example_here():
    assert {type(error) for error in EXAMPLES} == leaves(RetrainingError)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_says_by_its_type_whether_it_is_tried_again(error):
    expected = {PermanentError: RetryAction.FAIL, TransientError: RetryAction.RETRY}

    assert [action(error)] == [expected[base] for base in expected if isinstance(error, base)]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_that_came_from_another_process_is_treated_alike(error):
    assert action(pickle.loads(pickle.dumps(error))) is action(error)


@pytest.mark.parametrize("error", [ValueError("?"), MemoryError(), KeyError("k"), TimeoutError()])
def test_an_error_that_nobody_foresaw_is_left_to_the_count_of_retries(error):
    assert action(error) is RetryAction.DEFAULT


def test_a_retry_keeps_the_delay_that_doubles_and_names_its_reason():
    decision = RETRY_POLICY.evaluate(PointerMovedError("s3://lake/a"), try_number=1, max_tries=3)

    assert (decision.retry_delay, decision.reason) == (None, "It may heal by itself.")


def test_a_policy_survives_the_serialization_of_a_dag():
    again = type(RETRY_POLICY).deserialize(RETRY_POLICY.serialize())

    assert [again.evaluate(error, 1, 3).action for error in EXAMPLES] == [action(error) for error in EXAMPLES]


def test_the_first_delay_is_the_deployments(monkeypatch):
    monkeypatch.setenv("RETRAIN_RETRY_DELAY_SECONDS", "1.5")

    assert retry_arguments() == {
        "retries": 3,
        "retry_policy": RETRY_POLICY,
        "retry_delay": timedelta(seconds=1.5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
    }
