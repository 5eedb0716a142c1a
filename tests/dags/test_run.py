from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.builders import make_config
from tests.dags.dag_files import REPOSITORY
from tests.recipes import write_recipe

CHAMPION = "s3://lake/models/flowers/champion.json"
SECRET = "not/for+anybody's eyes"
CONNECTION = {
    "conn_type": "aws",
    "login": "an-access-key",
    "password": SECRET,
    "extra": {
        "endpoint_url": "http://127.0.0.1:9",  # nothing listens there
        "region_name": "eu-central-1",
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    },
}


@dataclass(frozen=True)
class Trials:
    """What the trial runs left behind.

    Attributes:
        stdout: What they printed; the last line is the result.
        stderr: What they logged.
        home: Airflow's directory: its database, and the logs of its tasks.
    """

    stdout: str
    stderr: str
    home: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """All trial runs; they have an Airflow and a database of their own."""
    home, recipes = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("recipes")
    # Whoever is asked to approve has no time at all: each trial says beforehand what is answered.
    write_recipe(recipes, make_config("flowers", intake={"wait_minutes": 0}, promotion={"approval_hours": 1e-6}))
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_S3_LAKE": json.dumps(CONNECTION),
        "PYTHONPATH": str(REPOSITORY),
        "RETRAIN_CLASSIFIERS": str(recipes),
        "RETRAIN_RETRY_DELAY_SECONDS": "0.01",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.dags.trial_runs"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return Trials(ran.stdout, ran.stderr, home)


@pytest.fixture(scope="module")
def output(ran: Trials) -> str:
    return ran.stdout


@pytest.fixture(scope="module")
def trials(output: str) -> dict[str, Any]:
    return json.loads(output.splitlines()[-1])


def states(trial: dict[str, Any], state: str) -> set[str]:
    return {task.rsplit(" ", 1)[0] for task, found in trial["tasks"].items() if found == state}


def test_each_step_is_handed_what_the_steps_before_it_returned(trials):
    candidates = [candidate.name for candidate in make_config().candidates]
    expected = [
        ["list_batch"],
        ["inspect_images", "listing-0"],
        ["inspect_images", "listing-1"],
        ["validate_batch", ["facts", "facts"], "register_baseline=False"],
        ["quarantine_images", "verdicts"],
        ["accept_batch", "verdicts after quarantine", "register_baseline=False"],
        ["freeze_snapshot", "intake"],
        ["choose_extractor"],
        ["plan_shards", "snapshot", "extractor"],
        ["extract_embeddings", "shard-0", "extractor", "alone=True"],
        ["gather_embeddings", "snapshot", "extractor"],
        ["doubt_labels", "snapshot", "embedding"],
        ["plan_resampling", "snapshot", "embedding"],
        *(["train_candidate", name, "snapshot", "embedding", "resampling"] for name in candidates),
        ["select_challenger", ["candidate"] * len(candidates)],
        ["export_model", "selection", "snapshot", "embedding", "resampling"],
        ["evaluate_challenger", "version", "selection", "snapshot", "embedding"],
        ["decide_promotion", "evaluation", "allowed=True", "rebaseline=False"],
        [
            "promote_challenger",
            "s3://memory/runs/flowers/manual__2026-01-03T02-00-00-00-00/decision.json",
            "rebaseline=False",
        ],
        ["publish_report"],
    ]

    assert sorted(trials["promoted"]["calls"], key=str) == sorted(expected, key=str)


def test_a_run_that_promotes_succeeds_in_every_task_and_changes_the_champion_asset(trials):
    trial = trials["promoted"]

    assert trial["state"] == "success"
    assert set(trial["tasks"].values()) == {"success"}
    assert trial["asset_events"] == [CHAMPION]


def test_a_run_without_a_delivery_is_skipped_with_the_reason_and_still_reported(trials, output):
    trial = trials["nothing delivered"]

    assert trial["state"] == "success"
    assert states(trial, "success") == {"resolve_window", "intake.await_delivery", "publish_report"}
    assert set(trial["tasks"].values()) == {"success", "skipped"}
    assert trial["calls"] == [["list_batch"], ["publish_report"]]
    assert "Nothing was delivered for the days of this run's window." in output


def test_a_refusal_skips_approval_and_promotion_with_its_reasons_and_is_no_failure(trials, output):
    trial = trials["refused"]

    assert trial["state"] == "success"
    assert {"promotion.approve_promotion", "promotion.promote_challenger"} <= states(trial, "skipped")
    assert "Not promoted: macro_recall fell" in output
    assert trial["asset_events"] == []


