from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from include.retraining import journal, registry
from include.retraining.artifacts import VersionRecord
from include.retraining.command_line.main import main
from include.retraining.command_line.model_diff import differing, flat
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import manifest_of
from include.retraining.storage.records import to_json
from tests.builders import LABELS, make_candidate, make_lineage, make_metrics
from tests.promotions import PROVENANCE, make_decision

LATER = datetime(2026, 1, 4, 2, tzinfo=UTC)


def publish(store: ObjectStore, recipe: dict[str, object], *, recall: float, model: bytes, **lineage) -> VersionRecord:
    """Publishes a version with a recipe of its own."""
    made = make_lineage(**lineage)
    candidate = make_candidate(validation=make_metrics(dict.fromkeys(LABELS, recall)))
    files = {
        registry.MODEL: model,
        registry.RECIPE: json.dumps(recipe).encode(),
        registry.LINEAGE: to_json(made),
        registry.CANDIDATE: to_json(candidate),
    }
    name = registry.version_name(made, manifest_of(files).files)
    manifest = registry.publish_version(store, "flowers", name, files, PROVENANCE)
    return VersionRecord(name, uri_of(store, layout.version("flowers", name)), manifest.digest, 0.0)


@pytest.fixture
def versions(store: InMemoryStore) -> tuple[VersionRecord, VersionRecord]:
    recipe = {"name": "flowers", "training": {"epochs": 40, "heads": {"linear": {"weight_decay": 1.0}}}}
    first = publish(store, recipe, recall=0.8, model=b"old")
    changed = {**recipe, "training": {"epochs": 60, "heads": recipe["training"]["heads"]}, "gates": [{"gate": "floor"}]}
    second = publish(store, changed, recall=0.9, model=b"new", window_end=LATER, environment_digest="e1" * 32)
    return first, second


def decide(store: InMemoryStore, version: VersionRecord, macro_recall: float, test_digest: str = "7e57" * 16) -> None:
    decision = make_decision(
        challenger=version.name,
        run_id=f"run of {version.name} {macro_recall}",
        metrics={"macro_recall": macro_recall, "ece": 0.04},
        recall={"daisy": macro_recall},
        test_digest=test_digest,
    )
    journal.append(store, "flowers", decision)


def rows_of(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_what_differs_is_shown_key_by_key_and_what_is_the_same_is_left_out(versions, capsys):
    first, second = versions

    assert main(["models", "diff", "flowers", first.name, second.name]) == 0

    rows = rows_of(capsys.readouterr().out)
    assert rows[:2] == [f"first {first.name}", f"second {second.name}"]
    assert "training.epochs 40 60" in rows
    assert "gates.1.gate – floor" in rows
    assert "window_end 2026-01-03 02:00 2026-01-04 02:00" in rows
    assert "environment_digest – e1e1e1e1e1e1" in rows
    assert "macro_recall 0.8000 0.9000" in rows
    assert "recall:orchid 0.8000 0.9000" in rows
    assert not any("weight_decay" in row or "snapshot_digest" in row for row in rows)
    assert {row.split(" ")[0] for row in rows} >= {"model.keras", "lineage.json", "classifier.json"}


def test_test_metrics_are_those_of_the_newest_decision_about_each(store, versions, capsys):
    first, second = versions
    decide(store, first, 0.5)
    decide(store, first, 0.7)
    decide(store, second, 0.8)

    main(["models", "diff", "flowers", first.name, second.name])

    out = capsys.readouterr().out
    shown = rows_of(out[out.index("Test rows") :])
    assert "macro_recall 0.7000 0.8000" in shown
    assert "recall:daisy 0.7000 0.8000" in shown
    assert not any(row.startswith("ece") for row in shown)
    assert "different test rows" not in out


def test_metrics_on_different_test_rows_are_not_to_be_compared(store, versions, capsys):
    first, second = versions
    decide(store, first, 0.7)
    decide(store, second, 0.8, test_digest="0" * 64)

    main(["models", "diff", "flowers", first.name, second.name])

    assert "The decisions are about different test rows" in capsys.readouterr().out


def test_json_has_every_difference_with_full_digests(store, versions, capsys):
    first, second = versions
    decide(store, first, 0.7)

    assert main(["models", "diff", "flowers", first.name, second.name, "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["first"], found["second"], found["same_test_rows"]) == (first.name, second.name, None)
    assert found["recipe"][0] == {"key": "training.epochs", "first": 40, "second": 60}
    assert {"key": "environment_digest", "first": "", "second": "e1" * 32} in found["lineage"]
    assert {"key": "macro_recall", "first": 0.7, "second": None} in found["test"]


def test_a_version_does_not_differ_from_itself(versions, capsys):
    first, _ = versions

    main(["models", "diff", "flowers", first.name, first.name])

    assert capsys.readouterr().out.count("no difference") == 5


def test_a_version_that_is_not_there_is_named(versions, capsys):
    first, _ = versions

    assert main(["models", "diff", "flowers", first.name, "20990101T0000-000000000000"]) == 1
    assert "version 20990101T0000-000000000000 of flowers: there is none" in capsys.readouterr().err


def test_a_damaged_recipe_is_an_error_that_names_it(store, versions, capsys):
    first, second = versions
    store.put(f"{layout.version('flowers', second.name)}classifier.json", b"{}")

    assert main(["models", "diff", "flowers", first.name, second.name]) == 1
    assert f"{second.uri}classifier.json: expected sha256" in capsys.readouterr().err


def test_empty_parts_of_a_document_are_values_too():
    document = {"fine_tune": None, "labels": [], "expectations": {}, "a": {"b": {"c": 1}}}

    assert flat(document) == {"fine_tune": None, "labels": None, "expectations": None, "a.b.c": 1}


def test_keys_come_in_the_order_of_the_first_side_then_of_the_second():
    found = differing({"b": 1, "a": 2, "same": 3}, {"c": 4, "a": 5, "same": 3})

    assert [(it.key, it.first, it.second) for it in found] == [("b", 1, None), ("a", 2, 5), ("c", None, 4)]
