"""The registry against a plain model in memory, with a kill between any two writes of any step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from include.retraining import journal
from include.retraining.artifacts import Move, PromotionDecision, RollbackOrder, VersionRecord
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.promotion import retention, rollback
from include.retraining.promotion.audit import audit
from include.retraining.promotion.champion import settle
from include.retraining.promotion.promotion import promote
from include.retraining.promotion.rollback import roll_back
from include.retraining.registry import champion, champion_problems, read_version, version_names
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.memory import START, InMemoryStore
from include.retraining.storage.publishing import problems_of
from tests.builders import make_config
from tests.corruptions import only_whole
from tests.races import GATES, decide_about, make_entrant
from tests.stores import DyingStore, holding

PREDECESSORS = 2
CONFIG = make_config("race", gates=GATES, promotion={"keep_predecessors": PREDECESSORS})
NEVER = 10_000

deaths = st.one_of(st.integers(0, 9), st.just(NEVER))
entrants = st.integers(0, 11)
choices = st.integers(0, 100)  # among what there is at that moment


@dataclass
class Promoted:
    """One move, as the model remembers it."""

    kind: str
    incumbent: int | None
    resulting: int


@dataclass
class Model:
    """What the registry should be: no objects, no digests, no races.

    Attributes:
        published: Entrants whose version is there.
        retired: Those that were removed for good.
        moves: All moves, oldest first.
        moved_by: Runs that moved the champion once; a run does it once at most.
    """

    published: set[int] = field(default_factory=set)
    retired: set[int] = field(default_factory=set)
    moves: list[Promoted] = field(default_factory=list)
    moved_by: set[str] = field(default_factory=set)

    @property
    def champion(self) -> int | None:
        return self.moves[-1].resulting if self.moves else None

    @property
    def withdrawn(self) -> set[int]:
        """Rolled back from, and not made champion by hand since; or retired."""
        withdrawn: set[int] = set()
        for move in self.moves:
            withdrawn.discard(move.resulting)
            if move.kind == "rollback" and move.incumbent is not None:
                withdrawn.add(move.incumbent)
        return withdrawn | self.retired

    @property
    def former(self) -> list[int]:
        """Former champions, the last one first."""
        backwards = [move.resulting for move in reversed(self.moves)]
        return [it for it in dict.fromkeys(backwards) if it != self.champion]

    def approves(self, entrant: int) -> bool:
        """Whether the gates let an entrant through: newer data than the champion's, and not withdrawn."""
        is_newer = self.champion is None or day_of(entrant) > day_of(self.champion)
        return is_newer and entrant not in self.withdrawn


def day_of(entrant: int) -> int:
    """The day that an entrant's data end on: two entrants a day."""
    return entrant // 2


@dataclass(frozen=True)
class Task:
    """A promotion as a scheduler repeats it: the decision is one task, the move another."""

    run: Run
    entrant: int
    version: VersionRecord
    decision: PromotionDecision | None


