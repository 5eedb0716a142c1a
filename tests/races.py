"""Promoters that race for one champion, round after round, and a reader that verifies whatever it is shown.

Everything is real but the models, which are a few bytes, and the evaluation, which is a value: all challengers are
equally good, so that the policy's gate on newer data alone tells who may replace whom. A season is some rounds about
one classifier: every promoter reads the whole journal several times a round, so that the cost of a season grows with
the square of its length.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from include.retraining import journal
from include.retraining.artifacts import (
    ChampionPointer,
    EvaluationRecord,
    Incumbent,
    Move,
    PromotionDecision,
    VersionRecord,
    Window,
)
from include.retraining.config import ClassifierConfig
from include.retraining.journal import JournalEntry
from include.retraining.promotion.decision import Request, decide
from include.retraining.promotion.evidence import gather_evidence
from include.retraining.promotion.promotion import promote
from include.retraining.registry import champion
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import parse_manifest, sha256
from tests.builders import WINDOW, make_config, make_lineage, make_metrics, make_run
from tests.promotions import make_evaluation, make_scored_version, publish_made_version

GATES = (
    {"gate": "floor", "metric": "macro_recall", "minimum": 0.5},
    {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 0.05},
    {"gate": "newer_data"},
)
CONFIG = make_config("race", gates=GATES)
METRICS = make_metrics()
MODEL_BYTES = 20_000
PAUSE_SECONDS = 0.005  # between two looks of the reader, so that it does not take the cores from the promoters


@dataclass(frozen=True)
class Schedule:
    """How long is raced.

    Attributes:
        seasons: Classifiers, one after the other.
        rounds: Of each season.
    """

    seasons: int
    rounds: int

    @property
    def total(self) -> int:
        """Rounds of all seasons."""
        return self.seasons * self.rounds


def config_of(season: int) -> ClassifierConfig:
    """The recipe of the classifier that a season is about."""
    return make_config(f"race_{season}", gates=GATES)


class Barrier(Protocol):
    """Of threads, or of processes."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits until all have come."""
        ...


class Stop(Protocol):
    """An event of threads, or of processes."""

    def is_set(self) -> bool:
        """Tells whether it happened."""
        ...


@dataclass(frozen=True)
class Readings:
    """What a reader saw.

    Attributes:
        reads: How often it found a champion and looked at every file of it.
        torn: What was not as its manifest, or its pointer, says.
    """

    reads: int
    torn: tuple[str, ...]


@dataclass(frozen=True)
class Tally:
    """What many rounds came to.

    Attributes:
        rounds: How many there were.
        winless_rounds: Rounds in which nobody moved the champion.
        double_wins: Rounds in which more than one did.
        unrecorded: Losers of whom the journal holds no refusal.
        broken_links: Moves that do not begin where the one before them ended.
        moves: Moves in the journals.
        journal_entries: All entries of all seasons.
        journal_problems: What the chain says.
    """

    rounds: int
    winless_rounds: int
    double_wins: int
    unrecorded: int
    broken_links: int
    moves: int
    journal_entries: int
    journal_problems: tuple[str, ...]


def evaluation_of(version: VersionRecord, run: Run, pointer: ChampionPointer | None) -> EvaluationRecord:
    """A version on the test rows, as good as the champion that it meets."""
    end = run.window.end
    challenger = make_scored_version(METRICS, version=version.name, digest=version.digest, window_end=end)
    if pointer is None:
        return dataclasses.replace(make_evaluation(METRICS), challenger=challenger, window_end=end)
    met: dict[str, Any] = {"version": pointer.version, "digest": pointer.digest, "window_end": pointer.window_end}
    return dataclasses.replace(
        make_evaluation(METRICS, METRICS),
        challenger=challenger,
        window_end=end,
        incumbent=Incumbent(**met, problem=""),
        champion=make_scored_version(METRICS, **met),
        is_same_model=pointer.digest == version.digest,
    )


