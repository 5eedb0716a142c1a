"""Asks Airflow 3 for things through its public REST API: a token, a Dag, a backfill, its runs and their tasks.

Every failure is one error that says what was asked, what came back, and what to do. Nothing is displayed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from graphlib import TopologicalSorter
from typing import Any
from urllib.parse import quote

import requests
from pydantic import BaseModel, ConfigDict, Field

from include.retraining.errors import ConfigurationError

TIMEOUT_SECONDS = 60
PAGE = 100  # the API's own maximum
ANSWER_ATTEMPTS = 5  # of a request that got no answer: the api server may be busy
NOTICE_ATTEMPTS = 180  # the scheduler looks for ended backfills every 30 s, for broken ones after 2 minutes
FOLDING = ("::group::", "::endgroup::")  # marks of the UI's log view
ENDED_RUN = frozenset({"success", "failed"})
ENDED_TASK = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Backfill(_Answer):
    """A backfill, as Airflow describes it.

    Attributes:
        id: Its number.
        from_date: First instant whose runs belong to it.
        to_date: Last such instant.
        completed_at: When Airflow noticed that all runs had ended, up to 30 s after they did; None until then.
    """

    id: int
    from_date: datetime
    to_date: datetime
    completed_at: datetime | None


class DagRun(_Answer):
    """A run of a Dag, as Airflow describes it.

    Attributes:
        run_id: Its name.
        state: queued, running, success or failed.
        window_start: Start of its data interval, that is its logical date.
        start_date: When it began, or None.
        end_date: When it ended, or None.
    """

    run_id: str = Field(alias="dag_run_id")
    state: str
    window_start: datetime | None = Field(alias="data_interval_start")
    start_date: datetime | None
    end_date: datetime | None

    @property
    def has_ended(self) -> bool:
        """Tells whether nothing more happens in it."""
        return self.state in ENDED_RUN


class TaskInstance(_Answer):
    """A task of a run, as Airflow describes it.

    Attributes:
        task_id: `<group>.<task>`, or a task without a group.
        map_index: Which of a mapped task's instances; -1 for a task that is not mapped, or not yet.
        state: None until it is scheduled.
        start_date: When it began, or None.
        end_date: When it ended, or None.
        try_number: The attempt, from 1.
        label: What it is called among its mapped siblings, or None.
    """

    task_id: str
    map_index: int
    state: str | None
    start_date: datetime | None
    end_date: datetime | None
    try_number: int
    label: str | None = Field(alias="rendered_map_index")

    @property
    def stage(self) -> str:
        """The task group, or the task itself where it stands alone."""
        return self.task_id.split(".")[0]

    @property
    def name(self) -> str:
        """The task without its group, with its label if it is mapped."""
        short = self.task_id.split(".")[-1]
        return f"{short} [{self.label or self.map_index}]" if self.map_index >= 0 else short

    @property
    def has_ended(self) -> bool:
        """Tells whether it ended for good; a task that waits for its retry did not."""
        return self.state in ENDED_TASK


@dataclass
class AirflowClient:
    """A session with one Airflow.

    Attributes:
        url: Address of its UI and API.
        username: Who asks.
        password: Their password; never shown.
        pause: Waits for some seconds.
        session: Sends the requests.
    """

    url: str
    username: str
    password: str = field(repr=False)
    pause: Callable[[float], None] = time.sleep
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        """Drops the slash that addresses are often written with, and forgets the machine's proxies and `.netrc`."""
        self.url = self.url.rstrip("/")
        self.session.trust_env = False

    def log_in(self) -> None:
        """Gets a token with which all later requests are made."""
        body = {"username": self.username, "password": self.password}
        answer = self._send("POST", "/auth/token", body)
        if answer.status_code != requests.codes.created:
            raise self._refusal(answer, "POST /auth/token")
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def wait_for_dag(self, dag_id: str, *, attempts: int) -> None:
        """Waits until Airflow has parsed a Dag, a second between the attempts.

        Raises:
            ConfigurationError: If it has not by then; the message holds Airflow's import errors.
        """
        for _ in range(attempts):
            if self._ask("GET", f"/dags/{dag_id}", may_be_missing=True) is not None:
                return
            self.pause(1)
        found = self._pages("/importErrors", "import_errors")
        errors = [f"{error['filename']}: {_last_line(error['stack_trace'])}" for error in found]
        raise ConfigurationError(
            f"Dag {dag_id}",
            f"Airflow does not know it after {attempts} attempts; import errors: {'; '.join(errors) or 'none'}",
            "Correct the import error, or look into the Dag processor's log with `make logs`",
        )

    def unpause(self, dag_id: str) -> None:
        """Lets a Dag's runs start."""
        self._ask("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def task_order(self, dag_id: str) -> list[str]:
        """Returns the ids of a Dag's tasks so that each stands after those that it waits for."""
        tasks = self._ask("GET", f"/dags/{dag_id}/tasks")["tasks"]
        graph: dict[str, set[str]] = {task["task_id"]: set() for task in tasks}
        for task in tasks:
            for downstream in task["downstream_task_ids"] or ():
                graph[downstream].add(task["task_id"])
        return list(TopologicalSorter(graph).static_order())

    def start_backfill(self, dag_id: str, days: Sequence[date], conf: Mapping[str, Any]) -> Backfill:
        """Asks for the runs of some days, one after the other, again where there were such runs already.

        Where a backfill of the Dag is still at work, that one is returned instead: Airflow allows one at a time.

        Args:
            dag_id: The Dag; its data intervals must be days, in UTC.
            days: The days on which the data intervals start, and all days between the first and the last of them.
            conf: Parameters of the runs.

        Raises:
            ConfigurationError: If Airflow refuses the request, or an ended backfill goes on to block it.
        """
        body = {
            "dag_id": dag_id,
            # The range holds instants, not days: the last day's run starts after that day's midnight.
            "from_date": datetime.combine(min(days), time_of_day.min, UTC).isoformat(),
            "to_date": datetime.combine(max(days), time_of_day.max, UTC).isoformat(),
            "dag_run_conf": dict(conf),
            "max_active_runs": 1,
            "reprocess_behavior": "completed",
        }
        for _ in range(NOTICE_ATTEMPTS):
            created = self._ask("POST", "/backfills", body, may_conflict=True)
            if created is not None:
                return Backfill.model_validate(created)
            active = self._active_backfill(dag_id)
            runs = self.runs_of(dag_id, active) if active is not None else []
            if active is not None and not all(run.has_ended for run in runs):
                return active
            if active is not None and runs:
                # All its runs have ended and the scheduler has not noticed yet; to cancel it changes no run.
                self._ask("PUT", f"/backfills/{active.id}/cancel", may_conflict=True)
            else:
                self.pause(1)  # somebody is just making it, or it completed since
        raise ConfigurationError(
            f"Dag {dag_id}",
            f"an earlier backfill without a run at work still blocks a new one after {NOTICE_ATTEMPTS} attempts",
            "Cancel it on the Dag's Backfills page, and see with `make logs` whether the scheduler is alive",
        )

    def runs_of(self, dag_id: str, backfill: Backfill) -> list[DagRun]:
        """Returns the runs that a backfill asked for, oldest window first."""
        query = {
            "logical_date_gte": backfill.from_date.isoformat(),
            "logical_date_lte": backfill.to_date.isoformat(),
            "order_by": "logical_date",
        }
        return [DagRun.model_validate(entry) for entry in self._pages(f"/dags/{dag_id}/dagRuns", "dag_runs", query)]

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Returns the tasks of a run."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        return [TaskInstance.model_validate(entry) for entry in self._pages(path, "task_instances")]

    def last_log_lines(self, dag_id: str, run_id: str, task: TaskInstance, *, n_lines: int) -> list[str]:
        """Returns the end of a task's log; empty where there is none."""
        path = (
            f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{quote(task.task_id, safe='')}"
            f"/logs/{task.try_number}?map_index={task.map_index}&full_content=true"
        )
        answer = self._ask("GET", path, may_be_missing=True)
        content = answer["content"] if answer else []
        lines = [line for entry in content for line in _log_lines(entry)]
        return lines[-n_lines:]

    def link_to(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Returns the address of a task's page in the UI."""
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{self.url}/dags/{dag_id}/runs/{quote(run_id)}/tasks/{task.task_id}{mapped}"

    def _active_backfill(self, dag_id: str) -> Backfill | None:
        found = [Backfill.model_validate(entry) for entry in self._pages("/backfills", "backfills", {"dag_id": dag_id})]
        return next((backfill for backfill in found if backfill.completed_at is None), None)

    def _pages(self, path: str, key: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._ask("GET", path, query={**(query or {}), "limit": str(PAGE), "offset": str(offset)})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        may_be_missing: bool = False,
        may_conflict: bool = False,
    ) -> Any:
        """Returns the answer's JSON; None for a 404 or 409 that the caller expects."""
        answer = self._send(method, f"/api/v2{path}", body, query)
        if answer.status_code == requests.codes.unauthorized:
            self.log_in()  # the token is valid for a day
            answer = self._send(method, f"/api/v2{path}", body, query)
        if (may_be_missing and answer.status_code == requests.codes.not_found) or (
            may_conflict and answer.status_code == requests.codes.conflict
        ):
            return None
        if not answer.ok:
            raise self._refusal(answer, f"{method} {path}")
        return answer.json()

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str] | None = None
    ) -> requests.Response:
        problem = ""
        for _ in range(ANSWER_ATTEMPTS):
            try:
                return self.session.request(
                    method,
                    f"{self.url}{path}",
                    json=body,
                    params=query,
                    headers={"Accept": "application/json"},
                    timeout=TIMEOUT_SECONDS,
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                problem = str(error)
            if method != "GET":
                break  # it may have been obeyed all the same
            self.pause(1)
        raise ConfigurationError(
            f"Airflow at {self.url}",
            f"no answer to {method} {path} ({problem})",
            "See with `make status` whether it is up, and with `make logs` why not",
        )

    def _refusal(self, answer: requests.Response, request: str) -> ConfigurationError:
        cures = {
            400: "The request is wrong for this version of Airflow; the project is written for 3.3",
            401: "Use the login that `make up` prints; it changes nothing where the stack is up",
            403: "The user needs the role Admin or Op in Airflow",
            404: "See with `make logs` whether Airflow could parse the Dag",
            409: "Wait until what is under way has ended, or cancel it in the UI",
            422: "Compare the request with the Dag's schedule, start date and params",
            503: "Backfills need PostgreSQL; see that Airflow runs on it, with `make status`",
        }
        return ConfigurationError(
            f"Airflow at {self.url}",
            f"{request} was refused with {answer.status_code}: {_detail_of(answer)}",
            cures.get(answer.status_code, "See with `make logs` what the api server says"),
        )


def _detail_of(answer: requests.Response) -> str:
    """Returns the sentence in an error answer, whose `detail` is a text, or a list or object with messages."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:300] or "no reason given"
    entries = detail if isinstance(detail, list) else [detail]
    return "; ".join(str(entry.get("msg", entry)) if isinstance(entry, dict) else str(entry) for entry in entries)


def _log_lines(entry: Mapping[str, Any] | str) -> list[str]:
    """Returns a log entry as lines: its event, and what was raised, if anything was."""
    if isinstance(entry, str):
        return [line for line in entry.splitlines() if not line.startswith(FOLDING)]
    lines = str(entry.get("event", "")).splitlines()
    for error in entry.get("error_detail") or ():
        lines.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
        if frames := error.get("frames"):
            lines.append(f"  in {frames[-1].get('name')}, {frames[-1].get('filename')}:{frames[-1].get('lineno')}")
    return [line for line in lines if not line.startswith(FOLDING)]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
