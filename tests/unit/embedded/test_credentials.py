from __future__ import annotations

import stat
from dataclasses import astuple
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from embedded.credentials import ensure_credentials, generate_credentials, load_credentials
from embedded.errors import StateError


def test_credentials_are_generated_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"

    first = ensure_credentials(path)

    assert ensure_credentials(path) == first
    assert load_credentials(path) == first


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"

    ensure_credentials(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_no_two_secrets_and_no_two_stacks_are_alike() -> None:
    values = astuple(generate_credentials()) + astuple(generate_credentials())

    assert len(set(values)) == len(values)
    assert all(len(value) >= 16 for value in values)


def test_the_fernet_key_is_one() -> None:
    key = Fernet(generate_credentials().fernet_key)

    assert key.decrypt(key.encrypt(b"value")) == b"value"


def test_secrets_do_not_show_when_printed() -> None:
    credentials = generate_credentials()

    assert not any(secret in repr(credentials) for secret in astuple(credentials))


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert load_credentials(tmp_path / "credentials.json") is None


@pytest.mark.parametrize("text", ["", "[]", '{"admin_password": "x"}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(StateError) as caught:
        load_credentials(path)

    assert caught.value.path == path
