"""`embed`: the vectors of everything that was accepted, without Airflow and without a training."""

from __future__ import annotations

import argparse

from include.retraining.artifacts import EmbeddingPlan, EmbeddingRecord
from include.retraining.command_line.days import run_of_days
from include.retraining.command_line.output import print_json, progress_bars
from include.retraining.config import ClassifierConfig
from include.retraining.pipeline import embed_accepted
from include.retraining.run import EMBEDDING_PLAN
from include.retraining.storage.base import ObjectStore


def embed(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Freezes the accepted batches up to a day and makes the vectors that are missing."""
    run_id = f"command-line-embed__{arguments.day.isoformat()}"
    this_run = run_of_days(config, store, arguments.day, arguments.day, run_id=run_id)
    with progress_bars() as progress:
        embedding = this_run.load(embed_accepted(this_run, progress), EmbeddingRecord)
    plan = this_run.recall(EMBEDDING_PLAN, EmbeddingPlan)
    if arguments.json:
        print_json({"plan": plan, "embedding": embedding})
        return 0
    print(f"{plan.n_images} images, {plan.n_vectors} vectors: {plan.n_stored} stored before, {plan.n_missing} computed")
    for reason in plan.why_missing:
        print(f"  {reason}")
    print(f"extractor {embedding.extractor.fingerprint}: {embedding.extractor.origin}")
    return 0
