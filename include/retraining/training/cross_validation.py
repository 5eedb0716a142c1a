"""How well a candidate does on rows that were left out of its fitting: all that candidates and searches are chosen by.

Folds are over train and validation rows together; the test split has no part in them.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from include.retraining.artifacts import CrossValidation
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Streams
from include.retraining.config import ClassifierConfig, HeadSettings, ResamplingStrategy, Strategy, TrainingConfig
from include.retraining.embedding.scaling import Scaler, fit_scaler
from include.retraining.errors import ArtifactIntegrityError, InsufficientDataError
from include.retraining.metrics import confusion_matrix
from include.retraining.training.rows import Rows
from include.retraining.training.strategies import apply_strategy

logger = logging.getLogger(__name__)

MINIMUM_IMAGES = 2  # of a class: one to learn from and one to be asked about
NEVER_HELD_OUT = -1


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the rows.

    Attributes:
        fitted_on: Positions of the rows that a head is fitted on, int64.
        held_out: Positions of the rows that it is scored on: images, never views.
        scaler: Fitted on the rows that the head is fitted on.
        pairs: What resampling those rows gives, as positions among them; None where nothing is resampled.
    """

    fitted_on: np.ndarray
    held_out: np.ndarray
    scaler: Scaler
    pairs: Pairs | None


@dataclass(frozen=True, eq=False)
class Folds:
    """What one strategy is cross-validated on, whatever the settings of its head: scaled and resampled once.

    Attributes:
        rows: What is divided.
        strategy: How the imbalance is met.
        training: Epochs, batch size and seed of every fit.
        folds: At least two.
    """

    rows: Rows
    strategy: Strategy
    training: TrainingConfig
    folds: tuple[Fold, ...]


def plan_folds(rows: Rows, strategy: Strategy, config: ClassifierConfig) -> Folds:
    """Divides rows into folds, and plans the resampling of each from the rows that are fitted on alone.

    Where the recipe fine-tunes the network, it has been trained on the train images: their vectors are more telling
    than those of images that it has not seen. Scored on them, heads that trust such vectors most would win. So only
    validation rows are held out there, and train rows are fitted on in every fold.

    Raises:
        InsufficientDataError: If a class has fewer than two images, or there are no two folds to be made.
        ArtifactIntegrityError: If a fold would be scored on kin of what it is fitted on.
    """
    _require_images(rows)
    selection = config.training.selection
    is_scored = ~rows.is_view if config.fine_tune is None else ~rows.is_view & ~rows.is_train
    fold_of = assign_folds(rows, is_scored, n_folds=selection.folds, seed=selection.seed)
    folds = [_plan(rows, fold_of, number, is_scored, strategy, config) for number in range(fold_of.max() + 1)]
    return Folds(rows, strategy, config.training, tuple(folds))


def cross_validate(name: str, settings: HeadSettings, folds: Folds) -> CrossValidation:
    """Fits a head in every fold, each time up to its last epoch, and scores it on what the fold holds out.

    No epoch is chosen: it would be chosen by the rows that are scored.

    Args:
        name: Of the candidate, for errors and the log.
        settings: Of the head.
        folds: As `plan_folds` makes them.

    Raises:
        TrainingDivergedError: If the loss is not finite in some fold.
    """
    scores = [_score(name, settings, folds, fold) for fold in folds.folds]
    mean, error = float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(len(scores)))
    logger.info("cross-validation candidate=%s folds=%d mean=%.4f standard_error=%.4f", name, len(scores), mean, error)
    return CrossValidation(tuple(scores), mean, error)


