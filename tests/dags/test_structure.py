from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.orchestration.approval import PromotionApproval
from include.orchestration.delivery_sensor import DeliverySensor
from include.orchestration.retries import RETRY_POLICY
from include.retraining import steps
from include.retraining.config import load_classifier
from tests.builders import make_config
from tests.dags.dag_files import DAGS, REPOSITORY, read_dags
from tests.recipes import write_recipe

# As the Dag file reads from top to bottom: each task, and those that wait for it.
EDGES = {
    "resolve_window": {"intake.await_delivery"},
    "intake.await_delivery": {"intake.list_batch"},
    "intake.list_batch": {"intake.inspect_images"},
    "intake.inspect_images": {"intake.validate_batch"},
    "intake.validate_batch": {"intake.quarantine_images"},
    "intake.quarantine_images": {"intake.accept_batch"},
    "intake.accept_batch": {"dataset.freeze_snapshot"},
    "dataset.freeze_snapshot": {
        "embedding.choose_extractor",
        "embedding.plan_shards",
        "embedding.gather_embeddings",
        "embedding.doubt_labels",
        "balancing.plan_resampling",
        "training.train_candidate",
        "training.export_model",
        "evaluation.evaluate_challenger",
    },
    "embedding.choose_extractor": {
        "embedding.plan_shards",
        "embedding.extract_embeddings",
        "embedding.gather_embeddings",
    },
    "embedding.plan_shards": {"embedding.extract_embeddings"},
    "embedding.extract_embeddings": {"embedding.gather_embeddings"},
    "embedding.gather_embeddings": {
        "embedding.doubt_labels",
        "balancing.plan_resampling",
        "training.train_candidate",
        "training.export_model",
        "evaluation.evaluate_challenger",
    },
    "embedding.doubt_labels": {"publish_report"},
    "balancing.plan_resampling": {"training.train_candidate", "training.export_model"},
    "training.train_candidate": {"training.select_challenger"},
    "training.select_challenger": {"training.export_model", "evaluation.evaluate_challenger"},
    "training.export_model": {"evaluation.evaluate_challenger"},
    "evaluation.evaluate_challenger": {"promotion.decide_promotion"},
    "promotion.decide_promotion": {"promotion.approve_promotion", "promotion.promote_challenger"},
    "promotion.approve_promotion": {"promotion.promote_challenger"},
    "promotion.promote_challenger": {"publish_report"},
    "publish_report": set(),
}
STAGES = ["intake", "dataset", "embedding", "balancing", "training", "evaluation", "promotion"]
NOT_STEPS = {"resolve_window", "await_delivery", "approve_promotion"}
AFTER_SHARDS = "embedding.gather_embeddings"
ONLY_WHERE_ASKED_FOR = {"fine_tune_backbone", "reconstruct_images", "train_on_images"}
NOT_IN_THIS_DAG = {"record_approval", "roll_back"}  # the approval calls the one, another Dag the other


@pytest.fixture(scope="module")
def dag(dag_bag: Any) -> Any:
    return dag_bag.dags["retrain_fashion_mnist"]


def test_the_tasks_stand_in_the_order_in_which_the_data_flows(dag):
    assert list(dag.task_ids) == list(EDGES)


def test_each_task_waits_for_exactly_these(dag):
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == EDGES


def test_the_groups_are_the_stages_between_the_window_and_the_report(dag):
    assert list(dag.task_group.children) == ["resolve_window", *STAGES, "publish_report"]


def test_the_tasks_are_the_steps_by_name():
    names = {task_id.rsplit(".", 1)[-1] for task_id in EDGES} - NOT_STEPS

    found = {
        name
        for name, it in vars(steps).items()
        if getattr(it, "__module__", "") == steps.__name__ and not name.startswith("_")
    }
    assert names | ONLY_WHERE_ASKED_FOR | NOT_IN_THIS_DAG == found


def test_only_embedding_asks_for_an_accelerator(dag):
    assert {task.task_id for task in dag.tasks if task.queue == "gpu"} == {"embedding.extract_embeddings"}
    assert {task.task_id for task in dag.tasks if task.pool == "gpu"} == {"embedding.extract_embeddings"}
    assert {task.queue for task in dag.tasks} == {"gpu", "default"}


