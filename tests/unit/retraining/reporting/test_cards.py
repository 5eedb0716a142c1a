from __future__ import annotations

import dataclasses
import json
import logging
from datetime import timedelta

import pytest

from include.retraining import journal, registry
from include.retraining.artifacts import Approval, PriorMetrics, Retirement, VersionRecord
from include.retraining.reporting.cards import HTML, MARKDOWN, Card, publish_cards
from include.retraining.reporting.report import publish_report
from include.retraining.run import DECISION, EVALUATION, RESAMPLING, SNAPSHOT, VERSION, Run
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.records import to_json
from tests.builders import (
    CLASSIFIER,
    LABELS,
    RUN_ID,
    STARTED_AT,
    WINDOW,
    make_candidate,
    make_config,
    make_lineage,
    make_metrics,
    make_resampling,
    make_run,
    make_snapshot,
)
from tests.promotions import (
    CHAMPION,
    PROVENANCE,
    crown,
    make_decision,
    make_evaluation,
    make_move,
    make_scored_version,
    publish_made_version,
)
from tests.unit.retraining.reporting.pages import Page, make_slice

HOSTILE = "<img src=x onerror=alert(1)>|`*[a](javascript:b)"


def decided_run(metrics: dict[str, float] | None = None) -> tuple[Run, VersionRecord]:
    """A run that made a version, met a champion, and approved it."""
    run = make_run()
    version = publish_made_version(
        run.store, lineage=make_lineage(seeds={"balancing": 7}, environment_digest="e1" * 32)
    )
    new, old = make_metrics(metrics), make_metrics(dict.fromkeys(LABELS, 0.75))
    evaluation = dataclasses.replace(
        make_evaluation(new, old),
        challenger=make_scored_version(new, version=version.name, slices=(make_slice(), make_slice(value="sou|th"))),
    )
    decision = make_decision(challenger=version.name, champion=CHAMPION, by="schedule")
    for name, record in {
        VERSION: version,
        SNAPSHOT: make_snapshot(),
        RESAMPLING: make_resampling(),
        EVALUATION: evaluation,
        DECISION: decision,
    }.items():
        run.record(name, record)
    journal.append(run.store, run.classifier, decision)
    return run, version


def card_from(run: Run, version: VersionRecord) -> Card:
    publish_cards(run.config, run.store, [version.name])
    prefix = layout.card(run.classifier, version.name)
    return Card(*(run.store.get(f"{prefix}{name}").decode() for name in (MARKDOWN, HTML)))


def test_a_card_tells_what_a_version_is_what_it_is_for_and_how_good_it_is() -> None:
    run, version = decided_run()

    card = card_from(run, version)

    told = (
        f"# flowers {version.name}",
        "the newest decision about it: approved",
        f"- Content digest: `{version.digest}`",
        "## Intended use\n\nThree kinds of flowers.",
        "| orchid | 10 | 400 | 2 | 100 |",
        "- Candidate: smote · linear",
        "| Macro recall | 0.8000 | 0.8000 |",
        "| orchid | 100 | 0.8000 | 0.8000 |",
        "0.0400 apart on average",
        "Its logits are divided by 1.250",
        "| sou\\|th | 90 | 0.8000 | 0.7000 | 0.8100 | 0.0500 |",
        f"- Champion: `{CHAMPION}`",
        "| Macro recall | +0.0500 | +0.0300 | +0.0700 |",
        "| recall of orchid | +0.0500 | +0.0300 | +0.0700 |",
        "Few train images: orchid (10).",
        "How common the classes are where it is used is not known to it",
        f"- Extractor: `{'e4e4' * 16}`",
        f"- Environment lock: `{'e1' * 32}`",
        "- Seeds: balancing 7",
        'tf.saved_model.load("saved_model")',
        "| 1 | 2026-01-03 02:00 UTC | approved | schedule | 2 checks passed |",
        "| `model.keras` | `",
    )
    positions = [card.markdown.find(sentence) for sentence in told]
    assert -1 not in positions, [it for it, found in zip(told, positions, strict=True) if found < 0]
    assert positions == sorted(positions)


def test_both_forms_say_the_same() -> None:
    run, version = decided_run()

    card = card_from(run, version)

    text = Page(card.html).text
    assert "the newest decision about it: approved" in text
    assert "recall of orchid +0.0500 +0.0300 +0.0700" in text
    assert "orchid 10 400 2 100" in text
    assert 'tf.saved_model.load("saved_model")' in text


