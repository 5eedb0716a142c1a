"""The recipe of one classifier: what its YAML may say, and how a wrong one is refused.

Light on purpose: Dag files read it when they are parsed.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from include.retraining.errors import ConfigurationError

DIRECTORY = Path(__file__).parent.parent / "classifiers"

Strategy = Literal["none", "class_weights", "smote"]
GatedMetric = Literal["macro_recall", "macro_f1", "geometric_mean", "geometric_mean_macro", "minimum_recall"]


class Section(BaseModel):
    """A part of the recipe: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScheduleConfig(Section):
    """When the classifier is retrained."""

    cron: str = Field(
        "0 2 * * *", description="Cron expression in UTC; a run covers the interval that ends at its tick."
    )
    start_date: date = Field(description="First day that a run or a backfill may cover.")

    @field_validator("cron")
    @classmethod
    def _is_a_cron_expression(cls, cron: str) -> str:
        if not croniter.is_valid(cron):
            raise ValueError("expected a cron expression of five fields, such as '0 2 * * *'")
        return cron


class IntakeConfig(Section):
    """What a delivered batch must look like."""

    formats: tuple[str, ...] = Field(("PNG", "JPEG"), min_length=1, description="Image formats, as Pillow names them.")
    minimum_side_pixels: int = Field(8, ge=1, description="Smallest width and height.")
    maximum_side_pixels: int = Field(
        8192, ge=1, description="Largest width and height; read before pixels are decoded."
    )
    maximum_image_bytes: int = Field(20_000_000, ge=1, description="Largest object; larger ones are not fetched.")
    minimum_accepted_rows: int = Field(
        1, ge=1, description="A batch with fewer images that are accepted or already known fails its run."
    )
    maximum_quarantined_fraction: float = Field(
        0.2, ge=0, le=1, description="A batch with a larger share of quarantined images fails its run."
    )
    shard_images: int = Field(2000, ge=1, description="Images that one mapped task inspects.")


class DatasetConfig(Section):
    """How accepted images are split. A `split` in the manifest overrides the fractions."""

    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the images used to choose the challenger."
    )
    test_fraction: float = Field(
        0.2, ge=0, lt=1, description="Share held out for evaluation; 0 where manifests pin it."
    )
    salt: str = Field(
        "", description="Changes which images fall into which split. Never change it on a live classifier."
    )

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> DatasetConfig:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must be below 1, or no row is left to train on")
        return self


class EmbeddingConfig(Section):
    """How an image becomes a vector."""

    extractor: Literal["efficientnet_lite0"] = Field("efficientnet_lite0", description="Pre-trained network.")
    image_size: int = Field(96, ge=32, le=600, description="Side in pixels that images are resized to.")
    layers: tuple[str, ...] = Field(
        ("block_4", "block_7", "block_10", "block_15", "head"),
        min_length=1,
        description="Layers whose average-pooled outputs are concatenated, in this order.",
    )
    shard_images: int = Field(2000, ge=1, description="Images that one mapped task embeds.")
    batch_size: int = Field(64, ge=1, description="Images in one call of the network.")


class BalancingConfig(Section):
    """How SMOTE balances the train embeddings."""

    k_neighbors: int = Field(
        5, ge=1, description="Neighbours to interpolate with; less where a class has fewer images."
    )
    seed: int = Field(0, ge=0, description="Seeds the choice of parents and steps.")


class HeadConfig(Section):
    """A classifier on top of the vectors."""

    hidden_units: tuple[int, ...] = Field((), description="Units of the hidden layers; empty for a linear head.")
    weight_decay: float = Field(ge=0, description="Decoupled weight decay of AdamW.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units dropped in training.")


class TrainingConfig(Section):
    """The candidates: every head with every strategy, all from the same vectors."""

    strategies: tuple[Strategy, ...] = Field(("none", "class_weights", "smote"), min_length=1)
    heads: dict[str, HeadConfig] = Field(min_length=1, description="Heads by name.")
    epochs: int = Field(20, ge=1, description="Passes over the train rows; the best one on validation is kept.")
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0, lt=1, description="AdamW's step size at the start of its cosine.")
    seed: int = Field(0, ge=0, description="Seeds weights and the order of rows.")


@dataclass(frozen=True)
class Candidate:
    """A strategy with a head.

    Attributes:
        strategy: How the imbalance is met.
        head: Name of a head of the recipe.
    """

    strategy: Strategy
    head: str

    @property
    def name(self) -> str:
        """`<strategy> · <head>`, as people see it."""
        return f"{self.strategy} · {self.head}"


class FloorGate(Section):
    """Refuses a challenger whose metric is under an absolute minimum."""

    gate: Literal["floor"]
    metric: GatedMetric
    minimum: float = Field(ge=0, le=1)


class NonInferiorGate(Section):
    """Refuses a challenger that is worse than the champion by more than a tolerance."""

    gate: Literal["non_inferior"]
    metric: GatedMetric
    tolerance: float = Field(ge=0, le=1)


