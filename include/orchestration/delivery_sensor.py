"""Waits until a run's deliveries are complete, without a worker's slot; `readiness.py` says what complete means.

The task looks once; while something is missing, a trigger in the triggerer looks again and again. Whatever wakes the
task, it looks again itself, so that its answer is never older than its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, timezone
from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.orchestration.settings import read_settings
from include.orchestration.stores import lake
from include.retraining.errors import ConfigurationError, DataContractError, PermanentError, TransientError

if TYPE_CHECKING:
    from include.retraining.run import Run

POLL_SECONDS = 30.0


class DeliverySensor(BaseSensorOperator):
    """Ends when every delivery of the run's window that has begun is complete; nothing delivered is complete, too.

    Args:
        poke_interval: Seconds between two looks.
        **kwargs: Of `BaseSensorOperator`.
    """

    def __init__(self, *, poke_interval: float = POLL_SECONDS, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)

    def execute(self, context: Any) -> None:
        """Looks for the first time; how long is waited counts from here.

        Raises:
            DataContractError: If something is missing, and the recipe says not to wait.
        """
        from include.orchestration.runs import this_run

        del context
        run = this_run()
        self._end_or_wait(run, timezone.utcnow() + timedelta(minutes=run.config.intake.wait_minutes))

    def look_again(self, context: Any, event: dict[str, str], deadline: str) -> None:
        """Looks when the trigger has seen everything, or the time is over, or the trigger could not look.

        Raises:
            DataContractError: If something is still missing at the deadline.
            ConfigurationError: If the triggerer could not look.
        """
        from include.orchestration.runs import this_run

        del context
        if problem := event["problem"]:
            raise ConfigurationError(
                "Airflow's triggerer",
                f"it could not look at the delivery: {problem}",
                "Give it the environment that the workers have, see .env.example",
            )
        self._end_or_wait(this_run(), datetime.fromisoformat(deadline))

    def _end_or_wait(self, run: Run, deadline: datetime) -> None:
        from include.retraining.intake.delivery.readiness import unfinished

        now = timezone.utcnow()
        missing = unfinished(run, now)
        if not missing:
            self.log.info("complete classifier=%s window_end=%s", run.classifier, run.window.end.isoformat())
            return
        if now >= deadline:
            told = [f"{delivery}; waited {run.config.intake.wait_minutes} minutes" for delivery in missing]
            raise DataContractError(" and ".join(delivery.uri for delivery in missing), told)
        for delivery in missing:
            self.log.info("waiting until=%s because=%s", deadline.isoformat(timespec="seconds"), delivery)
        trigger = DeliveryTrigger(
            classifier=run.classifier,
            window_start=run.window.start.isoformat(),
            window_end=run.window.end.isoformat(),
            deadline=deadline.isoformat(),
            poll_seconds=self.poke_interval,
        )
        self.defer(trigger=trigger, method_name="look_again", kwargs={"deadline": deadline.isoformat()})


class DeliveryTrigger(BaseTrigger):
    """Looks at the deliveries of a window until they are complete or the deadline passes; fires once.

    All arguments are plain, since Airflow keeps them in its database: a triggerer that takes over waits for the same
    moment. The event's `problem` says why the trigger could not look, and is empty otherwise.

    Args:
        classifier: Whose deliveries.
        window_start: In ISO 8601, as all moments here.
        window_end: The window's end, exclusive.
        deadline: When to stop waiting.
        poll_seconds: Between two looks.
    """

    def __init__(
        self, *, classifier: str, window_start: str, window_end: str, deadline: str, poll_seconds: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.classifier = classifier
        self.window_start = window_start
        self.window_end = window_end
        self.deadline = deadline
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Returns the path of this class and its arguments."""
        arguments = ("classifier", "window_start", "window_end", "deadline", "poll_seconds")
        path = f"{DeliveryTrigger.__module__}.{DeliveryTrigger.__qualname__}"
        return path, {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks, sleeps, looks again; in threads of its own, since the triggerer waits for everything in one loop."""
        deadline = datetime.fromisoformat(self.deadline)
        run = None
        problem = ""
        while (now := timezone.utcnow()) < deadline:
            try:
                if run is None:
                    run = await asyncio.to_thread(self._open)
                if await asyncio.to_thread(_is_complete, run, now):
                    break
            except TransientError as error:
                self.log.warning("could not look, trying again seconds=%s because=%s", self.poll_seconds, error)
            except PermanentError as error:
                problem = str(error)
                break
            await asyncio.sleep(min(self.poll_seconds, (deadline - now).total_seconds()))
        yield TriggerEvent({"problem": problem})  # type: ignore[no-untyped-call]

    def _open(self) -> Run:
        """Returns a run that only sees the store, the recipe and the window; recipe and connection are read anew."""
        from include.retraining.artifacts import Window
        from include.retraining.config import load_classifier
        from include.retraining.run import Run

        window = Window(datetime.fromisoformat(self.window_start), datetime.fromisoformat(self.window_end))
        config = load_classifier(self.classifier, read_settings().classifiers)
        return Run(config=config, store=lake(), window=window, run_id="", started_at=window.end)


def _is_complete(run: Run, now: datetime) -> bool:
    from include.retraining.intake.delivery.readiness import is_complete

    return is_complete(run, now)
