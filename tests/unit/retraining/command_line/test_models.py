from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from include.retraining import journal
from include.retraining.artifacts import Move, VersionRecord
from include.retraining.command_line.main import main
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from tests.builders import RUN_ID, make_candidate, make_lineage
from tests.promotions import crown, make_decision, make_move, publish_made_version

LATER = datetime(2026, 1, 4, 2, tzinfo=UTC)


@pytest.fixture
def older(store) -> VersionRecord:
    """The champion, trained with the longest name that the demo's recipe has."""
    version = publish_made_version(store, candidate=make_candidate("class_weights"))
    crown(store, version)
    return version


@pytest.fixture
def newer(store) -> VersionRecord:
    return publish_made_version(store, lineage=make_lineage(window_end=LATER), model=b"newer weights")


def write_moves(store: InMemoryStore, *moves: Move) -> None:
    for number, move in enumerate(moves):
        journal.append(store, "flowers", dataclasses.replace(move, run_id=f"move {number}"))


def damage(store: InMemoryStore, version: VersionRecord) -> str:
    """Makes the manifest of a version unreadable; returns its key."""
    key = f"{layout.version('flowers', version.name)}manifest.json"
    store.put(key, b"{")
    return key


def test_the_list_shows_all_versions_newest_data_first_and_marks_the_champion(older, newer, capsys):
    assert main(["models", "list", "flowers"]) == 0

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if "·" in line] == [
        f"   {newer.name}  2026-01-04 02:00  smote · linear          0.8000",
        f"*  {older.name}  2026-01-03 02:00  class_weights · linear  0.8000",
    ]


def test_the_list_fits_into_80_columns_with_one_line_a_version(older, newer, capsys):
    main(["models", "list", "flowers"])

    lines = capsys.readouterr().out.rstrip().splitlines()
    assert max(len(line) for line in lines) <= 80
    # A blank line, the title, the head, a rule, two versions, the legend of the marks.
    assert len(lines) == 7


