"""How a candidate may meet the imbalance: by weights, by the loss, by how batches are drawn, or by resampling.

A recipe names strategies, or gives them names of its own with their settings:

    strategies: [none, class_weights, logit_adjusted_loss, smote]

    strategies:
      none: {}
      few_synthetic: {strategy: smote, k_neighbors: 3, sampling_strategy: {up_to: 0.5}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from include.retraining.config.section import Section


class UpTo(Section):
    """Every class grows to a share of the largest; a class that is larger stays as it is."""

    up_to: float = Field(gt=0, le=1, description="Share of the largest class.")


def _form_of(asked: Any) -> str:
    if isinstance(asked, UpTo) or (isinstance(asked, dict) and "up_to" in asked):
        return "share"
    return "counts" if isinstance(asked, dict) else "rule"


SamplingStrategy = Annotated[
    Annotated[Literal["auto", "not majority", "not minority", "minority", "all"], Tag("rule")]
    | Annotated[UpTo, Tag("share")]
    | Annotated[dict[str, Annotated[int, Field(ge=1)]], Tag("counts")],
    Discriminator(_form_of),
]
"""As imbalanced-learn's `sampling_strategy` (its floats are for two classes alone), or `{up_to: share}`."""


class NoBalancing(Section):
    """Rows as they are."""

    strategy: Literal["none"] = "none"


class ClassWeights(Section):
    """Every row weighs by its class: the inverse of the class's share, or of its effective number of images."""

    strategy: Literal["class_weights"] = "class_weights"
    weighting: Literal["inverse", "effective_number"] = "inverse"
    beta: float = Field(0.999, ge=0, lt=1, description="Of the effective number (1 − βⁿ) / (1 − β).")


class LogitAdjustedLoss(Section):
    """Softmax cross-entropy of logits that are raised by τ times the log of the class's share while training."""

    strategy: Literal["logit_adjusted_loss"] = "logit_adjusted_loss"
    tau: float = Field(1.0, gt=0, le=5)


class LogitAdjustment(Section):
    """Trained on rows as they are; afterwards logits are lowered by τ times the log of the class's share."""

    strategy: Literal["logit_adjustment"] = "logit_adjustment"
    tau: float = Field(1.0, gt=0, le=5)


class BalancedSampling(Section):
    """Every batch is drawn from all classes alike, with replacement."""

    strategy: Literal["balanced_sampling"] = "balanced_sampling"


class _Resampling(Section):
    """Rows are added by a plan."""

    sampling_strategy: SamplingStrategy = "auto"


class RandomOversampling(_Resampling):
    """Rows of small classes are repeated."""

    strategy: Literal["random_oversampling"] = "random_oversampling"


class _Interpolation(_Resampling):
    k_neighbors: int = Field(5, ge=1, description="Neighbours to interpolate with; fewer where a class has fewer.")


class Smote(_Interpolation):
    """Rows between an image and one of its nearest neighbours of the same class."""

    strategy: Literal["smote"] = "smote"


class SmoteTomek(_Interpolation):
    """SMOTE; then both rows of every Tomek link are left out."""

    strategy: Literal["smote_tomek"] = "smote_tomek"


class SmoteEnn(_Interpolation):
    """SMOTE; then rows are left out that their nearest neighbours contradict."""

    strategy: Literal["smote_enn"] = "smote_enn"
    n_neighbors: int = Field(3, ge=1, description="Neighbours that are asked; all of them must agree with a row.")


class BorderlineSmote(_Interpolation):
    """SMOTE from the rows whose neighbourhood is mostly of other classes, but not entirely."""

    strategy: Literal["borderline_smote"] = "borderline_smote"
    m_neighbors: int = Field(10, ge=1, description="Neighbours that tell whether a row lies at the border.")


class SvmSmote(_Interpolation):
    """SMOTE from the support vectors of each class, towards or away from its neighbours."""

    strategy: Literal["svm_smote"] = "svm_smote"
    m_neighbors: int = Field(10, ge=1, description="Neighbours that tell whether a row lies at the border.")
    out_step: float = Field(0.5, gt=0, le=1, description="How far rows are extrapolated.")


class KMeansSmote(_Interpolation):
    """SMOTE inside the clusters in which a class prevails."""

    strategy: Literal["kmeans_smote"] = "kmeans_smote"
    k_neighbors: int = Field(2, ge=1, description="Neighbours to interpolate with, inside a cluster.")
    n_clusters: int = Field(8, ge=1)
    cluster_balance_threshold: float | Literal["auto"] = Field(
        "auto", description="Share of a cluster that a class must have; auto: as imbalanced-learn takes it."
    )


class Adasyn(_Resampling):
    """Interpolation with more rows where a class has more neighbours of other classes."""

    strategy: Literal["adasyn"] = "adasyn"
    n_neighbors: int = Field(5, ge=1)


ResamplingStrategy = (
    RandomOversampling | Smote | SmoteTomek | SmoteEnn | BorderlineSmote | SvmSmote | KMeansSmote | Adasyn
)
Strategy = Annotated[
    NoBalancing
    | ClassWeights
    | LogitAdjustedLoss
    | LogitAdjustment
    | BalancedSampling
    | RandomOversampling
    | Smote
    | SmoteTomek
    | SmoteEnn
    | BorderlineSmote
    | SvmSmote
    | KMeansSmote
    | Adasyn,
    Field(discriminator="strategy"),
]


REFERENCES = ("none", "class_weights")
"""What a strategy that resamples is always shown beside; and one of the two that adjust logits."""
ADJUSTMENTS = ("logit_adjusted_loss", "logit_adjustment")


def with_settings(strategies: Any) -> Any:
    """Returns strategies as a mapping from name to settings, where they are written as a list of names.

    Raises:
        ValueError: If a list names a strategy twice.
    """
    if isinstance(strategies, (list, tuple)):
        if len(set(map(str, strategies))) < len(strategies):
            raise ValueError("a strategy is named twice; give the second a name of its own in a mapping")
        return {str(name): {"strategy": name} for name in strategies}
    if isinstance(strategies, dict):
        return {name: _with_kind(name, settings) for name, settings in strategies.items()}
    return strategies


def missing_references(strategies: Mapping[str, Strategy]) -> list[str]:
    """Returns what is missing beside strategies that resample: nobody should see SMOTE without what it must beat."""
    kinds = {strategy.strategy for strategy in strategies.values()}
    if not any(isinstance(strategy, ResamplingStrategy) for strategy in strategies.values()):
        return []
    missing = [kind for kind in REFERENCES if kind not in kinds]
    return missing if kinds & set(ADJUSTMENTS) else [*missing, ADJUSTMENTS[0]]


def _with_kind(name: str, settings: Any) -> Any:
    """Returns settings that say of which strategy they are: by default of the one that is named so."""
    if settings is None:
        return {"strategy": name}
    return {"strategy": name, **settings} if isinstance(settings, dict) else settings
