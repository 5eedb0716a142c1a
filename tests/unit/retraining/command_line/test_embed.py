from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from include.retraining.artifacts import Window
from include.retraining.command_line import embed as module
from include.retraining.command_line.main import main
from include.retraining.embedding.fine_tuning.choice import choose_extractor
from include.retraining.run import EMBEDDING, EMBEDDING_PLAN
from tests.builders import make_embedding
from tests.datasets import accept, embedding_of, row


@pytest.fixture
def embedded(store, monkeypatch):
    """Replaces the pipeline by one that records what an embedding stage would; returns the runs that it was given."""
    runs = []

    def embed_accepted(run, progress):
        runs.append(run)
        progress("extract_embeddings", 450, 450)
        run.record(EMBEDDING_PLAN, make_embedding())
        return run.record(EMBEDDING, embedding_of(run))

    monkeypatch.setattr(module, "embed_accepted", embed_accepted)
    return runs


def test_everything_up_to_the_day_is_embedded_and_what_it_cost_is_said(embedded, capsys):
    assert main(["embed", "flowers", "2026-01-05"]) == 0

    (run,) = embedded
    assert run.window == Window(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "900 images, 900 vectors: 450 stored before, 450 computed",
        "  image_size is 96, the nearest stored fingerprint 1a1a1a1a1a1a1a1a has 64.",
        f"extractor {choose_extractor(run).fingerprint}: {choose_extractor(run).origin}",
    ]
    assert captured.err == "extract_embeddings: 450/450\n"


def test_json_holds_plan_and_extractor(embedded, capsys):
    assert main(["embed", "flowers", "2026-01-05", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["plan"]["n_missing"] == 450
    assert told["embedding"]["extractor"]["fingerprint"] == choose_extractor(embedded[0]).fingerprint


def test_a_day_before_anything_was_accepted_is_an_error_that_says_what_is_missing(store, capsys):
    accept(store, date(2026, 1, 9), [row("a" * 64)])

    assert main(["embed", "flowers", "2026-01-05"]) == 1

    assert capsys.readouterr().err.splitlines()[-1].startswith("error: The train split")