def test_the_page_carries_no_script_and_loads_nothing() -> None:
    run, version = decided_run()

    page = Page(card_from(run, version).html)

    assert not [where for where in page.attributes if where[1] in ("src", "href") or where[1].startswith("on")]


def test_few_test_images_and_the_deployment_prior_are_told() -> None:
    run, version = decided_run()
    prior = PriorMetrics(dict.fromkeys(LABELS, 1 / 3), 0.9, 0.88, 0.02, dict.fromkeys(LABELS, 0.91))
    few = make_metrics(confusion=((80, 20, 0), (0, 80, 20), (2, 0, 8)))
    scored = make_scored_version(few, version=version.name, deployment=prior)
    run.record(EVALUATION, dataclasses.replace(make_evaluation(), challenger=scored))

    text = card_from(run, version).markdown

    assert "Few test images, so that recall and precision say little: orchid (10)." in text
    assert "accuracy 0.9000, macro F1 0.8800, calibration error 0.0200" in text
    assert "| orchid | 0.9100 |" in text
    assert "is not known to it" not in text
    assert "There was no champion when it was evaluated." in text


def test_what_became_of_a_version_is_told_from_the_journal() -> None:
    run, version = decided_run()
    later = STARTED_AT + timedelta(days=1)
    journal.append(run.store, CLASSIFIER, Approval(version.name, RUN_ID, True, "ana", STARTED_AT))
    journal.append(run.store, CLASSIFIER, make_move(version.name, CHAMPION, by="ana", reason="better"))
    journal.append(run.store, CLASSIFIER, make_move("20260104T0200-cccccccccccc", "20260104T0200-dddddddddddd"))
    away = make_move(CHAMPION, version.name, kind="rollback", by="bo", reason="coats | fell", moved_at=later)
    journal.append(run.store, CLASSIFIER, away)

    text = card_from(run, version).markdown

    assert f"it was rolled back to {CHAMPION}." in text
    history = text[text.index("## History") : text.index("## Files")]
    assert "promotion approved | ana |" in history
    assert f"promoted in place of {CHAMPION} | ana | better |" in history
    assert f"left by a rollback, for {CHAMPION} | bo | coats \\| fell |" in history
    assert "cccccccccccc" not in history


def test_the_champion_and_a_retired_version_are_called_that() -> None:
    run, version = decided_run()
    other = publish_made_version(run.store, model=b"other")
    crown(run.store, version)
    journal.append(run.store, CLASSIFIER, Retirement((other.name,), "ana", STARTED_AT, "older than five predecessors"))

    assert "This version is in production." in card_from(run, version).markdown
    retired = card_from(run, other).markdown
    assert "This version was retired" in retired
    assert "retired | ana | older than five predecessors |" in retired


def test_a_version_that_nothing_is_known_about_still_has_a_card() -> None:
    run = make_run()
    version = publish_made_version(run.store)

    text = card_from(run, version).markdown

    assert "nothing was decided about it yet" in text
    assert "No decision about this version is in the journal, so no test metrics are told." in text
    assert "The counts of its dataset are not among the records of a run any more." in text
    assert "| Macro recall | 0.8000 | – |" in text


def test_an_evaluation_that_is_gone_leaves_what_the_decision_kept() -> None:
    run, version = decided_run()
    decision = make_decision(challenger=version.name, recall={"orchid": 0.7}, run_id="later")
    journal.append(run.store, CLASSIFIER, decision)

    text = card_from(run, version).markdown

    assert "The evaluation that run later decided by is not among its records any more" in text
    assert "| Macro recall | 0.8000 | 0.8000 |" in text
    assert "| orchid | 0.7000 |" in text


def test_an_evaluation_of_another_version_is_not_told_as_its_own() -> None:
    run, version = decided_run()
    run.record(EVALUATION, make_evaluation(make_metrics(dict.fromkeys(LABELS, 0.1))))

    text = card_from(run, version).markdown

    assert "0.1000" not in text
    assert "is not among its records any more" in text


def test_a_snapshot_or_plan_of_other_data_is_not_told_as_its_own() -> None:
    run, version = decided_run()
    run.record(SNAPSHOT, make_snapshot(digest="0" * 64))
    run.record(RESAMPLING, make_resampling(digest="0" * 64))

    text = card_from(run, version).markdown

    assert "The counts of its dataset are not" in text
    assert "Synthetic rows lie between" not in text


def test_a_version_whose_description_is_damaged_says_so_and_its_history_is_told() -> None:
    run, version = decided_run()
    run.store.put(f"{layout.version(CLASSIFIER, version.name)}{registry.LINEAGE}", b"{}")
    run.store.put(f"{run.prefix}{EVALUATION}", b"[]")

    card = card_from(run, version)

    assert "cannot be read:" in card.markdown
    assert "lineage.json: expected sha256" in card.html
    assert "evaluation.json: expected a EvaluationRecord record" in card.html
    assert "approved | schedule |" in card.markdown


