"""Which extractor a run works with: the recipe's own, the last fine-tuned one, or one that is to be fine-tuned.

Light on purpose: choosing needs no network. The training is in `training.py`.
"""

from __future__ import annotations

from include.retraining import journal
from include.retraining.artifacts import ExtractorRecord, PromotionDecision, TunedExtractor, Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.fine_tuning.occasions import why_due
from include.retraining.embedding.fine_tuning.versions import tuned_extractors
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.run import Run

RECIPE = "the recipe's weights"
NEVER = "no network of this classifier was fine-tuned yet on data up to here"
CHANGED = "the recipe's network, weights or image size are not those of the last fine-tuning"


def choose_extractor(run: Run) -> ExtractorRecord:
    """Returns the extractor whose vectors a run works with, and whether it is to be fine-tuned first.

    Where the recipe fine-tunes, it is the network that was tuned on the newest data that the run may see. Every
    fine-tuning starts from the recipe's weights, never from the last result, so that it depends on recipe and dataset
    alone, whatever was trained before and in whichever order days are filled in.

    A network that this very run has tuned is passed over: whoever repeats the step gets the same answer as before,
    and `fine_tune` then finds the network by the digest of its inputs.

    Returns:
        The record. Where fine-tuning is due, its weights are those to start from.

    Raises:
        ArtifactIntegrityError: If the description of a fine-tuned network is not the one that was published.
    """
    embedding, start = run.config.embedding, weights_of(run.config.embedding)
    if run.config.fine_tune is None:
        return extractor_with(embedding, start, RECIPE)
    seen = [
        tuned
        for tuned in tuned_extractors(run.store, run.classifier)
        if tuned.window_end <= run.window.end and tuned.run_id != run.run_id
    ]
    fitting = [tuned for tuned in seen if _fits(tuned, embedding, start)]
    if not fitting:
        return extractor_with(embedding, start, RECIPE, because=CHANGED if seen else NEVER)
    last = fitting[-1]
    because = why_due(run.config.fine_tune.occasion, _decisions_since(run, last), run.config.labels)
    if because:
        return extractor_with(embedding, start, RECIPE, because=because)
    return tuned_extractor_with(embedding, last)


def tuned_extractor_with(config: EmbeddingConfig, tuned: TunedExtractor, *, because: str = "") -> ExtractorRecord:
    """Returns the record of the recipe's extractor with a fine-tuned network."""
    origin = f"fine-tuned by run {tuned.run_id} on data up to {tuned.window_end.isoformat()}: {tuned.because}"
    return extractor_with(config, tuned.weights, origin, because=because)


def extractor_with(config: EmbeddingConfig, weights: Weights, origin: str, *, because: str = "") -> ExtractorRecord:
    """Returns the record of the recipe's extractor with some weights."""
    components = fingerprint_components(config, weights)
    return ExtractorRecord(fingerprint(components), components, weights, origin, because)


def _fits(tuned: TunedExtractor, config: EmbeddingConfig, start: Weights) -> bool:
    """Tells whether the recipe would train this network still: not what the network came to, but what it is."""
    return (tuned.architecture, tuned.image_size, tuned.started_from.sha256) == (
        config.extractor,
        config.image_size,
        start.sha256,
    )


def _decisions_since(run: Run, last: TunedExtractor) -> list[PromotionDecision]:
    """Returns the decisions from the last fine-tuning's window on, before this run's window ends, oldest data first."""
    decisions = [entry.decision for entry in journal.entries(run.store, run.classifier) if entry.decision is not None]
    since = [decision for decision in decisions if last.window_end <= decision.window_end < run.window.end]
    return sorted(since, key=lambda decision: decision.window_end)