def test_the_list_as_json_has_everything_with_the_uri_and_full_moments(older, newer, capsys):
    assert main(["models", "list", "flowers", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [row["version"] for row in rows] == [newer.name, older.name]
    assert rows[1] == {
        "version": older.name,
        "champion": True,
        "standing": "champion",
        "window_end": "2026-01-03T02:00:00+00:00",
        "candidate": "class_weights · linear",
        "validation_macro_recall": pytest.approx(0.8),
        "uri": older.uri,
        "problem": None,
    }


def test_the_list_names_a_broken_version_and_shows_the_others(store, older, newer, capsys):
    key = damage(store, newer)

    assert main(["models", "list", "flowers"]) == 1

    out = capsys.readouterr().out
    assert newer.name in out
    assert older.name in out
    assert f"broken: s3://memory/{key}: expected a manifest" in out


def test_the_list_as_json_says_what_is_broken_too(store, older, newer, capsys):
    damage(store, newer)

    assert main(["models", "list", "flowers", "--json"]) == 1

    broken, whole = json.loads(capsys.readouterr().out)
    assert (broken["window_end"], whole["problem"]) == (None, None)
    assert "expected a manifest" in broken["problem"]


def test_the_list_says_that_there_is_no_version_yet(store, capsys):
    assert main(["models", "list", "flowers"]) == 0
    assert capsys.readouterr().out == "No version of flowers was published yet.\n"


def test_the_list_as_json_is_empty_before_the_first_version(store, capsys):
    assert main(["models", "list", "flowers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_list_tells_of_a_version_that_was_not_published_to_the_end_and_that_is_no_problem(
    store, older, newer, capsys
):
    store.delete(f"{layout.version('flowers', newer.name)}manifest.json")

    assert main(["models", "list", "flowers"]) == 0
    text = capsys.readouterr().out
    assert main(["models", "list", "flowers", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert text.endswith(f"\nuploads that were not finished, or not yet: {newer.name}\n")
    assert [(row["version"], row["standing"]) for row in rows] == [
        (older.name, "champion"),
        (newer.name, "unfinished"),
    ]


def test_the_list_marks_former_champions_and_those_that_a_rollback_left(store, older, newer, capsys):
    latest = publish_made_version(store, lineage=make_lineage(window_end=LATER), model=b"latest weights")
    write_moves(
        store,
        make_move(older.name),
        make_move(newer.name, older.name),
        make_move(latest.name, newer.name),
        make_move(older.name, latest.name, kind="rollback", by="ada", reason="recall fell"),
    )

    main(["models", "list", "flowers"])

    marks = {line[3:29]: line[0] for line in capsys.readouterr().out.splitlines() if "·" in line}
    assert marks == {older.name: "*", newer.name: "+", latest.name: "-"}


def test_the_list_works_where_the_champion_cannot_be_read_and_names_it(store, older, newer, capsys):
    store.put(layout.champion("flowers"), b"no JSON")

    assert main(["models", "list", "flowers"]) == 1

    out = capsys.readouterr().out
    assert older.name in out
    assert f"broken: s3://memory/{layout.champion('flowers')}" in out


def test_the_list_works_where_an_entry_of_the_journal_cannot_be_read(store, older, newer, capsys):
    write_moves(store, make_move(older.name), make_move(newer.name, older.name))
    store.put(f"{layout.history('flowers')}00000001.json", b"{")

    assert main(["models", "list", "flowers"]) == 0
    assert newer.name in capsys.readouterr().out


def test_show_shows_the_champion_unless_a_version_is_named(older, newer, capsys):
    assert main(["models", "show", "flowers"]) == 0
    champion = capsys.readouterr().out
    assert main(["models", "show", "flowers", newer.name]) == 0
    named = capsys.readouterr().out

    assert champion.startswith(f"{older.name} (champion)\n{older.uri}\ncontent {older.digest}\n")
    assert named.startswith(f"{newer.name}\n{newer.uri}\n")


def test_show_says_where_the_version_comes_from_how_good_it_is_and_what_it_is_made_of(older, capsys):
    main(["models", "show", "flowers"])

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "snapshot digest        5a5a5a5a5a5a" in lines
    assert "window end             2026-01-03 02:00" in lines
    assert "versions               keras 3.15.1, numpy 2.4.6" in lines
    assert "cross-validation  0.8000 ± 0.0071" in lines
    assert "weight decay      1" in lines
    assert "temperature       1.250" in lines
    assert "poppy   100     0.8000" in lines
    assert {"candidate.json", "lineage.json", "model.keras"} <= {line.split(" ")[0] for line in lines}
    assert max(len(line) for line in lines[2:]) <= 80


def test_show_says_which_run_made_it_first_and_from_which_environment_and_seeds(store, capsys):
    lineage = make_lineage(environment_digest="e1" * 32, seeds={"balancing": 1, "training": 2})
    crown(store, publish_made_version(store, lineage=lineage))

    main(["models", "show", "flowers"])

    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "environment digest e1e1e1e1e1e1" in rows
    assert "seeds balancing 1, training 2" in rows
    assert f"run {RUN_ID}" in rows
    assert "by schedule" in rows


def test_show_tells_the_newest_decision_and_every_move_to_and_from_it(store, older, newer, capsys):
    journal.append(store, "flowers", make_decision("ece is undefined", challenger=newer.name, run_id="first"))
    journal.append(store, "flowers", make_decision(challenger=newer.name, run_id="second", by="schedule"))
    write_moves(
        store,
        make_move(newer.name, older.name),
        make_move(older.name, newer.name, kind="rollback", by="ada", reason="recall fell"),
    )

    main(["models", "show", "flowers", newer.name])

    out = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[0] == f"{newer.name} (withdrawn)"
    assert "answer approved" in rows
    assert "run second" in rows
    assert "macro recall 0.8000" in rows
    assert "ece is undefined" not in out
    moves = out[out.index("Moves to and from it") : out.index("\nFiles")]
    assert [moves.count(word) for word in ("promotion", "rollback", "ada")] == [1, 1, 1]


def test_show_gives_the_reasons_of_a_refusal_and_says_where_it_was_a_dry_run(store, newer, capsys):
    refusal = make_decision("ece is undefined", "recall fell", challenger=newer.name, is_dry_run=True)
    journal.append(store, "flowers", refusal)

    main(["models", "show", "flowers", newer.name])

    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "answer refused (dry run)" in rows
    assert "because ece is undefined" in rows
    assert "because recall fell" in rows


def test_show_says_where_nobody_decided_yet(newer, capsys):
    main(["models", "show", "flowers", newer.name])

    assert "Nobody decided about it yet." in capsys.readouterr().out


def test_show_has_a_dash_where_no_resampling_took_place(store, capsys):
    crown(store, publish_made_version(store, lineage=make_lineage(resampling_digest="")))

    main(["models", "show", "flowers"])

    assert "resampling digest      –" in capsys.readouterr().out


def test_show_gives_the_thresholds_by_which_a_version_decides(store, capsys):
    thresholds = {"daisy": 0.5, "poppy": 0.25, "orchid": 0.125}
    crown(store, publish_made_version(store, candidate=make_candidate(thresholds=thresholds)))

    main(["models", "show", "flowers"])

    assert "thresholds        daisy 0.5, poppy 0.25, orchid 0.125" in capsys.readouterr().out


def test_show_as_json_has_the_whole_record(older, capsys):
    assert main(["models", "show", "flowers", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["uri"]) == (older.name, older.uri)
    assert shown["lineage"]["snapshot_digest"] == "5a5a" * 16
    assert (shown["standing"], shown["decision"], shown["moves"]) == ("champion", None, [])
    assert shown["provenance"]["run_id"] == RUN_ID
    assert shown["candidate"]["validation"]["recall"] == {"daisy": 0.8, "poppy": 0.8, "orchid": 0.8}
    assert set(shown["manifest"]["files"]) == {"candidate.json", "lineage.json", "model.keras", "provenance.json"}


def test_show_names_the_object_whose_bytes_are_not_those_that_were_published(store, older, capsys):
    store.put(f"{layout.version('flowers', older.name)}lineage.json", b"{}")

    assert main(["models", "show", "flowers"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {older.uri}lineage.json: expected sha256")


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_a_version_that_is_not_there_is_an_error_with_the_way_to_the_right_one(store, older, verb, capsys):
    assert main(["models", verb, "flowers", "20990101T0000-000000000000"]) == 1
    assert "there is none. `models list` shows those that there are" in capsys.readouterr().err


def test_before_the_first_promotion_a_version_must_be_named(store, newer, capsys):
    assert main(["models", "show", "flowers"]) == 1
    assert capsys.readouterr().err.startswith("error: classifier flowers: no version was promoted yet.")
    assert main(["models", "show", "flowers", newer.name]) == 0
