"""The corpus of bad input, through the whole stage as the command line runs it: each has its outcome, none is lost."""

from __future__ import annotations

import html
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.retraining.command_line import main as command
from include.retraining.command_line.main import main
from include.retraining.intake.names import shown_name
from include.retraining.intake.reasons import SKIPPING, Reason, parted
from include.retraining.schemas import VERDICTS
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.tables import from_parquet
from tests.builders import CLASSIFIER, make_config
from tests.recipes import write_recipe
from tests.unit.retraining.intake.deliveries import deliver, png
from tests.unit.retraining.intake.hostile_rows import CASES, FORMATS, MAXIMUM_BYTES, Case, files_of, manifest_of

DAY = date(2026, 1, 5)
LATER = date(2026, 1, 9)
PREFIX = layout.incoming(CLASSIFIER, DAY)
QUARANTINE = layout.quarantine(CLASSIFIER, DAY)
FORGIVING = {
    "intake": {"shard_images": 50, "images": {"formats": list(FORMATS), "maximum_bytes": MAXIMUM_BYTES}},
    "expectations": {"quarantined": {"maximum": 1.0}},
}
HEADER = b"image,label,group,split\n"


@dataclass(frozen=True)
class Answer:
    """What the command line gave.

    Attributes:
        status: Its exit status.
        shown: The object that it printed.
        errors: What it wrote to standard error.
    """

    status: int
    shown: Mapping[str, Any]
    errors: str

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Delivered, accepted, skipped, quarantined."""
        quarantined = sum(self.shown["quarantined"].values())
        return self.shown["delivered"], self.shown["accepted"], self.shown["skipped"], quarantined


Intake = Callable[..., Answer]


def intake_of(store: InMemoryStore, directory: Path, **sections: Any) -> Intake:
    """The command line over a store; what holds for every answer is asserted there and then."""
    write_recipe(directory, make_config(CLASSIFIER, **sections))

    def take_in(day: date = DAY) -> Answer:
        out, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
            patch.setenv("RETRAIN_CLASSIFIERS", str(directory))
            patch.setattr(command, "store_from", lambda environment: store)
            status = main(["intake", CLASSIFIER, day.isoformat(), "--json"])
        answer = Answer(status, json.loads(out.getvalue()), errors.getvalue())
        delivered, *parts = answer.counts
        assert sum(parts) == delivered
        assert sum(answer.shown["skipped_by"].values()) == answer.shown["skipped"]
        assert "Traceback" not in answer.errors
        assert (status == 1) == ("error" in answer.shown) == ("error: " in answer.errors)
        return answer

    return take_in


def verdicts_in(store: InMemoryStore) -> pd.DataFrame:
    keys = [key for key in store.objects if "/verdicts-" in key and key.endswith(".parquet")]
    return pd.concat([from_parquet(store.get(key), VERDICTS, key) for key in sorted(keys)], ignore_index=True)


def under(store: InMemoryStore, prefix: str) -> dict[str, bytes]:
    return {found.key: store.get(found.key) for found in store.list(prefix)}


@dataclass(frozen=True)
class TakenIn:
    """What the delivery of all rows came to."""

    store: InMemoryStore
    answer: Answer
    repeat: Answer
    verdicts: pd.DataFrame
    before: Mapping[str, bytes]
    pages: Mapping[str, str]


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> TakenIn:
    store = InMemoryStore()
    deliver(store, {**files_of(CASES.values()), "labels.csv": manifest_of(CASES.values()), "_READY": b""}, day=DAY)
    intake = intake_of(store, tmp_path_factory.mktemp("recipes"), **FORGIVING)
    answer = intake()
    verdicts = verdicts_in(store)
    kept = {key: body for prefix in ("batches/", "quarantine/") for key, body in under(store, prefix).items()}
    pages = {key: body.decode() for key, body in store.objects.items() if key.endswith(".html")}
    return TakenIn(store, answer, intake(), verdicts, kept, pages)


def outcomes_of(case: Case, verdicts: pd.DataFrame) -> tuple[str, ...]:
    is_named = (verdicts["image"] == case.image) & (verdicts["key"].eq("") | (case.image != ""))
    rows = verdicts[is_named | (verdicts["key"] == f"{PREFIX}{case.object_name}")]
    outcomes = rows["outcome"] + rows["reason"].map(lambda reason: f": {reason}" if reason else "")
    return tuple(sorted(outcomes))


@pytest.mark.parametrize("what", CASES)
def test_every_row_has_its_named_outcome(what: str, taken_in: TakenIn):
    case = CASES[what]

    assert outcomes_of(case, taken_in.verdicts) == case.outcomes


def test_no_row_is_lost_and_none_is_added(taken_in: TakenIn):
    expected = Counter(outcome for case in CASES.values() for outcome in case.outcomes)
    by_outcome = Counter(outcome.partition(":")[0] for outcome in expected.elements())

    assert taken_in.answer.status == 0
    assert taken_in.answer.counts == (
        expected.total(),
        *(by_outcome[it] for it in ("accepted", "skipped", "quarantined")),
    )
    assert len(taken_in.verdicts) == expected.total()


def test_the_numbers_by_reason_are_those_of_the_rows(taken_in: TakenIn):
    first = Counter(parted(reason)[0].value for reason in taken_in.verdicts["reason"] if reason)

    assert {**taken_in.answer.shown["quarantined"], **taken_in.answer.shown["skipped_by"]} == first
    assert set(taken_in.answer.shown["skipped_by"]) <= SKIPPING


def test_the_column_too_many_is_a_warning_that_steers_no_terminal(taken_in: TakenIn):
    (warning,) = [it for it in taken_in.answer.shown["warnings"] if "a column needs a name" in it]

    assert "note<script>" in warning
    assert warning.isprintable()


def test_the_quarantine_holds_a_line_for_each_refused_row(taken_in: TakenIn):
    lines = [json.loads(line) for line in taken_in.store.get(f"{QUARANTINE}reasons.jsonl").splitlines()]

    refused = taken_in.verdicts[taken_in.verdicts["outcome"] == "quarantined"]
    told = Counter((line["key"], line["image"], "; ".join(it["code"] for it in line["reasons"])) for line in lines)
    assert told == Counter(zip(refused["key"], refused["image"], refused["reason"], strict=True))


def test_the_quarantine_holds_a_copy_of_each_refused_object_that_can_be_copied(taken_in: TakenIn):
    lines = [json.loads(line) for line in taken_in.store.get(f"{QUARANTINE}reasons.jsonl").splitlines()]

    copies = {line["copy"]: taken_in.store.get(line["key"]) for line in lines if line["copy"]}
    assert under(taken_in.store, f"{QUARANTINE}images/") == copies
    for line in lines:
        body = taken_in.store.objects.get(line["key"])
        assert bool(line["copy"]) == (body is not None and len(body) <= MAXIMUM_BYTES)


HARMFUL = sorted(
    {
        text
        for case in CASES.values()
        for text in (case.image, *(field for line in case.lines for field in line))
        if set("<>\"'&") & set(text) or not text.strip().isprintable()  # a label with a line end behind it is no harm
    }
)


def test_no_page_holds_a_script_or_a_hostile_name_as_it_was_delivered(taken_in: TakenIn):
    assert len(HARMFUL) > 10
    assert len(taken_in.pages) == 8  # four among the run's records, and their copies beside the batch
    for page in taken_in.pages.values():
        assert "<script" not in page.lower()
        assert [text for text in HARMFUL if text in page] == []
        assert all(character.isprintable() for character in page.replace("\n", ""))


@pytest.mark.parametrize("name", sorted(it.image for it in CASES.values() if it.image.endswith("-bad.png")))
def test_the_contact_sheet_shows_a_hostile_name_harmlessly(name: str, taken_in: TakenIn):
    (sheet,) = [page for key, page in taken_in.pages.items() if key.startswith("runs/") and "contact_sheet" in key]

    assert shown_name(name) in html.unescape(sheet)


def test_a_repeat_says_that_nothing_changed_and_changes_nothing(taken_in: TakenIn):
    assert (taken_in.answer.shown["unchanged"], taken_in.repeat.shown["unchanged"]) == ([], [DAY.isoformat()])
    assert taken_in.repeat.counts == taken_in.answer.counts
    assert {key.partition("/")[0] for key in taken_in.before} == {"batches", "quarantine"}
    now = {key: body for prefix in ("batches/", "quarantine/") for key, body in under(taken_in.store, prefix).items()}
    assert now == taken_in.before


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


@pytest.fixture
def intake(store: InMemoryStore, tmp_path: Path) -> Intake:
    """The command line with the recipe's defaults."""
    return intake_of(store, tmp_path)