def test_a_run_whose_images_all_have_vectors_goes_on_without_embedding(trials):
    trial = trials["refused"]

    assert "embedding.extract_embeddings" in states(trial, "skipped")
    assert "balancing.plan_resampling" in states(trial, "success")


def test_an_error_that_a_retry_cannot_heal_fails_at_once_and_the_run_is_reported_as_failed(trials):
    trial = trials["delivery broken"]

    assert states(trial, "failed") == {"intake.validate_batch"}
    assert trial["tries"]["intake.validate_batch"] == 1
    assert states(trial, "success") >= {"intake.list_batch", "publish_report"}
    assert "promotion.promote_challenger" in states(trial, "upstream_failed")
    assert trial["state"] == "failed"


def test_a_delivery_that_is_not_complete_in_time_fails_at_once_with_what_is_missing_and_lists_nothing(trials, output):
    trial = trials["delivery not complete"]

    assert states(trial, "failed") == {"intake.await_delivery"}
    assert trial["tries"]["intake.await_delivery"] == 1
    assert trial["calls"] == [["publish_report"]]
    assert "it holds 1 image and labels.csv" in output
    assert "_READY is missing, which the data owner writes" in output


def test_an_error_that_may_heal_is_tried_again(trials):
    trial = trials["store away"]

    assert trial["tries"]["dataset.freeze_snapshot"] == 3
    assert [call[0] for call in trial["calls"]].count("freeze_snapshot") == 3
    assert trial["state"] == "success"
    assert trial["asset_events"] == [CHAMPION]


def test_a_person_s_approval_is_waited_for_and_journaled_and_then_the_challenger_is_promoted(trials):
    trial = trials["approved by a person"]

    assert (trial["state"], trial["asset_events"]) == ("success", [CHAMPION])
    assert set(trial["tasks"].values()) == {"success"}
    assert trial["answers"] == [[True, "ada"]]


def test_silence_is_journaled_as_a_no_and_nothing_is_promoted(trials):
    trial = trials["approved by nobody"]

    assert (trial["state"], trial["asset_events"]) == ("success", [])
    assert states(trial, "skipped") == {"promotion.promote_challenger"}
    assert "promote_challenger" not in [call[0] for call in trial["calls"]]
    assert trial["answers"] == [[False, ""]]


def test_a_rollback_is_one_task_that_is_told_the_form_and_changes_the_champion_asset(trials):
    trial = trials["rolled back"]

    assert (trial["state"], trial["tasks"]) == ("success", {"roll_back -1": "success"})
    ((name, order),) = trial["calls"]
    assert name == "roll_back"
    assert "version=None, reason='recall fell'" in order
    assert trial["asset_events"] == [CHAMPION]


def test_a_rollback_that_cannot_be_fails_at_once_and_changes_nothing(trials, output):
    trial = trials["rollback refused"]

    assert (trial["state"], trial["tasks"]) == ("failed", {"roll_back -1": "failed"})
    assert trial["tries"]["roll_back"] == 1
    assert "it is the champion already" in output
    assert trial["asset_events"] == []


def test_where_the_lake_cannot_be_reached_the_task_is_tried_again_until_it_fails(trials):
    trial = trials["lake unreachable"]

    assert states(trial, "failed") == {"intake.await_delivery"}
    assert trial["tries"]["intake.await_delivery"] == 4


def test_the_secret_of_the_connection_is_in_no_xcom_no_log_and_nothing_else_that_airflow_keeps(ran, trials):
    # The trial above used it, and failed where it was used.
    raw = SECRET.encode()
    forms = [
        raw,
        base64.b64encode(raw).rstrip(b"="),
        quote(SECRET, safe="").encode(),
        json.dumps(SECRET)[1:-1].encode(),
    ]
    database = ran.home / "airflow.db"

    kept = {"standard output": ran.stdout.encode(), "standard error": ran.stderr.encode()}
    kept |= {str(path.relative_to(ran.home)): path.read_bytes() for path in ran.home.rglob("*") if path.is_file()}

    assert b"verdicts after quarantine" in kept[database.name]  # the XComs are among what is looked at
    assert any(b"127.0.0.1:9" in body for body in kept.values())  # and so is what was said of the lake
    assert [name for name, body in kept.items() if any(form in body for form in forms)] == []
