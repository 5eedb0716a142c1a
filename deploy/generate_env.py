"""Writes `.env` from `.env.example` with generated secrets; never touches one that is there. Needs no package."""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)
EMPTY_VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=$", re.MULTILINE)
FERNET_KEY = "AIRFLOW_FERNET_KEY"


def fill_in(template: str) -> str:
    """Returns the template with a fresh secret after each variable that has no value."""
    return EMPTY_VARIABLE.sub(lambda match: f"{match[1]}={make_secret(match[1])}", template)


def find_missing(template: str, text: str) -> list[str]:
    """Returns the template's variables that a text lacks or leaves empty, in the template's order."""
    given = set(VARIABLE.findall(text)) - set(EMPTY_VARIABLE.findall(text))
    return [name for name in VARIABLE.findall(template) if name not in given]


def make_secret(name: str) -> str:
    """Returns 32 random bytes: URL-safe base64 for the Fernet key, which must be that; else hexadecimal.

    Hexadecimal needs no quoting in any of the places where compose puts a secret: a URL, JSON, a configuration file.
    """
    if name == FERNET_KEY:
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def write_new(path: Path, text: str) -> bool:
    """Writes a file that only its owner may read; returns False, and writes nothing, where there is one already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def main() -> int:
    """Writes the repository's `.env`, says what it did, and returns the exit status."""
    path = REPOSITORY / ".env"
    template = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    if write_new(path, fill_in(template)):
        sys.stdout.write(f"{path}: written, with generated secrets; only you can read it\n")
        return 0
    missing = find_missing(template, path.read_text(encoding="utf-8"))
    sys.stdout.write(f"{path}: there already, left as it is\n")
    if missing:
        sys.stderr.write(f"{path}: no value for {', '.join(missing)}. Add them as .env.example describes them\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
