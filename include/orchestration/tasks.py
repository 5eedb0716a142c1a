"""The tasks of a retraining and of a rollback: each makes one call of `include/retraining/steps.py`. Dags wire them.

The library is imported inside the tasks: a Dag file that is parsed must not load TensorFlow. What a task returns
travels as XCom: URIs, never data.
"""

from __future__ import annotations

from typing import Any, cast

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.orchestration.runs import may_promote, may_rebaseline, registers_baseline, this_rollback, this_run


@task
def resolve_window() -> dict[str, str]:
    """Shows the window that the run is about, and refuses a form that names none."""
    window = this_run().window
    return {"start": window.start.isoformat(), "end": window.end.isoformat()}


@task
def list_batch() -> list[str]:
    """Lists the delivered images, in shards; without a delivery the run ends here, skipped."""
    from include.retraining import steps

    listings = steps.list_batch(this_run())
    if not listings:
        raise AirflowSkipException("Nothing was delivered for the days of this run's window.")
    return listings


@task(map_index_template="{{ shard }}")
def inspect_images(listing: str) -> str:
    """Decodes one shard of images and notes the facts."""
    from include.retraining import steps

    _label("shard", listing.rsplit("/", 1)[-1].removesuffix(".parquet"))
    return steps.inspect_images(this_run(), listing)


@task
def validate_batch(facts: list[str]) -> str:
    """Judges each image and the batch, with Great Expectations."""
    from include.retraining import steps

    return steps.validate_batch(this_run(), list(facts), register_baseline=registers_baseline())


@task
def quarantine_images(verdicts: str) -> str:
    """Copies refused images into quarantine, with their reasons."""
    from include.retraining import steps

    return steps.quarantine_images(this_run(), verdicts)


@task
def accept_batch(verdicts: str) -> str:
    """Publishes the accepted images as a batch."""
    from include.retraining import steps

    return steps.accept_batch(this_run(), verdicts, register_baseline=registers_baseline())


@task
def freeze_snapshot(intake: str) -> str:
    """Freezes all accepted batches up to the end of the window, with their splits."""
    from include.retraining import steps

    return steps.freeze_snapshot(this_run(), intake)


@task
def choose_extractor() -> str:
    """Finds out with which weights the network makes this run's vectors, and whether to fine-tune it first."""
    from include.retraining import steps

    return steps.choose_extractor(this_run())


@task(queue="gpu", pool="gpu")
def fine_tune_backbone(extractor: str, snapshot: str) -> str:
    """Trains the network on the train images, where it is due; an attempt goes on from the last epoch's checkpoint."""
    from include.retraining import steps

    return steps.fine_tune_backbone(this_run(), extractor, snapshot)


@task
def plan_shards(snapshot: str, extractor: str) -> list[dict[str, str]]:
    """Cuts the images that have no vector yet into shards."""
    from include.retraining import steps

    planned = steps.plan_shards(this_run(), snapshot, extractor)
    return [{"shard": shard.uri, "label": shard.label} for shard in planned]


@task(map_index_template="{{ shard }}", queue="gpu", pool="gpu")
def extract_embeddings(shard: str, label: str, extractor: str) -> str:
    """Turns one shard of images into vectors, on a GPU worker where there is one."""
    from include.retraining import steps

    _label("shard", label)
    return steps.extract_embeddings(this_run(), shard, extractor, alone=True)


# No image may need a vector: then the mapped task before this one is skipped, and that is no reason to stop.
@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def gather_embeddings(snapshot: str, extractor: str) -> str:
    """Makes sure that every vector is stored, and fits the projection where the recipe asks for one."""
    from include.retraining import steps

    return steps.gather_embeddings(this_run(), snapshot, extractor)


@task
def doubt_labels(snapshot: str, embedding: str) -> str:
    """Lists the images whose label their vectors contradict."""
    from include.retraining import steps

    return steps.doubt_labels(this_run(), snapshot, embedding)


@task
def plan_resampling(snapshot: str, embedding: str) -> str:
    """Plans the synthetic rows of every strategy that resamples."""
    from include.retraining import steps

    return steps.plan_resampling(this_run(), snapshot, embedding)


@task(queue="gpu", pool="gpu")
def reconstruct_images(snapshot: str, embedding: str, resampling: str) -> str:
    """Turns synthetic vectors back into pictures, for the report."""
    from include.retraining import steps

    return steps.reconstruct_images(this_run(), snapshot, embedding, resampling)


@task(queue="gpu", pool="gpu")
def train_on_images(snapshot: str, embedding: str, resampling: str) -> str:
    """Trains the image-level CNN that is shown beside the candidates."""
    from include.retraining import steps

    return steps.train_on_images(this_run(), snapshot, embedding, resampling)


@task(map_index_template="{{ candidate }}")
def train_candidate(candidate: str, snapshot: str, embedding: str, resampling: str) -> str:
    """Trains one candidate, a strategy with a head, and scores it by cross-validation."""
    from include.retraining import steps

    _label("candidate", candidate)
    return steps.train_candidate(this_run(), candidate, snapshot, embedding, resampling)


@task
def select_challenger(candidates: list[str]) -> str:
    """Chooses the challenger by the candidates' cross-validation, never by the test split."""
    from include.retraining import steps

    return steps.select_challenger(this_run(), list(candidates))


@task
def export_model(selection: str, snapshot: str, embedding: str, resampling: str) -> str:
    """Publishes the challenger as a model version, from pixels to probabilities."""
    from include.retraining import steps

    return steps.export_model(this_run(), selection, snapshot, embedding, resampling)


@task
def evaluate_challenger(version: str, selection: str, snapshot: str, embedding: str) -> str:
    """Scores challenger and champion on the same test rows."""
    from include.retraining import steps

    return steps.evaluate_challenger(this_run(), version, selection, snapshot, embedding)


@task
def decide_promotion(evaluation: str) -> str:
    """Asks the gates whether the challenger replaces the champion."""
    from include.retraining import steps

    return steps.decide_promotion(this_run(), evaluation, allowed=may_promote(), rebaseline=may_rebaseline())


@task
def promote_challenger(decision: str) -> str:
    """Moves the champion pointer, by one conditional write."""
    from include.orchestration.outcomes import why_not_promoted
    from include.retraining import steps
    from include.retraining.artifacts import PromotionDecision

    outcome = steps.promote_challenger(this_run(), decision, rebaseline=may_rebaseline())
    if isinstance(outcome, PromotionDecision):
        raise AirflowSkipException(why_not_promoted(outcome))
    return outcome.resulting


@task
def publish_report() -> str:
    """Writes the report of whatever the run came to."""
    from include.retraining import steps

    return steps.publish_report(this_run())


@task
def roll_back() -> str:
    """Makes an earlier version the champion again, once it is proven whole; returns its name."""
    from include.retraining import steps

    return steps.roll_back(*this_rollback()).resulting


def _label(name: str, value: str) -> None:
    """Sets what the task's `map_index_template` shows."""
    cast("dict[str, Any]", get_current_context())[name] = value
