from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.builders import make_config
from tests.dags.dag_files import REPOSITORY
from tests.recipes import write_recipe

CHAMPION = "s3://lake/models/flowers/champion.json"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the trial runs printed; they have an Airflow and a database of their own."""
    home, recipes = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("recipes")
    write_recipe(recipes, make_config("flowers", intake={"wait_minutes": 0}))
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
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
        ["decide_promotion", "evaluation", "allowed=True"],
        ["promote_challenger", "s3://memory/runs/flowers/manual__2026-01-03T02-00-00-00-00/decision.json"],
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