class CalibrationGate(Section):
    """Refuses a challenger whose expected calibration error is over a maximum."""

    gate: Literal["calibration"]
    maximum_ece: float = Field(gt=0, le=1)


class TestRowsGate(Section):
    """Refuses an evaluation with too few test images of a class."""

    gate: Literal["test_rows"]
    minimum_per_class: int = Field(ge=1)


GateConfig = Annotated[FloorGate | NonInferiorGate | CalibrationGate | TestRowsGate, Field(discriminator="gate")]


class ClassifierConfig(Section):
    """Everything that defines one classifier; stored beside every model that it produced."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{1,40}$", description="Also the file's name and part of the Dag's.")
    description: str = Field("", description="One sentence for the Airflow UI.")
    labels: tuple[str, ...] = Field(min_length=2, description="The classes; their order is the order of probabilities.")
    schedule: ScheduleConfig
    intake: IntakeConfig = IntakeConfig()
    dataset: DatasetConfig = DatasetConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    balancing: BalancingConfig = BalancingConfig()
    training: TrainingConfig
    gates: tuple[GateConfig, ...] = Field(min_length=1, description="All must hold before a challenger is promoted.")

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates, strategy by strategy."""
        return [Candidate(strategy, head) for strategy in self.training.strategies for head in self.training.heads]

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> ClassifierConfig:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be distinct")
        return self


def load_classifier(name: str, directory: Path = DIRECTORY) -> ClassifierConfig:
    """Returns the recipe of a classifier.

    Args:
        name: Name of the classifier, that is of its YAML file without the ending.
        directory: Where the YAML files are.

    Raises:
        ConfigurationError: If there is no such file, or it is not valid; the message names file, key and cure.
    """
    path = directory / f"{name}.yaml"
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeysLoader)
    except FileNotFoundError:
        known = ", ".join(classifier_names(directory)) or "none"
        raise ConfigurationError(
            str(path), "there is no such classifier", f"Write the file, or name one of: {known}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"not valid YAML: {error}", "Correct the syntax") from None
    return parse_classifier(document, path)


def parse_classifier(document: Any, path: Path) -> ClassifierConfig:
    """Returns the recipe that a parsed YAML document holds; see `load_classifier`."""
    if not isinstance(document, dict):
        raise ConfigurationError(
            str(path),
            f"expected a mapping, got {type(document).__name__}",
            "Start from include/classifiers/fashion_mnist.yaml",
        )
    try:
        config = ClassifierConfig.model_validate(document)
    except ValidationError as error:
        raise _first_mistake(error, path) from None
    if config.name != path.stem:
        raise ConfigurationError(
            f"{path}, key name",
            f"expected {path.stem!r} as the file is called, got {config.name!r}",
            "Rename one of them",
        )
    return config


def classifier_names(directory: Path = DIRECTORY) -> list[str]:
    """Returns the names of the classifiers that have a YAML file, in order."""
    return sorted(path.stem for path in directory.glob("*.yaml"))


class _UniqueKeysLoader(yaml.SafeLoader):
    """Reads plain YAML, without keys written twice: YAML keeps the last, so that a first `gates` would be dropped."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Returns the mapping of a node."""
        keys = [key.value for key, _ in node.value]
        for index, (key, _) in enumerate(node.value):
            if key.value in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is written twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _first_mistake(error: ValidationError, path: Path) -> ConfigurationError:
    mistakes = error.errors()
    # A misspelt key that is required is missing too; only the unknown one tells what to do.
    first = next((mistake for mistake in mistakes if mistake["type"] == "extra_forbidden"), mistakes[0])
    key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
    others = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        cure = f"Did you mean {near[0]!r}?" if near else f"Remove it; known keys here: {', '.join(known)}"
        return ConfigurationError(f"{path}, key {key}", f"unknown key{others}", cure)
    if first["type"] == "missing":
        return ConfigurationError(f"{path}, key {key}", f"missing{others}", f"Add {first['loc'][-1]!r}")
    message = f"{first['msg']}, got {first['input']!r}"[:300]
    return ConfigurationError(
        f"{path}, key {key}", f"{message}{others}", "See ClassifierConfig in include/retraining/config.py"
    )


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that are allowed at a place in the document."""
    schema = ClassifierConfig.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(node, schema)
        properties = node.get("properties", {})
        node = properties.get(part) or node.get("additionalProperties") or _variant(node, part) or node.get("items", {})
    return sorted(_resolve(node, schema).get("properties", {}))


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref") if isinstance(node, dict) else None
    return schema["$defs"][reference.split("/")[-1]] if reference else node


def _variant(node: dict[str, Any], part: int | str) -> dict[str, Any] | None:
    mapping = node.get("discriminator", {}).get("mapping", {})
    return {"$ref": mapping[part]} if part in mapping else None