def test_a_recipe_that_fine_tunes_has_the_network_trained_before_its_vectors_are_planned(tmp_path, monkeypatch):
    occasion = {"when": "every_runs", "runs": 3}
    write_recipe(tmp_path, make_config("flowers", fine_tune={"occasion": occasion}))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))

    tuned = read_dags().dags["retrain_flowers"].get_task("embedding.fine_tune_backbone")

    assert tuned.upstream_task_ids == {"embedding.choose_extractor", "dataset.freeze_snapshot"}
    assert tuned.downstream_task_ids == {
        "embedding.plan_shards",
        "embedding.extract_embeddings",
        "embedding.gather_embeddings",
    }
    assert (tuned.queue, tuned.pool) == ("gpu", "gpu")


def test_a_recipe_that_asks_for_pictures_has_them_made_beside_the_way_of_the_data(tmp_path, monkeypatch):
    training = {"heads": {"linear": {"weight_decay": 1.0}}, "mode": "images"}
    write_recipe(tmp_path, make_config("flowers", balancing={"reconstruct": True}, training=training))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))

    dag = read_dags().dags["retrain_flowers"]

    for task_id in ("balancing.reconstruct_images", "training.train_on_images"):
        task = dag.get_task(task_id)
        assert task.upstream_task_ids == {
            "dataset.freeze_snapshot",
            "embedding.gather_embeddings",
            "balancing.plan_resampling",
        }
        assert task.downstream_task_ids == {"publish_report"}
        assert (task.queue, task.pool) == ("gpu", "gpu")


def test_no_task_names_an_executor_so_that_the_dag_runs_under_any(dag):
    assert {task.executor for task in dag.tasks} == {None}


def test_what_follows_on_the_shards_goes_on_where_no_image_needed_a_vector_and_all_others_need_success(dag):
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}

    assert rules.pop(AFTER_SHARDS) == "none_failed_min_one_success"
    assert rules.pop("publish_report") == "all_done_setup_success"
    assert set(rules.values()) == {"all_success"}


def test_the_report_is_a_teardown_that_hides_no_failure_and_has_the_button(dag):
    report = dag.get_task("publish_report")

    assert (report.is_teardown, report.on_failure_fail_dagrun) == (True, False)
    assert {task.task_id for task in dag.tasks if task.is_teardown} == {"publish_report"}
    assert {task.task_id: [link.name for link in links] for task in dag.tasks if (links := extra_links(task))} == {
        "intake.validate_batch": ["Data Docs"],
        "publish_report": ["Report"],
    }


def extra_links(task: Any) -> list[Any]:
    return list(task.operator_extra_links or ())


def test_every_task_has_the_same_retries_and_a_time_limit(dag):
    for task in dag.tasks:
        assert task.retry_policy is RETRY_POLICY, task.task_id
        assert task.retries == 3, task.task_id
        assert (task.retry_delay, task.retry_exponential_backoff) == (timedelta(seconds=10), 2.0), task.task_id
        assert task.max_retry_delay == timedelta(minutes=30), task.task_id
        assert task.execution_timeout == timedelta(hours=12), task.task_id


def test_only_the_promotion_changes_the_champion_asset(dag):
    outlets = {task.task_id: [(it.name, it.uri) for it in task.outlets] for task in dag.tasks if task.outlets}

    champion = ("champion_fashion_mnist", "s3://lake/models/fashion_mnist/champion.json")
    assert outlets == {"promotion.promote_challenger": [champion]}


def test_the_approval_stands_between_decision_and_promotion_and_silence_means_no(dag):
    approval = dag.get_task("promotion.approve_promotion")

    assert isinstance(approval, PromotionApproval)
    assert (approval.defaults, approval.response_timeout) == (["Reject"], timedelta(days=1))
    assert "fashion_mnist" in approval.subject


