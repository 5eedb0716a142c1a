"""The candidates: every strategy with every head, from the same vectors, each cross-validated and then trained."""

from __future__ import annotations

import dataclasses
import json
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING

from include.retraining.artifacts import CandidateRecord, EmbeddingRecord, PlanRecord, ResamplingRecord, SnapshotRecord
from include.retraining.balancing.plan import read_plan
from include.retraining.config import Candidate, ClassifierConfig, HeadSettings
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ConfigurationError
from include.retraining.lineage import code_digest, library_versions
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.publishing import publish, read_manifest_if_any, read_published, sha256
from include.retraining.storage.records import from_json, to_json
from include.retraining.training.calibration import calibrate
from include.retraining.training.cross_validation import cross_validate, plan_folds
from include.retraining.training.head import Head, from_npz
from include.retraining.training.rows import Rows, read_rows
from include.retraining.training.search import Found, search_settings
from include.retraining.training.strategies import apply_strategy, assumes_uniform

if TYPE_CHECKING:
    from include.retraining.training.fitting import Fit

logger = logging.getLogger(__name__)

HEAD = "head.npz"
RECORD = "candidate.json"


def candidate_of(config: ClassifierConfig, name: str) -> Candidate:
    """Returns the candidate of a name.

    Raises:
        ConfigurationError: If the recipe has none: it was changed while the run went on.
    """
    by_name = {candidate.name: candidate for candidate in config.candidates}
    if name not in by_name:
        raise ConfigurationError(
            f"classifier {config.name}, key training",
            f"there is no candidate {name!r} (any more); the recipe has {', '.join(by_name)}",
            "Start a new run, which plans the candidates anew",
        )
    return by_name[name]