class Registry(RuleBasedStateMachine):
    """Every rule is a step that may be killed before any of its writes; what follows finds what it left."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.model = Model()
        self.names: dict[int, str] = {}
        self.steps = 0
        self.killed: Task | None = None

    @property
    def store(self) -> InMemoryStore:
        return holding(self.objects)

    def entrant_of(self, version: str) -> int:
        return next(entrant for entrant, name in self.names.items() if name == version)

    def attempt(self, death: int, step: Callable[[InMemoryStore], object]) -> tuple[bool, object]:
        """Does a step on a store that dies; returns whether it was killed, and else what it returned."""
        store = DyingStore(death, self.objects)
        try:
            return False, step(store)
        except StorageUnavailableError:
            return True, None
        finally:
            self.objects = dict(store.objects)
            self.steps += 1

    def observe_move(self, task: Task | None, expected: Promoted | None) -> None:
        """After a kill the move happened or did not; nothing else may have."""
        pointer, _ = champion(self.store, CONFIG.name)
        now = None if pointer is None else self.entrant_of(pointer.version)
        if now == self.model.champion:
            return
        assert expected is not None
        assert now == expected.resulting
        self.model.moves.append(expected)
        if task is not None:
            self.model.moved_by.add(task.run.run_id)

    @initialize()
    def first_champions(self) -> None:
        """Most of what can go wrong takes a past to begin with."""
        for entrant in (0, 2, 3, 4):
            self.publish(entrant, NEVER)
            self.carry_out(self.task(entrant), NEVER)

    def task(self, entrant: int) -> Task:
        """A new run that made the entrant's version."""
        run, version = make_entrant_of(holding(self.objects), entrant, run_id=f"step__{self.steps}")
        return Task(run, entrant, version, None)

    def among(self, entrants: Iterable[int], choice: int) -> int | None:
        """One of some entrants, or None where there are none."""
        there = sorted(entrants)
        return there[choice % len(there)] if there else None

    @rule(entrant=entrants, death=deaths)
    def publish(self, entrant: int, death: int) -> None:
        if entrant in self.model.retired:
            return
        killed, made = self.attempt(death, lambda store: make_entrant_of(store, entrant))
        whole = InMemoryStore()
        self.names[entrant] = make_entrant_of(whole, entrant)[1].name
        if not killed or self.names[entrant] in version_names(self.store, CONFIG.name):
            self.model.published.add(entrant)
        assert killed or made[1].name == self.names[entrant]

    @rule(ahead=st.integers(1, 3), death=deaths)
    def retrain(self, ahead: int, death: int) -> None:
        """A run makes a version, as a rule of newer data than any, and promotes it."""
        entrant = max(self.names) + ahead
        self.publish(entrant, NEVER)
        self.carry_out(self.task(entrant), death)

    @rule(choice=choices, death=deaths)
    def promote_any(self, choice: int, death: int) -> None:
        """A run promotes any version, as a backfill does; what a rollback left before all others."""
        entrant = self.among(self.model.withdrawn & self.model.published or self.model.published, choice)
        if entrant is not None:
            self.carry_out(self.task(entrant), death)

    @precondition(lambda self: self.killed is not None)
    @rule(death=deaths)
    def repeat(self, death: int) -> None:
        """The scheduler repeats a killed task: at once, or after others did something."""
        assert self.killed is not None
        self.carry_out(self.killed, death)

    @rule(choice=choices, rival_choice=choices, death=deaths)
    def promote_overtaken(self, choice: int, rival_choice: int, death: int) -> None:
        """Between decision and move another run is faster."""
        entrant, rival = max(self.names) + 1 + choice % 3, max(self.names) + 1 + rival_choice % 3
        if entrant == rival:
            return
        self.publish(entrant, NEVER)
        self.publish(rival, NEVER)
        task = self.task(entrant)
        _, decision = self.attempt(NEVER, lambda store: decide_about(on(store, task.run), task.version))
        self.carry_out(self.task(rival), NEVER)
        self.carry_out(Task(task.run, entrant, task.version, decision), death)

    def carry_out(self, task: Task, death: int) -> None:
        """Decides, unless that was done, and moves; the model says beforehand what comes of it."""
        self.killed = None
        if task.decision is None:
            approves = self.model.approves(task.entrant)
            killed, decision = self.attempt(death, lambda store: decide_about(on(store, task.run), task.version))
            if killed:
                self.killed = task
                return
            assert decision.acts == approves, decision.reasons
            task = Task(task.run, task.entrant, task.version, decision)
        if not task.decision.acts:
            return
        has_moved = task.run.run_id in self.model.moved_by
        expected = Promoted("promotion", self.model.champion, task.entrant)
        moves = not has_moved and self.model.approves(task.entrant)
        try:
            killed, outcome = self.attempt(death, lambda store: move_to(on(store, task.run), task))
        except ArtifactIntegrityError:
            assert task.entrant in self.model.retired
            return
        if killed:
            self.killed = task
            self.observe_move(task, expected if moves else None)
            return
        assert isinstance(outcome, Move) == (moves or has_moved), outcome
        if moves:
            self.model.moves.append(expected)
            self.model.moved_by.add(task.run.run_id)

    @rule(choice=choices, death=deaths)
    def roll_back(self, choice: int, death: int) -> None:
        """To where it goes by itself, which is None, or to a former champion that is named."""
        self.order_rollback([None, *self.model.former][choice % (len(self.model.former) + 1)], death)

    @rule(choice=choices, death=deaths)
    def roll_back_to_anything(self, choice: int, death: int) -> None:
        """To the champion itself, to what never was champion, to what retention removed: mostly a mistake."""
        self.order_rollback(self.among(self.names, choice), death)

    def order_rollback(self, entrant: int | None, death: int) -> None:
        order = RollbackOrder(
            version=None if entrant is None else self.names[entrant],
            reason="recall fell",
            run_id=f"step__{self.steps}",
            at=START + timedelta(days=60, minutes=self.steps),
            by="somebody",
        )
        target = self.target_of(entrant)
        expected = None if target is None else Promoted("rollback", self.model.champion, target)
        try:
            killed, _ = self.attempt(death, lambda store: roll_back(CONFIG, store, order))
        except (ConfigurationError, ArtifactIntegrityError):
            assert target is None
            return
        if killed:
            self.observe_move(None, expected)
            return
        assert expected is not None
        self.model.moves.append(expected)

    def target_of(self, entrant: int | None) -> int | None:
        """Where a rollback goes: None where it must be refused."""
        if self.model.champion is None:
            return None
        if entrant is None:
            return next((it for it in self.model.former if it not in self.model.withdrawn), None)
        is_there = entrant in self.model.published and entrant not in self.model.retired
        return entrant if is_there and entrant in self.model.former else None

    @rule(death=deaths, days=st.sampled_from([0, 3]))
    def collect(self, death: int, days: int) -> None:
        now = START + timedelta(days=days)

        def clean(store: InMemoryStore) -> None:
            plan = retention.plan(CONFIG, store, now=now)
            retention.carry_out(CONFIG, store, plan, by="somebody", at=START + timedelta(days=90, minutes=self.steps))

        self.attempt(death, clean)
        entries = journal.entries(self.store, CONFIG.name)
        retired = {
            self.entrant_of(name) for it in entries if it.retirement is not None for name in it.retirement.versions
        }
        assert self.model.retired <= retired <= self.model.published | self.model.retired
        self.model.retired = retired
        there = {self.entrant_of(name) for name in version_names(self.store, CONFIG.name)}
        assert self.model.published - there <= retired
        self.model.published = there

    @precondition(lambda self: self.model.champion is not None)
    @rule(what=st.sampled_from(["file", "manifest", "entry", "pointer"]), position=st.integers(0, 50))
    def damage_is_seen(self, what: str, position: int) -> None:
        """On a copy: the registry itself goes on unharmed."""
        copy = holding(self.objects)
        settle(copy, CONFIG.name)
        pointer, _ = champion(copy, CONFIG.name)
        prefix = layout.version(CONFIG.name, pointer.version)
        manifest_key = f"{prefix}manifest.json"
        victims = {
            "file": [key for key in sorted(copy.objects) if key.startswith(prefix) and key != manifest_key],
            "manifest": [manifest_key],
            "entry": [found.key for found in copy.list(layout.history(CONFIG.name))],
            "pointer": [layout.champion(CONFIG.name)],
        }[what]
        victim = victims[position % len(victims)]

        copy.put(victim, b"{}" if position % 2 else b"")

        found = audit(copy, CONFIG.name).problems
        assert any(victim in f"{problem.where}: {problem.sentence}" for problem in found), (victim, found)

    @invariant()
    def the_champion_is_the_model_s_and_whole(self) -> None:
        pointer, _ = champion(self.store, CONFIG.name)
        assert (None if pointer is None else self.entrant_of(pointer.version)) == self.model.champion
        if pointer is not None:
            assert champion_problems(self.store, CONFIG.name) == []
            assert self.model.champion not in self.model.retired

    @invariant()
    def the_journal_is_a_chain_and_nothing_looks_damaged(self) -> None:
        assert journal.problems(self.store, CONFIG.name) == []
        assert audit(self.store, CONFIG.name).problems == ()

    @invariant()
    def after_the_next_settling_the_journal_has_every_move_once_and_in_order(self) -> None:
        copy = holding(self.objects)
        settle(copy, CONFIG.name)

        moves = [entry.move for entry in journal.entries(copy, CONFIG.name) if entry.move is not None]

        told = [
            Promoted(
                it.kind, None if it.incumbent is None else self.entrant_of(it.incumbent), self.entrant_of(it.resulting)
            )
            for it in moves
        ]
        assert told == self.model.moves
        assert journal.problems(copy, CONFIG.name) == []

    @invariant()
    def there_is_always_something_to_go_back_to(self) -> None:
        for entrant in self.model.former[:PREDECESSORS]:
            assert problems_of(self.store, layout.version(CONFIG.name, self.names[entrant])) == []

    @invariant()
    def what_is_listed_can_be_read(self) -> None:
        listed = version_names(self.store, CONFIG.name)
        assert {self.entrant_of(name) for name in listed} == self.model.published
        for name in listed:
            read_version(self.store, CONFIG.name, name)


def make_entrant_of(store: InMemoryStore, entrant: int, run_id: str = "made") -> tuple[Run, VersionRecord]:
    run, version = make_entrant(store, f"entrant {entrant}", day_of(entrant), config=CONFIG, n_bytes=30)
    return Run(run.config, run.store, run.window, run_id, run.started_at), version


def move_to(run: Run, task: Task) -> Move | PromotionDecision:
    assert task.decision is not None
    return promote(run, task.decision, decide_again=lambda: decide_about(run, task.version))


def on(store: InMemoryStore, run: Run) -> Run:
    """The run, with the store of this attempt."""
    return Run(run.config, store, run.window, run.run_id, run.started_at)


def test_no_order_of_steps_and_kills_breaks_the_registry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rollback, "require_sound", only_whole)  # the versions here hold no network to load
    # Starting threads takes longer than looking into a dictionary.
    monkeypatch.setattr(journal, "get_many", lambda store, keys: (store.objects.get(key) for key in keys))

    run_state_machine_as_test(
        Registry,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