GOOD = {f"{label}-{number}.png": png(number) for number, label in enumerate(("daisy", "poppy", "orchid"))}
LINES = [f"{name},{name.partition('-')[0]}" for name in GOOD]
LISTED = "\n".join(["image,label", *LINES]).encode()


@pytest.mark.parametrize(
    ("manifest", "warned"),
    [
        (b"\xef\xbb\xbf" + LISTED, ""),
        (LISTED.replace(b"\n", b"\r\n"), ""),
        (b"\xef\xbb\xbf" + LISTED.replace(b",", b";").replace(b"\n", b"\r\n"), "separated by semicolons"),
        (LISTED.replace(b",", b"\t"), "separated by tabs"),
        (LISTED.replace(b"image,label", b"image,label,weather"), ""),
        (LISTED.replace(b"image,label", b"image,label,"), "a column needs a name of 1 to 64 printable characters"),
        (b"\n\n" + LISTED + b"\n,\n\n", ""),
    ],
    ids=["byte-order mark", "CRLF", "semicolons", "tabs", "extra column", "nameless column", "blank lines"],
)
def test_a_manifest_of_another_dialect_is_read(manifest: bytes, warned: str, store: InMemoryStore, intake: Intake):
    deliver(store, {**GOOD, "labels.csv": manifest, "_READY": b""}, day=DAY)

    answer = intake()

    assert (answer.status, answer.counts) == (0, (3, 3, 0, 0))
    assert len(answer.shown["warnings"]) == (warned != "")
    assert all(warned in warning for warning in answer.shown["warnings"])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"labels.csv": LISTED.replace(b"label", b"kind", 1)}, "labels.csv: it has no column 'label'"),
        ({"labels.csv": LISTED.replace(b"image,", b"", 1)}, "labels.csv: it has no column 'image'"),
        ({"labels.csv": LISTED.replace(b"label", b"Label", 1)}, "did you mean 'label'? Rename or remove it"),
        ({"labels.csv": LISTED.replace(b"label", b"label,label", 1)}, "it has the column 'label' twice"),
        ({"labels.csv": LISTED.replace(b",", b"|")}, "labels.csv: it has no column 'image' and 'label'"),
        ({"labels.csv": b"\n".join(LISTED.splitlines()[1:])}, "labels.csv: it has no column 'image' and 'label'"),
        ({"labels.csv": b""}, "labels.csv: the file is empty"),
        ({"labels.csv": b" \n\n"}, "labels.csv: the file is empty"),
        ({"labels.csv": LISTED.decode().encode("utf-16")}, "labels.csv: byte 0 is not UTF-8: save the file as UTF-8"),
        ({"labels.csv": LISTED + b'\n"open,daisy\n'}, "labels.csv: line 5 is not valid CSV"),
        ({"labels.csv": png(1)}, "labels.csv: byte 0 is not UTF-8"),
        ({"labels.csv": bytes(1000)}, "labels.csv: it has no column 'image' and 'label'"),
        ({"labels.parquet": b""}, "labels.parquet: it cannot be read as Parquet"),
        ({"labels.parquet": LISTED}, "labels.parquet: it cannot be read as Parquet"),
        ({"labels.jsonl": b""}, "labels.jsonl: the file is empty"),
        ({"labels.jsonl": LISTED}, "labels.jsonl: line 1 is not valid JSON"),
        ({"labels.jsonl": b"[" * 100_000}, "labels.jsonl: line 1 is nested too deep"),
        ({"labels.csv": LISTED, "labels.jsonl": b"{}"}, "it holds labels.csv and labels.jsonl: leave one manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_refuses_the_batch(
    files: Mapping[str, bytes], told: str, store: InMemoryStore, intake: Intake
):
    deliver(store, {**GOOD, **files, "_READY": b""}, day=DAY)

    answer = intake()

    assert (answer.status, answer.counts) == (1, (0, 0, 0, 0))
    assert told in answer.shown["error"]
    assert_data_owner_must_act(answer)
    assert not under(store, "batches/")


