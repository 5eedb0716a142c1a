"""Retrains one classifier on the images delivered in the run's window, and promotes the new model if the gates agree.

One Dag for each YAML file in `include/classifiers`. It starts on its schedule, by hand (the form can name a window), or
as a backfill. Its tasks are in `include/orchestration/tasks.py`, in the order in which the data flows.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup

from include.orchestration import tasks
from include.orchestration.approval import PromotionApproval
from include.orchestration.assets import champion_asset
from include.orchestration.classifiers import valid_classifiers
from include.orchestration.delivery_sensor import DeliverySensor
from include.orchestration.links import add_data_docs_link, add_report_link
from include.orchestration.params import trigger_form
from include.orchestration.retries import retry_arguments
from include.orchestration.runs import DAG_PREFIX
from include.retraining.config import ClassifierConfig


def make_dag(config: ClassifierConfig) -> DAG:
    """Wires the Dag of one classifier."""
    with DAG(
        dag_id=f"{DAG_PREFIX}{config.name}",
        description=config.description,
        doc_md=__doc__,
        schedule=CronDataIntervalTimetable(config.schedule.cron, timezone="UTC"),
        start_date=datetime.combine(config.schedule.start_date, time.min, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        params=trigger_form(config),
        default_args={"owner": "retraining", "execution_timeout": timedelta(hours=12), **retry_arguments()},
        tags=["retraining", config.name],
    ) as dag:
        window = tasks.resolve_window()

        with TaskGroup("intake"):
            delivery = DeliverySensor(task_id="await_delivery")
            listings = tasks.list_batch()
            facts = tasks.inspect_images.expand(listing=listings)
            verdicts = tasks.validate_batch(facts)
            add_data_docs_link(verdicts)
            accepted = tasks.accept_batch(tasks.quarantine_images(verdicts))

        with TaskGroup("dataset"):
            snapshot = tasks.freeze_snapshot(accepted)

        with TaskGroup("embedding"):
            extractor = tasks.choose_extractor()
            snapshot >> extractor
            if config.fine_tune is not None:
                extractor = tasks.fine_tune_backbone(extractor, snapshot)
            shards = tasks.plan_shards(snapshot, extractor)
            vectors = tasks.extract_embeddings.partial(extractor=extractor).expand_kwargs(shards)
            embedding = tasks.gather_embeddings(snapshot, extractor)
            vectors >> embedding
            doubts = tasks.doubt_labels(snapshot, embedding)

        with TaskGroup("balancing"):
            resampling = tasks.plan_resampling(snapshot, embedding)
            shown = [doubts]
            if config.balancing.reconstruct:
                shown.append(tasks.reconstruct_images(snapshot, embedding, resampling))

        with TaskGroup("training"):
            if config.training.mode == "images":
                shown.append(tasks.train_on_images(snapshot, embedding, resampling))
            candidates = tasks.train_candidate.partial(
                snapshot=snapshot, embedding=embedding, resampling=resampling
            ).expand(candidate=[candidate.name for candidate in config.candidates])
            selection = tasks.select_challenger(candidates)
            version = tasks.export_model(selection, snapshot, embedding, resampling)

        with TaskGroup("evaluation"):
            evaluation = tasks.evaluate_challenger(version, selection, snapshot, embedding)

        with TaskGroup("promotion"):
            decision = tasks.decide_promotion(evaluation)
            approval = PromotionApproval(
                task_id="approve_promotion",
                subject=f"Promote the challenger of {config.name}?",
                response_timeout=timedelta(hours=config.promotion.approval_hours),
            )
            promotion = tasks.promote_challenger.override(outlets=[champion_asset(config.name)])(decision)

        window >> delivery >> listings
        decision >> approval >> promotion
        # A teardown runs whatever happened before it, and does not hide a failure from the run's state.
        report = tasks.publish_report()
        add_report_link(report)
        [promotion, *shown] >> report.as_teardown()
    return dag


for _config in valid_classifiers():
    globals()[f"{DAG_PREFIX}{_config.name}"] = make_dag(_config)
