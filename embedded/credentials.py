"""The passwords and keys of one stack: generated at its first start, kept after it, readable by its owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from embedded.errors import StateError


@dataclass(frozen=True)
class Credentials:
    """Every secret of one stack.

    Attributes:
        admin_password: Of Airflow's user `admin`.
        viewer_password: Of Airflow's user `viewer`, who may read only.
        s3_access_key: Identity at the S3 endpoint.
        s3_secret_key: Its secret.
        postgres_password: Of the database's only user.
        jwt_secret: Signs the tokens between Airflow's parts.
        fernet_key: Encrypts what Airflow keeps in its database.
        api_secret_key: Signs the UI's sessions.
        marker: Stands in the environment of each process of this stack, so that strays are found.
    """

    admin_password: str
    viewer_password: str
    s3_access_key: str
    s3_secret_key: str
    postgres_password: str
    jwt_secret: str
    fernet_key: str
    api_secret_key: str
    marker: str

    def __repr__(self) -> str:
        return "Credentials(...)"


def generate_credentials() -> Credentials:
    """Makes new secrets."""
    return Credentials(
        admin_password=secrets.token_urlsafe(12),
        viewer_password=secrets.token_urlsafe(12),
        s3_access_key=secrets.token_hex(10).upper(),
        s3_secret_key=secrets.token_hex(20),
        postgres_password=secrets.token_hex(20),
        jwt_secret=secrets.token_urlsafe(64),
        fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        api_secret_key=secrets.token_urlsafe(32),
        marker=secrets.token_hex(16),
    )


def load_credentials(path: Path) -> Credentials | None:
    """Returns the secrets that a file holds, or None if there is no file.

    Raises:
        StateError: If the file is not what `save_credentials` wrote.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Credentials(**{field.name: str(values[field.name]) for field in fields(Credentials)})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(
            path, f"it does not hold the stack's credentials ({error!r})", "Delete the directory that it is in."
        ) from error


def ensure_credentials(path: Path) -> Credentials:
    """Returns the secrets of a file, after generating them if there is none."""
    found = load_credentials(path)
    if found is not None:
        return found
    made = generate_credentials()
    write_private(path, json.dumps(asdict(made), indent=2) + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Writes a file that its owner alone may read, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