def assert_data_owner_must_act(answer: Answer) -> None:
    assert answer.shown["error"].startswith(f"s3://memory/{PREFIX} is refused: ")
    assert "The data owner must correct the delivery and run the window again." in answer.shown["error"]
    assert answer.errors.rstrip().endswith(answer.shown["error"])


@pytest.mark.parametrize(
    "files", [{"labels.csv": HEADER}, {"_READY": b""}, {"labels.csv": HEADER, "_READY": b""}], ids=" and ".join
)
def test_a_batch_of_nothing_but_a_manifest_or_a_marker_is_refused(
    files: Mapping[str, bytes], store: InMemoryStore, intake: Intake
):
    deliver(store, files, day=DAY)

    answer = intake()

    assert (answer.status, answer.counts) == (1, (0, 0, 0, 0))
    assert "but no image: deliver the images" in answer.shown["error"]
    assert_data_owner_must_act(answer)


@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        ({**GOOD, "labels.csv": HEADER}, {"not_listed": 3}),
        ({"labels.csv": LISTED}, {"missing_object": 3}),
        ({**GOOD, "labels.csv": LISTED.replace(b",", b",no-").replace(b"no-label", b"label")}, {"unknown_label": 3}),
        (dict.fromkeys(GOOD, b"") | {"labels.csv": LISTED}, {"empty_object": 3}),
        (GOOD, {"not_listed": 3}),
    ],
    ids=["header only", "no images", "no known label", "empty images", "neither manifest nor folders"],
)
def test_a_batch_without_any_accepted_row_is_refused_with_its_reasons(
    files: Mapping[str, bytes], reasons: Mapping[str, int], store: InMemoryStore, intake: Intake
):
    deliver(store, {**files, "_READY": b""}, day=DAY)

    answer = intake()

    assert (answer.status, answer.counts) == (1, (3, 0, 0, 3))
    assert answer.shown["quarantined"] == reasons
    assert "0 of 3 images are usable, and expectations.usable_rows asks for 1" in answer.shown["error"]
    assert f"each image's reasons are in s3://memory/{QUARANTINE}reasons.jsonl" in answer.shown["error"]
    assert_data_owner_must_act(answer)
    assert not under(store, "batches/")


