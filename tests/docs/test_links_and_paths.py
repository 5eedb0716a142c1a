from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, REPOSITORY, anchors, code_spans, links, name_of, read

# What a path in docs/architecture.md may start from, as its text says.
ROOTS = ("", "include", "include/retraining")
BUCKET = set(re.findall(r'return f"(\w+)/', read("include/retraining/storage/layout.py")))
FILE = re.compile(r"[\w.-]+(/[\w.-]+)*\.(py|toml|ya?ml|md|in|txt)|Dockerfile|Makefile|([\w.-]+/)*[\w.-]+/|tests(/\w+)+")


def resolves(path: str) -> bool:
    """Tells whether a path names a file: from one of the roots, or by its name alone inside the library."""
    if any((REPOSITORY / root / path).exists() for root in ROOTS):
        return True
    return "/" not in path and any((REPOSITORY / "include").rglob(path))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_inside_the_repository_leads_somewhere(document: Path):
    text = document.read_text(encoding="utf-8")

    for target in links(text):
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md", "README.md", "docs/runbook.md"])
def test_every_file_that_a_document_names_is_there(document: str):
    spans = [span for span in code_spans(read(document)) if FILE.fullmatch(span)]
    named = [span for span in spans if span.partition("/")[0] not in BUCKET]

    assert named
    assert [path for path in named if not resolves(path)] == []


def test_the_architecture_names_a_file_for_every_stage():
    named = " ".join(code_spans(read("docs/architecture.md")))

    stages = [path.name for path in (REPOSITORY / "include/retraining").iterdir() if (path / "__init__.py").exists()]
    beside = {"artifacts", "command_line", "config", "storage"}
    assert [stage for stage in stages if f"{stage}/" not in named and stage not in beside] == []


def test_every_decision_is_listed_under_its_title():
    index = read("docs/decisions/README.md")

    for record in sorted((REPOSITORY / "docs/decisions").glob("0*.md")):
        title = record.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith("# "), record.name
        number = record.name[:4]
        assert f"[{number}]({record.name})" in index, record.name


def test_every_document_can_be_reached_from_the_readme():
    seen, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        document = waiting.pop()
        seen.add(document)
        targets = [target.partition("#")[0] for target in links(document.read_text(encoding="utf-8"))]
        found = [(document.parent / target).resolve() for target in targets if target.endswith(".md")]
        waiting += [path for path in found if path not in seen]

    assert [name_of(document) for document in DOCUMENTS if document not in seen] == ["CHANGELOG.md"]
