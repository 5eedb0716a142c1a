from __future__ import annotations

import dataclasses

import pytest

from include.retraining import journal
from include.retraining.artifacts import Approval, Move, PromotionDecision, Retirement, VersionRecord
from include.retraining.errors import (
    ArtifactIntegrityError,
    ConfigurationError,
    StorageUnavailableError,
)
from include.retraining.promotion import by_hand as module
from include.retraining.promotion.by_hand import promote_by_hand
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import read_manifest
from tests.builders import CLASSIFIER, STARTED_AT, WINDOW, make_config, make_run
from tests.promotions import publish_made_version
from tests.stores import DyingStore, RememberingStore, holding
from tests.unit.retraining.promotion.challengers import (
    CHAMPION,
    OvertakenStore,
    decision_on,
    moves_of,
    refusal_on,
    reigning,
    theirs_promoted,
)


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def version(run: Run) -> VersionRecord:
    return publish_made_version(run.store)


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were proven sound; those here hold no model that could be loaded."""
    proven: list[str] = []

    def prove(store, classifier, version):
        proven.append(version)
        return read_manifest(store, layout.version(classifier, version))

    monkeypatch.setattr(module, "require_sound", prove)
    return proven


def by_hand(store: InMemoryStore, version: VersionRecord, run_id: str = "command-line__promote__1") -> Move:
    return promote_by_hand(
        make_config(), store, version.name, reason="it is time", by="ada", run_id=run_id, at=STARTED_AT
    )


def journaled(run: Run, decision: PromotionDecision) -> PromotionDecision:
    journal.append(run.store, CLASSIFIER, decision)
    return decision


@pytest.mark.parametrize("is_dry_run", [True, False])
def test_a_person_may_carry_out_what_the_gates_approved(
    run: Run, version: VersionRecord, unloaded: list[str], is_dry_run: bool
):
    first = theirs_promoted(run.store)
    journaled(run, refusal_on(version, run))
    journaled(run, decision_on(version, run, is_dry_run=is_dry_run))

    move = by_hand(run.store, version)

    assert move == Move(
        first.name,
        version.name,
        "command-line__promote__1",
        STARTED_AT,
        WINDOW.end,
        kind="promotion",
        by="ada",
        reason="it is time",
    )
    assert (reigning(run.store), moves_of(run.store)[-1], unloaded) == (version.name, move, [version.name])
    before = dict(run.store.objects)
    assert by_hand(run.store, version) == move
    assert run.store.objects == before


def veto(run: Run, version: VersionRecord, by: str = "bob", *, approved: bool = False) -> None:
    approval = Approval(version.name, run.run_id, approved=approved, by=by, answered_at=STARTED_AT)
    journal.append(run.store, CLASSIFIER, approval)


def retire(run: Run, version: VersionRecord) -> None:
    journal.append(run.store, CLASSIFIER, Retirement((version.name,), "ada", STARTED_AT, "it is old"))


@pytest.mark.parametrize(
    ("happens", "problem"),
    [
        pytest.param(lambda *_: None, "nobody decided about it yet", id="not decided"),
        pytest.param(
            lambda run, version: journaled(run, refusal_on(version, run)), "it was refused: it is worse", id="refused"
        ),
        pytest.param(
            lambda run, version: (
                journaled(run, decision_on(version, run)),
                journaled(run, refusal_on(version, run)),
            ),
            "it was refused: it is worse",
            id="refused later",
        ),
        pytest.param(
            lambda run, version: (journaled(run, decision_on(version, run)), theirs_promoted(run.store, "r2", b"r2")),
            "it was compared with .*, and the champion is",
            id="overtaken",
        ),
        pytest.param(
            lambda run, version: (journaled(run, decision_on(version, run)), veto(run, version)),
            "it was vetoed by bob",
            id="vetoed",
        ),
        pytest.param(
            lambda run, version: (journaled(run, decision_on(version, run)), veto(run, version, by="")),
            "nobody approved it in time",
            id="silence",
        ),
        pytest.param(
            lambda run, version: (journaled(run, decision_on(version, run)), retire(run, version)),
            "ada had it removed: it is old",
            id="retired",
        ),
        pytest.param(
            lambda run, version: journaled(run, dataclasses.replace(decision_on(version, run), challenger_digest="")),
            "the gates approved content that nobody noted",
            id="no digest",
        ),
    ],
)
def test_a_person_may_do_no_more_than_the_gates_approved(
    run: Run, version: VersionRecord, unloaded: list[str], happens, problem: str
):
    theirs_promoted(run.store)
    happens(run, version)
    before = reigning(run.store)

    with pytest.raises(ConfigurationError, match=problem) as caught:
        by_hand(run.store, version)

    assert "python -m include.retraining run flowers" in str(caught.value)
    assert reigning(run.store) == before


def test_a_veto_is_about_the_decision_before_it(run: Run, version: VersionRecord, unloaded: list[str]):
    veto(run, version)
    journaled(run, decision_on(version, run))
    veto(run, version, approved=True)

    assert by_hand(run.store, version).resulting == version.name


def test_the_champion_is_not_promoted_again_by_hand(run: Run, unloaded: list[str]):
    theirs = theirs_promoted(run.store)

    with pytest.raises(ConfigurationError, match="it is the champion already"):
        by_hand(run.store, theirs)


def test_an_unsound_version_is_not_promoted_by_hand(run: Run, version: VersionRecord):
    journaled(run, decision_on(version, run))

    with pytest.raises(ArtifactIntegrityError, match="one without"):
        by_hand(run.store, version)

    assert not run.store.exists(CHAMPION)


def test_a_person_who_loses_the_race_is_told_so(run: Run, version: VersionRecord, unloaded: list[str]):
    journaled(run, decision_on(version, run))
    raced = OvertakenStore(run.store.objects, theirs_promoted)

    with pytest.raises(ConfigurationError, match="it was compared with no champion, and the champion is"):
        by_hand(raced, version)


def test_a_promotion_by_hand_that_is_killed_at_any_write_is_completed_by_its_repeat(
    run: Run, version: VersionRecord, unloaded: list[str]
):
    journaled(run, decision_on(version, run))
    undisturbed = RememberingStore(run.store.objects)
    move = by_hand(undisturbed, version)
    assert len(undisturbed.states) >= 2

    for writes in range(len(undisturbed.states)):
        dying = DyingStore(writes, run.store.objects)
        with pytest.raises(StorageUnavailableError):
            by_hand(dying, version)
        left = holding(dying.objects)
        assert by_hand(left, version) == move
        assert left.objects == undisturbed.objects
