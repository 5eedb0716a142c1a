from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from include.retraining.artifacts import LabelDoubtsRecord, SnapshotRecord
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.label_quality.doubts import doubt_labels
from include.retraining.run import LABEL_DOUBTS, Run
from tests.builders import LABELS, make_run
from tests.datasets import blob_vectors, embedding_of, pictured, publish_snapshot, split_rows, store_vectors

COUNTS = {
    "train": {"daisy": 120, "poppy": 40, "orchid": 12},
    "validation": {"daisy": 20, "poppy": 10, "orchid": 6},
    "test": {"daisy": 15, "poppy": 15, "orchid": 15},
}
N_ROWS = sum(sum(counts.values()) for counts in COUNTS.values())


def prepared(
    counts: dict[str, dict[str, int]] = COUNTS, *, wrong: dict[int, str] | None = None, **changes: Any
) -> tuple[Run, SnapshotRecord, list[dict[str, Any]]]:
    """A run whose snapshot has vectors and pictures of the true labels, and wrong labels at some rows."""
    run = make_run()
    rows = pictured(run.store, split_rows(counts))
    store_vectors(run, rows, blob_vectors(rows, LABELS))
    for number, label in (wrong or {}).items():
        rows[number] = {**rows[number], **changes, "label": label}
    return run, publish_snapshot(run, rows), rows


def first_of(label: str, split: str) -> int:
    rows = split_rows(COUNTS)
    return next(number for number, row in enumerate(rows) if (row["label"], row["split"]) == (label, split))


def listed(run: Run) -> list[dict[str, str]]:
    text = run.store.get(f"{run.prefix}label_doubts.csv").decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_wrong_labels_of_every_split_are_listed_with_the_right_one_suggested():
    wrong = {first_of("daisy", "train"): "orchid", first_of("poppy", "validation"): "daisy"}
    wrong[first_of("orchid", "test")] = "poppy"
    run, snapshot, rows = prepared(wrong=wrong)

    record = doubt_labels(run, snapshot.uri, embedding_of(run))

    found = {line["image_id"]: line for line in listed(run)}
    planted = {rows[number]["image_id"]: split_rows(COUNTS)[number]["label"] for number in wrong}
    assert set(planted) <= set(found)
    assert {image_id: found[image_id]["suggested_label"] for image_id in planted} == planted
    assert {found[image_id]["split"] for image_id in planted} == {"train", "validation", "test"}
    assert len(found) == record.n_doubted <= 5
    assert record.n_rows == N_ROWS


def test_the_record_counts_what_the_list_holds():
    run, snapshot, _ = prepared(wrong={first_of("daisy", "train"): "poppy", first_of("daisy", "test"): "poppy"})

    record = doubt_labels(run, snapshot.uri, embedding_of(run))

    lines = listed(run)
    assert [int(line["rank"]) for line in lines] == list(range(1, record.n_doubted + 1))
    assert record.doubted == {label: sum(line["given_label"] == label for line in lines) for label in LABELS}
    assert sum(sum(others.values()) for others in record.suggested.values()) == record.n_doubted
    assert record.suggested["poppy"]["daisy"] >= 2
    assert [doubt.image_id for doubt in record.worst] == [line["image_id"] for line in lines[:12]]
    assert record.uri == f"s3://memory/{run.prefix}label_doubts.csv"
    assert record.sheet_uri == f"s3://memory/{run.prefix}label_doubts.html"


def test_the_most_doubtful_come_with_their_pictures_and_survive_as_a_record():
    run, snapshot, _ = prepared(wrong={first_of("daisy", "train"): "poppy"})

    record = doubt_labels(run, snapshot.uri, embedding_of(run))

    run.record(LABEL_DOUBTS, record)
    assert run.recall(LABEL_DOUBTS, LabelDoubtsRecord) == record
    assert record.worst[0].thumbnail.startswith("data:image/png;base64,")
    assert record.worst[0].thumbnail in run.store.get(f"{run.prefix}label_doubts.html").decode()


def test_nothing_is_written_but_the_run_s_own_list_and_page():
    run, snapshot, _ = prepared(wrong={first_of("daisy", "train"): "poppy"})
    before = dict(run.store.objects)

    doubt_labels(run, snapshot.uri, embedding_of(run))

    after = run.store.objects
    assert set(after) - set(before) == {f"{run.prefix}label_doubts.csv", f"{run.prefix}label_doubts.html"}
    assert {key: after[key] for key in before} == before


