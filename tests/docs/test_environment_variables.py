from __future__ import annotations

import re

import pytest

from tests.docs.documents import DOCUMENTS, REPOSITORY, code_spans, name_of, read

SOURCES = ("include", "dags", "plugins", "embedded", "demo", "deploy", "benchmarks")
VARIABLE = re.compile(r"\b(?:RETRAIN|AWS)_[A-Z0-9_]*[A-Z0-9]\b")
DESCRIBED = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", read(".env.example"), re.MULTILINE))
SET_BY_THE_PROJECT_ITSELF = {"RETRAIN_EMBEDDED_MARKER"}


def code() -> str:
    files = [path for source in SOURCES for path in (REPOSITORY / source).rglob("*.py")]
    return "".join(path.read_text(encoding="utf-8") for path in files)


def test_every_variable_that_the_code_reads_is_in_the_example():
    assert set(VARIABLE.findall(code())) - SET_BY_THE_PROJECT_ITSELF - DESCRIBED == set()


def test_every_variable_of_the_example_is_read():
    read_somewhere = code() + read("docker-compose.yaml")

    assert {name for name in DESCRIBED if not re.search(rf"\b{name}\b", read_somewhere)} == set()


def test_every_variable_that_the_compose_file_asks_for_is_in_the_example():
    assert set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", read("docker-compose.yaml"))) - DESCRIBED == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_variable_that_a_document_names_is_in_the_example(document):
    spans = " ".join(code_spans(document.read_text(encoding="utf-8")))

    assert set(VARIABLE.findall(spans)) - DESCRIBED == set()