def test_the_delivery_is_awaited_before_it_is_listed_and_looked_at_twice_a_minute(dag):
    sensor = dag.get_task("intake.await_delivery")

    assert isinstance(sensor, DeliverySensor)
    assert sensor.poke_interval == 30
    assert (sensor.soft_fail, sensor.never_fail, sensor.silent_fail) == (False, False, False)


def test_shards_and_candidates_are_mapped_and_named(dag):
    mapped = {task.task_id: task.partial_kwargs["map_index_template"] for task in dag.tasks if task.is_mapped}

    assert mapped == {
        "intake.inspect_images": "{{ shard }}",
        "embedding.extract_embeddings": "{{ shard }}",
        "training.train_candidate": "{{ candidate }}",
    }
    candidates = dag.get_task("training.train_candidate").op_kwargs_expand_input.value["candidate"]
    assert candidates == [candidate.name for candidate in load_classifier("fashion_mnist").candidates]


def test_the_schedule_has_windows_and_is_not_caught_up_on(dag):
    timetable = dag.timetable

    assert type(timetable).__name__ == "CronDataIntervalTimetable"
    assert (timetable.expression, str(timetable.timezone)) == ("0 2 * * *", "UTC")
    assert dag.start_date == datetime(2026, 1, 1, tzinfo=UTC)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)


def test_the_schedule_is_the_recipes(tmp_path, monkeypatch):
    config = make_config("flowers", schedule={"cron": "30 4 * * 1", "start_date": "2025-06-01"})
    write_recipe(tmp_path, config)
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))

    dag = read_dags().dags["retrain_flowers"]

    assert dag.timetable.expression == "30 4 * * 1"
    assert dag.start_date == datetime(2025, 6, 1, tzinfo=UTC)


def test_the_trigger_form_suits_a_scheduled_run_as_it_is(dag):
    assert dag.params.dump() == {
        "window_start": None,
        "window_end": None,
        "promote": None,
        "rebaseline_champion": False,
        "register_baseline": False,
        "require_approval": False,
    }


def test_the_recipe_says_whether_a_person_is_asked_and_for_how_long(tmp_path, monkeypatch):
    write_recipe(tmp_path, make_config("flowers", promotion={"require_approval": True, "approval_hours": 36}))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))

    dag = read_dags().dags["retrain_flowers"]

    assert dag.params["require_approval"] is True
    assert "36 hours" in dag.params.get_param("require_approval").description
    assert dag.get_task("promotion.approve_promotion").response_timeout == timedelta(hours=36)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("window_start", ["2026-01-05", None], [20260105, True]),
        ("window_end", ["2026-01-05T02:00:00+00:00", None], [1.5, ["2026-01-05"]]),
        ("promote", [True, False, None], ["yes", 1]),
        ("rebaseline_champion", [True, False], [None, "yes"]),
        ("register_baseline", [True, False], [None, 0]),
        ("require_approval", [True, False], [None, "no"]),
    ],
)
def test_the_trigger_form_takes_only_what_fits(dag, name: str, good: list, bad: list):
    from airflow.sdk.exceptions import ParamValidationError

    param = dag.params.get_param(name)

    assert [param.resolve(value) for value in good] == good
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


def test_each_field_of_the_trigger_form_says_what_it_is_for(dag):
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema["title"], name


def test_the_dag_page_says_what_the_dag_does(dag):
    assert dag.description == load_classifier("fashion_mnist").description
    assert dag.doc_md.startswith("Retrains one classifier")
    assert dag.tags == {"retraining", "fashion_mnist"}


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.name)
def test_a_dag_file_is_a_table_of_contents(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 120


def test_a_task_is_a_few_lines():
    tree = ast.parse((REPOSITORY / "include/orchestration/tasks.py").read_text(encoding="utf-8"))
    tasks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]

    lines = {task.name: task.end_lineno - task.body[0].end_lineno for task in tasks if task.end_lineno}

    assert len(lines) == len(EDGES) - 2 + len(ONLY_WHERE_ASKED_FOR) + 1  # the sensor and the approval are operators
    assert {name: count for name, count in lines.items() if count > 8} == {}