def test_equal_input_gives_equal_bytes_in_whatever_order_the_vectors_were_stored():
    wrong = {first_of("daisy", "train"): "poppy"}
    run, snapshot, _ = prepared(wrong=wrong)
    other, same_snapshot, rows = make_run(), None, None
    rows = pictured(other.store, split_rows(COUNTS))
    store_vectors(other, rows[::-1], blob_vectors(rows, LABELS)[::-1])
    rows = [{**row, "label": wrong.get(number, row["label"])} for number, row in enumerate(rows)]
    same_snapshot = publish_snapshot(other, rows[::-1])

    records = [
        doubt_labels(run, snapshot.uri, embedding_of(run)),
        doubt_labels(other, same_snapshot.uri, embedding_of(other)),
    ]

    assert records[0] == records[1]
    for name in ("label_doubts.csv", "label_doubts.html"):
        assert run.store.get(f"{run.prefix}{name}") == other.store.get(f"{other.prefix}{name}")


@pytest.mark.parametrize("n_orchids", [1, 2])
def test_a_tiny_class_is_reported_as_not_judged(n_orchids: int):
    counts = {"train": {"daisy": 50, "poppy": 30, "orchid": n_orchids}, "test": {"orchid": 5}}
    run, snapshot, _ = prepared(counts)

    record = doubt_labels(run, snapshot.uri, embedding_of(run))

    assert record.not_judged == {"orchid": n_orchids + 5}
    assert record.n_rows == 80
    assert record.doubted["orchid"] == 0
    assert all(line["suggested_label"] != "orchid" for line in listed(run))


def test_a_class_whose_rows_are_all_of_one_group_is_not_judged():
    run = make_run()
    rows = [
        {**row, "group": "one patient" if row["label"] == "orchid" else ""}
        for row in split_rows({"train": {"daisy": 40, "poppy": 30, "orchid": 20}})
    ]
    store_vectors(run, rows, blob_vectors(rows, LABELS))

    record = doubt_labels(run, publish_snapshot(run, rows).uri, embedding_of(run))

    assert record.not_judged == {"orchid": 20}


def test_a_dataset_of_one_class_is_not_judged_and_no_error():
    run, snapshot, _ = prepared({"train": {"daisy": 10}})

    record = doubt_labels(run, snapshot.uri, embedding_of(run))

    assert (record.n_rows, record.n_doubted, record.worst) == (0, 0, ())
    assert record.not_judged == {"daisy": 10, "poppy": 0, "orchid": 0}
    assert listed(run) == []


def test_copies_of_a_wrong_label_do_not_confirm_each_other():
    """Eight near-identical pictures, all under the same wrong label: only as kin are they seen through."""
    run = make_run()
    rows = split_rows({"train": {"daisy": 60, "poppy": 12}})
    vectors = blob_vectors(rows, LABELS)
    copies = [number for number, row in enumerate(rows) if row["label"] == "daisy"][:8]
    vectors[copies] = vectors[copies[0]] + np.array([0, 0, 0, 9, 0, 0], np.float32)
    hashed = {
        number: {"label": "poppy", "perceptual_hash": f"{1 << place:064x}"} for place, number in enumerate(copies)
    }
    rows = [{**row, **hashed.get(number, {})} for number, row in enumerate(rows)]
    store_vectors(run, rows, vectors)

    doubt_labels(run, publish_snapshot(run, rows).uri, embedding_of(run))

    doubted = {line["image_id"] for line in listed(run)}
    assert {rows[number]["image_id"] for number in copies} <= doubted


def test_hostile_keys_start_no_formula_and_no_script():
    key = "=HYPERLINK(1)<script>alert(1)</script>.png"
    run, snapshot, _ = prepared(wrong={first_of("daisy", "train"): "poppy"}, key=key)

    doubt_labels(run, snapshot.uri, embedding_of(run))

    assert f"'{key}" in [line["key"] for line in listed(run)]
    assert b"<script" not in run.store.get(f"{run.prefix}label_doubts.html")


def test_a_picture_that_is_gone_costs_the_picture_alone():
    number = first_of("daisy", "train")
    run, snapshot, rows = prepared(wrong={number: "poppy"})
    run.store.delete(rows[number]["key"])

    record = doubt_labels(run, snapshot.uri, embedding_of(run))

    [doubt] = [doubt for doubt in record.worst if doubt.image_id == rows[number]["image_id"]]
    assert doubt.thumbnail == ""


def test_a_missing_vector_is_an_error_that_names_the_store():
    run = make_run()
    rows = split_rows(COUNTS)
    store_vectors(run, rows[1:], blob_vectors(rows[1:], LABELS))

    with pytest.raises(ArtifactIntegrityError, match="none of 1 of them"):
        doubt_labels(run, publish_snapshot(run, rows).uri, embedding_of(run))
