from __future__ import annotations

import getpass
import json
from typing import Any

import pytest

from include.retraining import steps
from include.retraining.artifacts import Move, RollbackOrder
from include.retraining.command_line.main import main
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, PointerMovedError
from include.retraining.promotion import by_hand as module
from include.retraining.promotion import rollback
from include.retraining.registry import champion_problems
from include.retraining.reporting import cards
from include.retraining.storage import layout
from tests.corruptions import CORRUPTIONS, build_registry, only_whole
from tests.promotions import CHALLENGER, CHAMPION, make_move
from tests.races import CONFIG as RACE
from tests.recipes import write_recipe

REASON = "recall of coats fell"


@pytest.fixture(autouse=True)
def ada(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")


@pytest.fixture
def rolled_back(store, monkeypatch) -> list[RollbackOrder]:
    """Replaces the rollback by one that only remembers its orders."""
    orders: list[RollbackOrder] = []

    def roll_back(config: Any, found: Any, order: RollbackOrder) -> Move:
        assert (config.name, found) == ("flowers", store)
        orders.append(order)
        return make_move(CHAMPION, CHALLENGER, kind="rollback", by=order.by, reason=order.reason)

    monkeypatch.setattr(steps, "roll_back", roll_back)
    return orders


@pytest.fixture
def promoted(store, monkeypatch) -> list[tuple[str, Any]]:
    """Replaces promotion by hand and the cards; remembers what each was asked for."""
    asked: list[tuple[str, Any]] = []

    def by_hand(config: Any, found: Any, version: str, **how: Any) -> Move:
        assert (config.name, found) == ("flowers", store)
        asked.append((version, how))
        return make_move(version, CHAMPION, by=how["by"], reason=how["reason"])

    monkeypatch.setattr(module, "promote_by_hand", by_hand)
    monkeypatch.setattr(cards, "publish_cards", lambda _config, _store, versions: asked.append(("cards", versions)))
    return asked


@pytest.mark.parametrize(("arguments", "version"), [([], None), ([CHAMPION], CHAMPION)])
def test_a_rollback_orders_what_was_typed_and_says_who_and_when(rolled_back, arguments, version, capsys):
    assert main(["models", "rollback", "flowers", *arguments, "--reason", REASON]) == 0

    (order,) = rolled_back
    assert (order.version, order.reason, order.by) == (version, REASON, "ada")
    assert order.run_id == f"command-line__rollback__{order.at.isoformat()}"
    assert capsys.readouterr().out == f"champion of flowers: {CHAMPION} (rollback)\nbefore: {CHALLENGER}\n"


def test_a_promotion_by_hand_says_who_and_why_and_renews_the_cards(promoted, capsys):
    assert main(["models", "promote", "flowers", CHALLENGER, "--reason", f" {REASON} "]) == 0

    (version, how), (_, renewed) = promoted
    assert (version, how["by"], how["reason"]) == (CHALLENGER, "ada", REASON)
    assert how["run_id"] == f"command-line__promote__{how['at'].isoformat()}"
    assert renewed == [CHAMPION, CHALLENGER]
    assert capsys.readouterr().out == f"champion of flowers: {CHALLENGER} (promotion)\nbefore: {CHAMPION}\n"


@pytest.mark.parametrize("verb", ["rollback", "promote"])
def test_json_is_the_move(rolled_back, promoted, verb, capsys):
    assert main(["models", verb, "flowers", CHALLENGER, "--reason", REASON, "--json"]) == 0

    move = json.loads(capsys.readouterr().out)
    assert (move["by"], move["reason"]) == ("ada", REASON)


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("version x", "it is retired", "Choose another"),
        ArtifactIntegrityError("s3://memory/models/x", "a whole version", "no golden file"),
        PointerMovedError("s3://memory/models/flowers/champion.json"),
    ],
)
def test_a_refused_rollback_is_a_message_and_status_1(store, monkeypatch, error, capsys):
    def refuse(*_: object) -> Move:
        raise error

    monkeypatch.setattr(steps, "roll_back", refuse)

    assert main(["models", "rollback", "flowers", CHAMPION, "--reason", REASON]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {error}\n")


@pytest.mark.parametrize("name", ["../../other", "latest", "20260103T0200-AAAAAAAAAAAA"])
@pytest.mark.parametrize("verb", ["rollback", "promote", "show", "verify"])
def test_what_is_no_name_of_a_version_reaches_no_key(store, verb, name, capsys):
    reason = ["--reason", REASON] if verb in ("rollback", "promote") else []

    assert main(["models", verb, "flowers", name, *reason]) == 1
    assert name in capsys.readouterr().err


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda it: it.name)
def test_a_rollback_is_the_way_out_of_whatever_is_damaged_with_its_cards_written(
    store, tmp_path, monkeypatch, corruption, capsys
):
    write_recipe(tmp_path, RACE)
    monkeypatch.setattr(rollback, "require_sound", only_whole)
    registry = build_registry(store)
    corruption.do(registry)

    status = main(["models", "rollback", RACE.name, registry.older.name, "--reason", REASON])

    assert (status, capsys.readouterr().out.splitlines()[0]) == (
        0,
        f"champion of race: {registry.older.name} (rollback)",
    )
    assert champion_problems(store, RACE.name) == []
    assert list(store.list(layout.card(RACE.name, registry.older.name)))