def test_a_day_without_any_delivery_is_no_error(intake: Intake):
    answer = intake()

    assert (answer.status, answer.counts) == (0, (0, 0, 0, 0))
    assert "Nothing was delivered" in answer.shown["message"]


def test_the_same_batch_delivered_again_on_its_day_changes_nothing(store: InMemoryStore, intake: Intake):
    delivery = {**GOOD, "labels.csv": LISTED, "_READY": b""}
    deliver(store, delivery, day=DAY)
    first = intake()
    accepted = under(store, "batches/")
    deliver(store, delivery, day=DAY)

    second = intake()

    assert (second.status, second.counts) == (0, (3, 3, 0, 0))
    assert (first.shown["unchanged"], second.shown["unchanged"]) == ([], [DAY.isoformat()])
    assert second.shown["batch_uris"] == first.shown["batch_uris"]
    assert under(store, "batches/") == accepted


def test_the_same_batch_delivered_again_on_a_later_day_is_skipped_whole(store: InMemoryStore, intake: Intake):
    delivery = {**GOOD, "labels.csv": LISTED, "_READY": b""}
    deliver(store, delivery, day=DAY)
    intake()
    accepted = under(store, "batches/")
    deliver(store, delivery, day=LATER)

    answer = intake(LATER)

    assert (answer.status, answer.counts) == (0, (3, 0, 3, 0))
    assert set(answer.shown["skipped_by"]) <= {Reason.DUPLICATE_OF_EARLIER_BATCH, Reason.DUPLICATE_OF_TEST_IMAGE}
    assert answer.shown["batch_uris"] == {}
    assert any("nothing new" in warning for warning in answer.shown["warnings"])
    assert under(store, "batches/") == accepted
