"""A whole recipe, and how its YAML is read and a wrong one is refused."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from croniter import croniter
from pydantic import Field, ValidationError, field_validator, model_validator

from include.retraining.config.embedding import EmbeddingConfig
from include.retraining.config.evaluation import EvaluationConfig, PromotionConfig
from include.retraining.config.expectations import ExpectationsConfig
from include.retraining.config.fine_tuning import FineTuneConfig
from include.retraining.config.gates import (
    DEPLOYMENT_METRICS,
    EVERY,
    SLICE_METRICS,
    BetterThanChanceGate,
    CalibrationGate,
    GateConfig,
    MetricGate,
    metric_parts,
    slice_parts,
)
from include.retraining.config.intake import IntakeConfig
from include.retraining.config.section import Section
from include.retraining.config.training import (
    BalancingConfig,
    Candidate,
    DatasetConfig,
    TrainingConfig,
)
from include.retraining.errors import ConfigurationError

MOST_SHOWN = 200  # characters of a wrong value
DIRECTORY = Path(__file__).parents[2] / "classifiers"


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


class ClassifierConfig(Section):
    """Everything that defines one classifier; stored beside every model that it produced."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{1,40}$", description="Also the file's name and part of the Dag's.")
    description: str = Field("", description="One sentence for the Airflow UI.")
    labels: tuple[str, ...] = Field(min_length=2, description="The classes; their order is the order of probabilities.")
    schedule: ScheduleConfig
    intake: IntakeConfig = IntakeConfig()
    expectations: ExpectationsConfig = ExpectationsConfig()
    dataset: DatasetConfig = DatasetConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    fine_tune: FineTuneConfig | None = Field(None, description="When and how the network is fine-tuned; null: never.")
    balancing: BalancingConfig = BalancingConfig()
    training: TrainingConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    promotion: PromotionConfig = PromotionConfig()
    gates: tuple[GateConfig, ...] = Field(min_length=1, description="All must hold before a challenger is promoted.")

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates, strategy by strategy."""
        return self.training.candidates

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> ClassifierConfig:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be distinct")
        return self

    @model_validator(mode="after")
    def _counts_are_of_labels(self) -> ClassifierConfig:
        for name, strategy in self.training.resampling.items():
            asked = strategy.sampling_strategy
            unknown = sorted(set(asked) - set(self.labels)) if isinstance(asked, dict) else []
            if unknown:
                raise ValueError(f"sampling_strategy of {name} names {', '.join(unknown)}, which is no label")
        return self

    @model_validator(mode="after")
    def _has_something_to_reconstruct(self) -> ClassifierConfig:
        if self.balancing.reconstruct and not self.training.resampling:
            raise ValueError("balancing.reconstruct shows synthetic rows: add a strategy that resamples, such as smote")
        return self

    @model_validator(mode="after")
    def _prior_is_of_the_labels(self) -> ClassifierConfig:
        prior = self.evaluation.deployment_prior
        if prior is not None and set(prior) != set(self.labels):
            raise ValueError("evaluation.deployment_prior must give a share to each label, and to no other")
        return self

    @model_validator(mode="after")
    def _gates_name_what_there_is(self) -> ClassifierConfig:
        for gate in self.gates:
            if isinstance(gate, MetricGate):
                _check_metric(gate, self.labels, self.evaluation)
            under_deployment = isinstance(gate, MetricGate | CalibrationGate) and gate.prior == "deployment"
            if under_deployment and self.evaluation.deployment_prior is None:
                raise ValueError("a gate has prior: deployment; add evaluation.deployment_prior")
            # The observed labels are one of the permutations that are counted.
            smallest_p = 1 / (self.evaluation.permutations + 1)
            if isinstance(gate, BetterThanChanceGate) and gate.maximum_p < smallest_p:
                raise ValueError(
                    f"{self.evaluation.permutations} permutations give no p below {smallest_p:.4g}: "
                    f"raise evaluation.permutations, or maximum_p ({gate.maximum_p:g})"
                )
        return self


def _check_metric(gate: MetricGate, labels: tuple[str, ...], evaluation: EvaluationConfig) -> None:
    """Refuses a gate whose metric nobody computes: it would never pass."""
    name, label = metric_parts(gate.metric)
    if label not in ("", EVERY, *labels):
        raise ValueError(f"gate {gate.gate} names the metric {gate.metric}, and {label} is no label")
    if gate.prior == "deployment" and name not in DEPLOYMENT_METRICS:
        raise ValueError(f"{gate.metric} does not depend on how common the classes are: leave out prior")
    if gate.slice is None:
        return
    column = slice_parts(gate.slice)[0]
    if column not in evaluation.slices:
        raise ValueError(f"gate {gate.gate} names the slice {gate.slice}; add {column} to evaluation.slices")
    if name not in SLICE_METRICS or gate.prior != "test":
        raise ValueError(f"of a slice there are {', '.join(SLICE_METRICS)}, under its own class distribution")


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
    got = repr(first["input"])
    message = f"{first['msg']}, got {got if len(got) <= MOST_SHOWN else f'{got[:MOST_SHOWN]}…'}"
    return ConfigurationError(
        f"{path}, key {key}", f"{message}{others}", "See ClassifierConfig in include/retraining/config/recipe.py"
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
    if isinstance(node, dict) and "anyOf" in node:  # a section that may be null
        node = next((option for option in node["anyOf"] if "$ref" in option), node)
    reference = node.get("$ref") if isinstance(node, dict) else None
    return schema["$defs"][reference.split("/")[-1]] if reference else node


def _variant(node: dict[str, Any], part: int | str) -> dict[str, Any] | None:
    mapping = node.get("discriminator", {}).get("mapping", {})
    return {"$ref": mapping[part]} if part in mapping else None