def train(
    run: Run,
    candidate: Candidate,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> CandidateRecord:
    """Cross-validates a candidate and trains it, or returns it if that was done from the same inputs before.

    Settings are searched for where the recipe asks, by cross-validation on train and validation rows. The head that is
    kept is then fitted on train rows; the validation split decides how long, and what is calibrated. No vector of a
    test image is read.

    Side effects:
        Publishes the head's weights and the record under a digest of all that the training depends on.

    Raises:
        TrainingDivergedError: If the loss is not finite.
        InsufficientDataError: If there are too few images for a cross-validation.
        ConfigurationError: If the strategy resamples and was not planned: the recipe was changed while the run went on.
        ArtifactIntegrityError: If the plan is not over the train rows.
    """
    prefix = layout.candidate(run.classifier, _inputs_digest(run, candidate, snapshot, embeddings, resampling))
    if read_manifest_if_any(run.store, prefix) is not None:
        logger.info("candidate %s was trained from the same inputs before: uri=%s", candidate.name, prefix)
        return read_candidate(run.store, uri_of(run.store, prefix))
    rows = read_rows(run, snapshot, embeddings)
    found = _choose_settings(run, candidate, rows)
    fit, n_rows = _fit(run, candidate, found.settings, rows, resampling)
    head, record = _calibrated(run, candidate, found, rows, fit)
    record = dataclasses.replace(record, uri=uri_of(run.store, prefix), n_train_rows=n_rows)
    publish(run.store, prefix, {HEAD: head.to_npz(), RECORD: to_json(record)})
    return record


def read_candidate(store: ObjectStore, uri: str) -> CandidateRecord:
    """Returns a published candidate's record, verified."""
    return from_json(CandidateRecord, read_published(store, key_of(store, uri), RECORD), uri)


def read_head(store: ObjectStore, uri: str) -> Head:
    """Returns a published candidate's head, verified."""
    return from_npz(read_published(store, key_of(store, uri), HEAD), f"{uri}{HEAD}")


def _choose_settings(run: Run, candidate: Candidate, rows: Rows) -> Found:
    """Returns the settings to train with, and how they did in cross-validation."""
    folds = plan_folds(rows, run.config.training.strategies[candidate.strategy], run.config)
    if candidate.search is None:
        return Found(candidate.settings, cross_validate(candidate.name, candidate.settings, folds), trials=())
    return search_settings(
        candidate.search, candidate.settings, lambda settings: cross_validate(candidate.name, settings, folds)
    )


def _fit(
    run: Run, candidate: Candidate, settings: HeadSettings, rows: Rows, resampling: ResamplingRecord
) -> tuple[Fit, int]:
    """Fits the head that is kept, on train rows alone; returns it and the number of rows, synthetic ones included."""
    from include.retraining.training.fitting import fit_head  # loads TensorFlow: seconds

    training, n_train = run.config.training, rows.n_train
    pairs = None
    if candidate.strategy in training.resampling:
        pairs = read_plan(run.store, _plan_of(run, candidate, resampling).uri).over(rows.row_ids[:n_train])
    scaler = fit_scaler(rows.X[:n_train])
    fitted_on = apply_strategy(
        training.strategies[candidate.strategy],
        scaler.transform(rows.X[:n_train]),
        rows.y[:n_train],
        pairs=pairs,
        n_classes=len(rows.labels),
    )
    validation = scaler.transform(rows.X[n_train:]), rows.y[n_train:]
    fit = fit_head(candidate.name, fitted_on, validation, scaler=scaler, head=settings, training=training)
    return fit, fitted_on.n_rows


def _plan_of(run: Run, candidate: Candidate, resampling: ResamplingRecord) -> PlanRecord:
    if candidate.strategy not in resampling.plans:
        raise ConfigurationError(
            f"classifier {run.classifier}, key training.strategies",
            f"{candidate.strategy!r} resamples, but this run planned {', '.join(resampling.plans) or 'nothing'}",
            "Start a new run, which plans the resampling anew",
        )
    return resampling.plans[candidate.strategy]


def _calibrated(run: Run, candidate: Candidate, found: Found, rows: Rows, fit: Fit) -> tuple[Head, CandidateRecord]:
    """Returns the head as calibrated on validation rows, with its record; where it lies is not known yet."""
    training = run.config.training
    strategy = training.strategies[candidate.strategy]
    X, y = rows.X[rows.n_train :], rows.y[rows.n_train :]
    head = calibrate(fit.head, X, y, assumes_uniform=assumes_uniform(strategy), config=training.calibration)
    validation = classification_metrics(y, head.predict_proba(X), rows.labels, y_pred=head.predict(X))
    logger.info(
        "candidate %s validation macro_recall=%s ece=%s", candidate.name, validation.macro_recall, validation.ece
    )
    thresholds = None if head.thresholds is None else head.thresholds.tolist()
    return head, CandidateRecord(
        name=candidate.name,
        strategy=candidate.strategy,
        kind=strategy.strategy,
        head=candidate.head,
        settings={name: value for name, value in dataclasses.asdict(found.settings).items() if name != "hidden_units"},
        uri="",
        n_train_rows=0,
        n_parameters=head.n_parameters,
        best_epoch=fit.best_epoch,
        loss=fit.loss,
        validation_macro_recall=fit.validation_macro_recall,
        validation=validation,
        cross_validation=found.cross_validation,
        temperature=float(head.temperature),
        thresholds=None if thresholds is None else dict(zip(rows.labels, thresholds, strict=True)),
        trials=found.trials,
    )


def _inputs_digest(
    run: Run,
    candidate: Candidate,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> str:
    """Returns a digest of everything that decides a candidate's weights and scores."""
    config, training = run.config, run.config.training
    resamples = candidate.strategy in training.resampling
    inputs = {
        "snapshot": snapshot.digest,
        "embedding": embeddings.digest,
        "plan": _plan_of(run, candidate, resampling).digest if resamples else "",
        "strategy": training.strategies[candidate.strategy].model_dump(mode="json"),
        "head": dataclasses.asdict(candidate.settings),
        "search": [candidate.search.model_dump(mode="json"), version("optuna")] if candidate.search else None,
        # What the other candidates are, and how one of them is chosen, changes nothing in this one.
        "training": training.model_dump(mode="json", exclude={"heads", "strategies", "selection", "mode", "images"}),
        "folds": training.selection.model_dump(mode="json", exclude={"rule"}),
        "balancing": config.balancing.model_dump(mode="json", exclude={"reconstruct"}) if resamples else None,
        "near_duplicate_bits": config.dataset.near_duplicate_bits,
        "is_fine_tuned": config.fine_tune is not None,
        "labels": config.labels,
        "code": code_digest(),
        "versions": library_versions(),
    }
    return sha256(json.dumps(inputs, sort_keys=True).encode())[:16]
