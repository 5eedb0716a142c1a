from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta

import pytest

from include.retraining.command_line.caller import Caller, the_caller


def test_the_caller_is_the_user_and_the_moment_is_now(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")

    caller = the_caller()

    assert caller.name == "ada"
    assert timedelta(0) <= datetime.now(UTC) - caller.at < timedelta(minutes=1)


@pytest.mark.parametrize("error", [KeyError("uid not found: 50000"), OSError("no username"), ImportError("no pwd")])
def test_under_a_number_without_a_name_the_command_line_is_who_asked(error, monkeypatch):
    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)

    assert the_caller().name == "command line"


def test_two_commands_in_one_second_are_told_apart():
    first = Caller("ada", datetime(2026, 1, 5, 2, 0, 0, 1, tzinfo=UTC))
    second = Caller("ada", datetime(2026, 1, 5, 2, 0, 0, 2, tzinfo=UTC))

    assert first.run_id("rollback") == "command-line__rollback__2026-01-05T02:00:00.000001+00:00"
    assert first.run_id("rollback") != second.run_id("rollback")
