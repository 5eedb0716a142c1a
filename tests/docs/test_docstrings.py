from __future__ import annotations

import doctest
import importlib

from tests.docs.documents import REPOSITORY

SOURCES = ("include", "plugins", "embedded", "demo", "deploy", "benchmarks")


def test_every_example_in_a_docstring_gives_what_it_says():
    files = [path for source in SOURCES for path in (REPOSITORY / source).rglob("*.py")]
    with_examples = [path for path in files if ">>> " in path.read_text(encoding="utf-8")]

    names = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in with_examples]

    assert names
    assert {name: doctest.testmod(importlib.import_module(name)).failed for name in names} == dict.fromkeys(names, 0)
