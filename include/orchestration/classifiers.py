"""Which classifiers get a Dag. A broken recipe must not take the others' Dags away, nor stay unseen."""

from __future__ import annotations

from include.orchestration.settings import read_settings
from include.retraining.config import ClassifierConfig, classifier_names, load_classifier
from include.retraining.errors import ConfigurationError


def valid_classifiers() -> list[ClassifierConfig]:
    """Returns the recipes that are valid, in the order of their names; `check_classifiers` tells of the others."""
    return [recipe for recipe in _recipes() if isinstance(recipe, ClassifierConfig)]


def check_classifiers() -> None:
    """Refuses broken recipes, and a folder without any: no Dag would be left that could fail.

    Raises:
        ConfigurationError: The first broken recipe's mistake.
    """
    recipes = _recipes()
    if not recipes:
        raise ConfigurationError(
            "environment, RETRAIN_CLASSIFIERS",
            f"there is no recipe in {read_settings().classifiers}",
            "Name the folder of the classifiers' YAML files; without the variable it is include/classifiers",
        )
    for recipe in recipes:
        if isinstance(recipe, ConfigurationError):
            raise recipe


def _recipes() -> list[ClassifierConfig | ConfigurationError]:
    directory = read_settings().classifiers
    recipes: list[ClassifierConfig | ConfigurationError] = []
    for name in classifier_names(directory):
        try:
            recipes.append(load_classifier(name, directory))
        except ConfigurationError as error:
            recipes.append(error)
    return recipes