def test_the_recipe_inside_the_version_says_what_it_is_for() -> None:
    store = InMemoryStore()
    recipe = json.dumps({"description": "As it was then.", "a_key_of_old": 1}).encode()
    files = {
        registry.LINEAGE: to_json(make_lineage()),
        registry.CANDIDATE: to_json(make_candidate()),
        registry.RECIPE: recipe,
    }
    registry.publish_version(store, CLASSIFIER, CHAMPION, files, PROVENANCE)

    publish_cards(make_config(description="As it is now."), store, [CHAMPION])
    text = store.get(f"{layout.card(CLASSIFIER, CHAMPION)}{MARKDOWN}").decode()

    assert "As it was then." in text
    assert "As it is now." not in text
    assert f"- Made by run: {RUN_ID.replace('__', chr(92) + '_' + chr(92) + '_')}, started" in text


def test_whatever_is_recorded_is_text_in_both_forms() -> None:
    labels = (HOSTILE, "b")
    run = make_run(config=make_config(labels=labels, description=HOSTILE))
    metrics = make_metrics({HOSTILE: 0.5, "b": 0.5})
    candidate = make_candidate(validation=metrics, name=HOSTILE, strategy=HOSTILE, settings={HOSTILE: 1.0})
    version = publish_made_version(run.store, candidate=candidate)
    scored = make_scored_version(metrics, version=version.name, slices=(make_slice(HOSTILE, HOSTILE),))
    run.record(EVALUATION, dataclasses.replace(make_evaluation(metrics, metrics), challenger=scored))
    decision = make_decision(HOSTILE, challenger=version.name, by=HOSTILE)
    move = make_move(version.name, HOSTILE, reason=HOSTILE, by=HOSTILE)
    for entry in (decision, move):
        journal.append(run.store, CLASSIFIER, entry)

    card = card_from(run, version)

    page = Page(card.html)
    assert HOSTILE in page.text
    assert not [where for where in page.attributes if where[0] == "img" or where[1] == "onerror"]
    outside_code = [line for line in card.markdown.splitlines() if "tf." not in line]
    assert not [line for line in outside_code if "<img" in line.replace("\\<img", "") or "`*[" in line]
    rows = [line for line in outside_code if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in rows}
    assert widths <= {3, 4, 5, 6, 7}
    assert any("\\|" in line for line in rows)


def test_cards_are_written_beside_the_versions_and_overwritten() -> None:
    run, version = decided_run()
    key = f"{layout.card(CLASSIFIER, version.name)}card.html"
    publish_cards(run.config, run.store, [version.name])
    before = run.store.get(key)
    crown(run.store, version)

    publish_cards(run.config, run.store, [version.name])

    assert before != run.store.get(key)
    assert b"in production." in run.store.get(key)
    assert run.store.get(key.replace(".html", ".md")).startswith(b"# flowers")


def test_the_same_records_give_the_same_bytes() -> None:
    first, second = (card_from(*decided_run()) for _ in range(2))

    assert first == second


def test_a_report_writes_the_cards_of_its_version_and_of_the_champion_it_met() -> None:
    run, version = decided_run()
    old = publish_made_version(run.store, lineage=make_lineage(window_end=WINDOW.start))
    evaluation = run.recall(EVALUATION, type(make_evaluation()))
    assert evaluation.incumbent is not None
    met = dataclasses.replace(evaluation.incumbent, version=old.name)
    run.record(EVALUATION, dataclasses.replace(evaluation, incumbent=met))

    publish_report(run)

    assert run.store.list_folders(layout.cards(CLASSIFIER)) == tuple(sorted((version.name, old.name)))


def test_what_a_card_lacks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    run, version = decided_run()
    run.store.put(f"{layout.version(CLASSIFIER, version.name)}{registry.LINEAGE}", b"{}")

    with caplog.at_level(logging.WARNING):
        publish_cards(run.config, run.store, [version.name])

    assert "lineage.json: expected sha256" in caplog.text


@pytest.mark.parametrize("name", ["../../champion.json", "", "20260103T0200-aaaaaaaaaaaa/..", "x"])
def test_no_card_is_written_for_what_is_not_the_name_of_a_version(name: str) -> None:
    store = InMemoryStore()

    publish_cards(make_config(), store, [name])

    assert list(store.list("")) == []