def assign_folds(rows: Rows, is_scored: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    """Returns the fold that holds each row out: kin in one, each class spread over all as well as that allows.

    Args:
        rows: What is divided; their order has no part in it.
        is_scored: The rows that are to be held out once, shape `(n_rows,)`, bool; others follow their kin.
        n_folds: Folds to make; fewer where there are not so many rows of any class.
        seed: Decides which rows lie together.

    Returns:
        Shape `(n_rows,)`, int64, from 0 without gaps; `NEVER_HELD_OUT` for a row without kin that is scored.

    Raises:
        InsufficientDataError: If there are no two folds to be made.
    """
    scored = np.flatnonzero(is_scored)
    scored = scored[np.argsort(rows.row_ids[scored])]
    y, kin = rows.y[scored], rows.kin[scored]
    n_kin = len(np.unique(kin))
    counts = np.bincount(y, minlength=len(rows.labels))
    n_folds = min(n_folds, int(counts.max()), n_kin)
    if n_folds < 2:
        raise InsufficientDataError(
            "Cross-validation (images that are neither near-duplicates nor of one group)",
            {rows.labels[label]: min(count, n_kin) for label, count in enumerate(counts.tolist())},
            MINIMUM_IMAGES,
        )
    fold_of_kin = np.full(rows.kin.max() + 1, NEVER_HELD_OUT)
    division = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is left out of the folds that have none of it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        held_out = [positions for _, positions in division.split(y, y, kin) if len(positions)]
    for number, positions in enumerate(held_out):
        fold_of_kin[kin[positions]] = number
    fold_of: np.ndarray = fold_of_kin[rows.kin]
    return fold_of


def _plan(
    rows: Rows, fold_of: np.ndarray, number: int, is_scored: np.ndarray, strategy: Strategy, config: ClassifierConfig
) -> Fold:
    is_out = fold_of == number
    fitted_on, held_out = np.flatnonzero(~is_out), np.flatnonzero(is_out & is_scored)
    if np.intersect1d(rows.kin[fitted_on], rows.kin[held_out]).size:
        raise ArtifactIntegrityError("folds of the cross-validation", "kin in one fold", "kin in two")
    scaler = fit_scaler(rows.X[fitted_on])
    pairs = None
    if isinstance(strategy, ResamplingStrategy):
        pairs = _resample(rows, fitted_on, scaler, in_proportion(strategy, rows, fitted_on), config)
    return Fold(fitted_on, held_out, scaler, pairs)


def _resample(
    rows: Rows, fitted_on: np.ndarray, scaler: Scaler, strategy: ResamplingStrategy, config: ClassifierConfig
) -> Pairs:
    from include.retraining.balancing.samplers import plan_rows  # loads scikit-learn or imbalanced-learn: seconds

    balancing, row_ids = config.balancing, rows.row_ids[fitted_on]
    streams = Streams(balancing.seed, balancing.random_streams)
    X = scaler.transform(rows.X[fitted_on])
    plan, _ = plan_rows(X, rows.names[fitted_on], row_ids, strategy, streams)
    return plan.over(row_ids)


def in_proportion(strategy: ResamplingStrategy, rows: Rows, fitted_on: np.ndarray) -> ResamplingStrategy:
    """Returns a strategy that asks of the rows of a fold what it asks of the train rows, where it names counts.

    A count that is asked for is meant for as many rows as the train split has. Rows of a fold grow by the same factor.
    """
    asked = strategy.sampling_strategy
    if not isinstance(asked, dict):
        return strategy
    train = np.bincount(rows.y[: rows.n_train], minlength=len(rows.labels))
    here = np.bincount(rows.y[fitted_on], minlength=len(rows.labels))
    counts = {
        label: max(round(asked[label] * int(here[index]) / int(train[index])), int(here[index]))
        for index, label in enumerate(rows.labels)
        if label in asked and here[index]
    }
    return strategy.model_copy(update={"sampling_strategy": counts})


def _score(name: str, settings: HeadSettings, folds: Folds, fold: Fold) -> float:
    """Returns the macro recall on a fold's rows, over the classes that it has rows of and that its head has seen."""
    from include.retraining.training.fitting import fit_head  # loads TensorFlow: seconds

    rows, n_classes = folds.rows, len(folds.rows.labels)
    y = rows.y[fold.fitted_on]
    X = fold.scaler.transform(rows.X[fold.fitted_on])
    fitted = apply_strategy(folds.strategy, X, y, pairs=fold.pairs, n_classes=n_classes)
    fit = fit_head(name, fitted, None, scaler=fold.scaler, head=settings, training=folds.training)
    y_true = rows.y[fold.held_out]
    counts = confusion_matrix(y_true, fit.head.predict(rows.X[fold.held_out]), n_classes)
    n_rows = counts.sum(axis=1)
    is_known = (n_rows > 0) & (np.bincount(y, minlength=n_classes) > 0)
    return float(np.mean(np.diag(counts)[is_known] / n_rows[is_known]))


def _require_images(rows: Rows) -> None:
    counts = np.bincount(rows.y[~rows.is_view], minlength=len(rows.labels)).tolist()
    short = {label: count for label, count in zip(rows.labels, counts, strict=True) if count < MINIMUM_IMAGES}
    if short:
        raise InsufficientDataError("Cross-validation", short, MINIMUM_IMAGES)