def make_entrant(
    store: ObjectStore, name: str, day: int, *, config: ClassifierConfig = CONFIG, n_bytes: int = MODEL_BYTES
) -> tuple[Run, VersionRecord]:
    """Publishes a version that no other entrant has; returns the run that made it.

    Args:
        store: Where to.
        name: Of the entrant; the model's bytes and the run are named after it.
        day: Its data ends that many days after the window of the builders.
        config: The recipe.
        n_bytes: Size of its model.
    """
    window = Window(WINDOW.start + timedelta(days=day), WINDOW.end + timedelta(days=day))
    run = make_run(store, config, window, run_id=f"race__{name}", started_at=window.end)
    lineage = make_lineage(classifier=config.name, window_end=window.end)
    model = (name.encode() + b" ") * (n_bytes // (len(name) + 1))
    return run, publish_made_version(store, classifier=config.name, lineage=lineage, model=model)


def decide_about(run: Run, version: VersionRecord) -> PromotionDecision:
    """Decides on a version against the champion of this moment, as the step does; the journal gets the decision."""
    pointer, _ = champion(run.store, run.classifier)
    evidence = gather_evidence(run, evaluation_of(version, run, pointer))
    decision = decide(run.config, evidence, Request(run_id=run.run_id, decided_at=run.started_at))
    journal.append(run.store, run.classifier, decision)
    return decision


def compete(store: ObjectStore, number: int, schedule: Schedule, together: Barrier) -> list[bool]:
    """Is one promoter for all rounds of all seasons; returns in which of them it moved the champion."""
    won = []
    for position in range(schedule.total):
        config = config_of(position // schedule.rounds)
        together.wait()
        run, version = make_entrant(store, f"{position}__{number}", position, config=config)
        decision = decide_about(run, version)
        if not decision.acts:
            raise AssertionError(f"Expected an approval before the race; got {decision.reasons}.")
        together.wait()
        outcome = promote(run, decision, decide_again=partial(decide_about, run, version))
        won.append(isinstance(outcome, Move))
    return won


def read_until(store: ObjectStore, stopped: Stop) -> Readings:
    """Reads the champion again and again, and compares every file with its sha256; shares no code with promotion.

    It looks at the newest season that has a champion.
    """
    reads, season, torn = 0, 0, []
    while not stopped.is_set():
        time.sleep(PAUSE_SECONDS)
        if store.exists(layout.champion(config_of(season + 1).name)):
            season += 1
        try:
            pointer = json.loads(store.get(layout.champion(config_of(season).name)))
        except KeyError:
            continue
        reads += 1
        torn += _torn(store, layout.version(config_of(season).name, pointer["version"]), pointer["digest"])
    return Readings(reads, tuple(torn))


def _torn(store: ObjectStore, prefix: str, digest: str) -> list[str]:
    try:
        manifest = parse_manifest(store.get(f"{prefix}manifest.json"), prefix)
        wrong = [name for name, expected in manifest.files.items() if sha256(store.get(f"{prefix}{name}")) != expected]
    except KeyError as missing:
        return [f"{prefix}: {missing} is missing"]
    content = [] if manifest.digest == digest else [f"{prefix}: the pointer names other content"]
    return [f"{prefix}{name} differs" for name in wrong] + content


def tally(store: ObjectStore, won: Sequence[Sequence[bool]], schedule: Schedule) -> Tally:
    """Compares what the promoters say with what the journals say.

    Args:
        store: Where they raced.
        won: For each promoter, in which rounds it won.
        schedule: Of the race.
    """
    rounds = list(zip(*won, strict=True))
    names = [config_of(season).name for season in range(schedule.seasons)]
    seasons = [journal.entries(store, name) for name in names]
    entries = [entry for season in seasons for entry in season]
    refused = {it.decision.run_id for it in entries if it.decision is not None and not it.decision.approved}
    losers = [
        f"race__{position}__{number}"
        for position, results in enumerate(rounds)
        for number, has_won in enumerate(results)
        if not has_won
    ]
    return Tally(
        rounds=len(rounds),
        winless_rounds=sum(not any(results) for results in rounds),
        double_wins=sum(sum(results) > 1 for results in rounds),
        unrecorded=sum(run_id not in refused for run_id in losers),
        broken_links=sum(map(_broken_links, seasons)),
        moves=sum(entry.move is not None for entry in entries),
        journal_entries=len(entries),
        journal_problems=tuple(problem for name in names for problem in journal.problems(store, name)),
    )


def _broken_links(season: Sequence[JournalEntry]) -> int:
    moves = [entry.move for entry in season if entry.move is not None]
    before = [None, *(move.resulting for move in moves)]
    return sum(move.incumbent != came_from for move, came_from in zip(moves, before, strict=False))
