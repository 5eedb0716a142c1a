"""`models list` and `models show`: what is in the registry, and what became of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime

from include.retraining.artifacts import CandidateRecord, Move, PromotionDecision, Provenance
from include.retraining.command_line.output import print_json, print_table, shown_mean
from include.retraining.command_line.standing import CHAMPION, FORMER, RETIRED, WITHDRAWN, Standings, read_standings
from include.retraining.command_line.version_argument import published_version
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.registry import Version, read_version, unfinished_versions, version_names
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of

DIGEST_SHOWN = 12
MARKS = {CHAMPION: "*", FORMER: "+", WITHDRAWN: "-", RETIRED: "-"}


@dataclass(frozen=True)
class _Row:
    """One version of the list; what cannot be read of a broken one is None, and `problem` says why."""

    version: str
    champion: bool
    standing: str
    window_end: datetime | None
    candidate: str | None
    validation_macro_recall: float | None
    uri: str
    problem: str | None


def list_versions(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints all versions, newest data first, with what became of them; exit status 1 if something is broken."""
    standings = read_standings(store, config.name)
    names = version_names(store, config.name)
    rows = [_row(store, config.name, name, standings) for name in reversed(names)]
    gone = [name for name in standings.retired if name not in names]
    unfinished = unfinished_versions(store, config.name)
    problems = [standings.problem, *(row.problem for row in rows)]
    if arguments.json:
        nothing = None, None, None
        missing = [(name, RETIRED) for name in gone] + [(name, "unfinished") for name in unfinished]
        rows += [_Row(it, False, of, *nothing, _uri(store, config.name, it), None) for it, of in missing]
        print_json(rows)
    else:
        _print_list(config.name, rows, gone, unfinished)
        print("".join(f"broken: {problem}\n" for problem in problems if problem), end="")
    return 1 if any(problems) else 0


def _print_list(classifier: str, rows: list[_Row], retired: list[str], unfinished: list[str]) -> None:
    if rows:
        print_table(
            f"Versions of {classifier}, newest data first; * is the champion",
            ("", "version", "data up to", "candidate", "recall"),
            [
                (MARKS.get(it.standing, ""), it.version, it.window_end, it.candidate, it.validation_macro_recall)
                for it in rows
            ],
        )
        print("+ a former champion, - withdrawn; recall: macro recall on validation; UTC")
    else:
        print(f"No version of {classifier} was published yet.")
    if retired:
        print(f"retired by `models gc`: {', '.join(retired)}")
    if unfinished:
        print(f"uploads that were not finished, or not yet: {', '.join(unfinished)}")


def show(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints everything known of one version."""
    version = read_version(store, config.name, published_version(store, config.name, arguments.version))
    standings = read_standings(store, config.name)
    decision, moves = standings.decision(version.name), standings.moves(version.name)
    standing = standings.of(version.name)
    if arguments.json:
        print_json({**vars(version), "standing": standing, "decision": decision, "moves": moves})
        return 0
    print(f"{version.name}{f' ({standing})' if standing else ''}\n{version.uri}\ncontent {version.manifest.digest}")
    if version.name in standings.withdrawn:
        print(standings.withdrawn[version.name])
    _print_making(version)
    _print_life(decision, moves)
    files = [(name, digest[:DIGEST_SHOWN]) for name, digest in version.manifest.files.items()]
    print_table("Files", ("file", "sha256 begins with"), files)
    return 0


def _print_making(version: Version) -> None:
    print_table("Lineage", ("what", "which"), [_lineage(name, value) for name, value in vars(version.lineage).items()])
    print_table("First made", ("what", "which"), _provenance(version.provenance))
    print_table("Training", ("what", "which"), _training(version.candidate))
    validation = version.candidate.validation
    recalls = [(label, validation.n_rows[label], recall) for label, recall in validation.recall.items()]
    print_table(f"{version.candidate.name} on validation", ("label", "images", "recall"), recalls)


def _print_life(decision: PromotionDecision | None, moves: list[Move]) -> None:
    if decision is None:
        print("\nNobody decided about it yet.")
    else:
        rows: list[tuple[str, object]] = [
            (
                "answer",
                f"{'approved' if decision.approved else 'refused'}{' (dry run)' if decision.is_dry_run else ''}",
            ),
            ("champion then", decision.champion),
            ("run", decision.run_id),
            ("at", decision.decided_at),
            ("by", decision.by or None),
            *((name.replace("_", " "), value) for name, value in decision.metrics.items()),
            *(("because", reason) for reason in decision.reasons),
        ]
        print_table("Last decision, with metrics on the test rows", ("what", "which"), rows)
    if moves:
        columns = ("at", "what", "from", "to", "by", "why")
        rows_of_moves = [(it.moved_at, it.kind, it.incumbent, it.resulting, it.by or None, it.reason) for it in moves]
        print_table("Moves to and from it", columns, rows_of_moves)


def _row(store: ObjectStore, classifier: str, name: str, standings: Standings) -> _Row:
    standing = standings.of(name)
    known = name, standing == CHAMPION, standing
    try:
        version = read_version(store, classifier, name)
    except ArtifactIntegrityError as error:
        return _Row(*known, None, None, None, _uri(store, classifier, name), str(error))
    candidate = version.candidate
    return _Row(
        *known, version.lineage.window_end, candidate.name, candidate.validation.macro_recall, version.uri, None
    )


def _uri(store: ObjectStore, classifier: str, name: str) -> str:
    return uri_of(store, layout.version(classifier, name))


def _lineage(name: str, value: object) -> tuple[str, object]:
    is_digest = name.endswith(("_digest", "_fingerprint"))
    return name.replace("_", " "), str(value)[:DIGEST_SHOWN] or None if is_digest else value


def _provenance(provenance: Provenance | None) -> list[tuple[str, object]]:
    if provenance is None:
        return [("run", None)]
    return [("run", provenance.run_id), ("started at", provenance.started_at), ("by", provenance.by or None)]


def _training(candidate: CandidateRecord) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("cross-validation", shown_mean(candidate)),
        *((name.replace("_", " "), f"{value:g}") for name, value in candidate.settings.items()),
        ("parameters", candidate.n_parameters),
        ("train rows", candidate.n_train_rows),
        ("kept epoch", candidate.best_epoch),
        ("temperature", f"{candidate.temperature:.3f}"),
    ]
    if candidate.thresholds is not None:
        rows.append(("thresholds", {label: f"{value:.3g}" for label, value in candidate.thresholds.items()}))
    return rows
