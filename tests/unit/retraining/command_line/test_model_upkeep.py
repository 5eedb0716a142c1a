from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from include.retraining import journal
from include.retraining.artifacts import Window
from include.retraining.command_line.main import main
from include.retraining.registry import MODEL, version_names
from include.retraining.storage import layout
from tests.builders import make_lineage
from tests.corruptions import Registry, build_registry
from tests.promotions import publish_made_version
from tests.races import CONFIG, decide_about
from tests.recipes import write_recipe

NAME = "race"


@pytest.fixture
def built(store, tmp_path) -> Registry:
    """A champion, a former one and an approved challenger, of a classifier that has a recipe."""
    write_recipe(tmp_path, CONFIG)
    return build_registry(store)


def test_verify_passes_a_registry_in_which_nothing_was_changed(built, capsys):
    assert main(["models", "verify", NAME]) == 0
    assert capsys.readouterr().out == "race is whole: 3 versions, 5 entries of the journal.\n"


def test_verify_names_every_problem_and_not_the_first_alone(built, store, capsys):
    model, entry = built.key(built.older, MODEL), built.entry_keys()[2]
    store.put(model, b"other weights")
    store.delete(entry)

    assert main(["models", "verify", NAME]) == 1

    out = capsys.readouterr().out
    assert f"s3://memory/{model}" in out
    assert f"s3://memory/{entry}" in out


def test_verify_as_json_has_the_same_with_the_counts(built, store, capsys):
    assert main(["models", "verify", NAME, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    store.delete(built.key(built.current, MODEL))

    assert main(["models", "verify", NAME, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)

    assert (whole["whole"], whole["problems"], whole["n_versions"], whole["n_entries"]) == (True, [], 3, 5)
    assert found["whole"] is False
    assert set(found["problems"][0]) == {"where", "sentence"}


def test_an_upload_that_is_not_finished_is_a_note_and_no_problem(built, store, capsys):
    prefix = layout.version(NAME, "20300101T0000-000000000000")
    store.put(f"{prefix}{MODEL}", b"half of it")

    assert main(["models", "verify", NAME]) == 0
    assert f"\nnote: s3://memory/{prefix}: an upload that was not finished" in capsys.readouterr().out


def test_verify_works_where_the_champion_cannot_be_read(built, store, capsys):
    store.put(layout.champion(NAME), b"no JSON")

    assert main(["models", "verify", NAME]) == 1
    assert f"s3://memory/{layout.champion(NAME)}" in capsys.readouterr().out


def test_a_version_that_is_named_is_verified_alone(built, store, capsys):
    store.delete(built.key(built.current, MODEL))

    assert main(["models", "verify", NAME, built.older.name]) == 0
    assert capsys.readouterr().out == f"{built.older.name} is whole: every file matches its sha256.\n"
    assert main(["models", "verify", NAME, built.current.name, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], found["whole"], len(found["problems"])) == (built.current.name, False, 1)


def make_useless(built: Registry) -> str:
    """Publishes a version that was decided about, and that nothing needs; returns its name."""
    end = datetime(2025, 12, 1, tzinfo=UTC)
    useless = publish_made_version(built.store, classifier=NAME, lineage=make_lineage(classifier=NAME, window_end=end))
    run = dataclasses.replace(built.run, window=Window(end - timedelta(days=1), end), run_id="backfill")
    assert not decide_about(run, useless).approved
    return useless.name


def test_gc_says_what_it_would_remove_and_why_it_keeps_the_rest_and_removes_nothing(built, store, capsys):
    useless = make_useless(built)
    before = dict(store.objects)

    assert main(["models", "gc", NAME]) == 0

    out = capsys.readouterr().out
    kept, removed = out.split("Would be removed")
    assert all(version.name in kept for version in (built.older, built.current, built.challenger))
    assert useless in removed
    assert useless not in kept
    assert store.objects == before


def test_gc_removes_where_it_is_told_to_and_writes_down_who_did(built, store, capsys):
    useless = make_useless(built)

    assert main(["models", "gc", NAME, "--delete"]) == 0

    assert useless not in version_names(store, NAME)
    assert [key for key in store.objects if key.startswith(layout.version(NAME, useless))] == []
    retirements = [it.retirement for it in journal.entries(store, NAME) if it.retirement is not None]
    assert [it.versions for it in retirements] == [(useless,)]
    assert datetime.now(UTC) - retirements[0].retired_at < timedelta(minutes=1)
    assert main(["models", "verify", NAME]) == 0
    assert main(["models", "list", NAME]) == 0
    assert f"retired by `models gc`: {useless}" in capsys.readouterr().out


def test_gc_as_json_has_plan_and_retirement(built, capsys):
    useless = make_useless(built)

    assert main(["models", "gc", NAME, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert main(["models", "gc", NAME, "--json", "--delete"]) == 0
    done = json.loads(capsys.readouterr().out)

    assert (planned["plan"]["remove"], planned["deleted"], planned["retirement"]) == ([useless], False, None)
    assert (done["deleted"], done["retirement"]["versions"]) == (True, [useless])


def test_gc_says_where_there_is_nothing_to_remove(built, capsys):
    assert main(["models", "gc", NAME]) == 0
    assert capsys.readouterr().out.endswith("\nNothing to remove.\n")


def test_gc_removes_nothing_where_the_journal_is_broken(built, store, capsys):
    make_useless(built)
    store.delete(built.entry_keys()[1])
    before = dict(store.objects)

    assert main(["models", "gc", NAME, "--delete"]) == 1
    assert store.objects == before
    assert "history" in capsys.readouterr().err
