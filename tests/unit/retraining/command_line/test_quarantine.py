from __future__ import annotations

import csv
import io
import json

import pytest

from include.retraining.command_line.main import main
from include.retraining.intake.quarantine import quarantine_images
from tests.builders import make_run
from tests.unit.retraining.intake.deliveries import deliver, keep_verdicts_of, png

REFUSED = {"outcome": "quarantined", "reason": "unknown_label", "label": "rose"}
RELEASED = "incoming/flowers/2026-01-03/released/"


@pytest.fixture
def quarantined(store):
    """Two images in quarantine: one under an unknown label, one that another contradicts."""
    run = make_run(store)
    deliver(store, {"a.png": png(1), "b.png": png(2)})
    conflict = {"reason": "label_conflict", "label": "poppy", "related": "incoming/flowers/2026-01-01/c.png"}
    quarantine_images(
        run, keep_verdicts_of(run, {**REFUSED, "image": "a.png"}, {**REFUSED, **conflict, "image": "b.png"})
    )


@pytest.fixture
def corrections(tmp_path):
    def write(*lines: str) -> str:
        path = tmp_path / "corrections.csv"
        path.write_text("\n".join(("image,label", *lines)) + "\n")
        return str(path)

    return write


def test_the_list_has_a_line_an_image_with_its_reasons(quarantined, capsys):
    assert main(["quarantine", "flowers", "2026-01-02"]) == 0

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "Quarantined of flowers, delivered for 2026-01-02: 2 images"
    assert "a.png rose unknown_label" in lines
    assert "b.png poppy label_conflict c.png" in lines


def test_a_name_cannot_steer_the_terminal(store, capsys):
    run = make_run(store)
    quarantine_images(run, keep_verdicts_of(run, {**REFUSED, "image": "\x1b[2J\x07[red].png"}))

    main(["quarantine", "flowers", "2026-01-02"])

    out = capsys.readouterr().out
    assert r"\x1b[2J\x07[red].png" in out
    assert "\x1b[2J" not in out


def test_json_has_everything_that_is_known(quarantined, capsys):
    assert main(["quarantine", "flowers", "2026-01-02", "--json"]) == 0

    first, second = json.loads(capsys.readouterr().out)
    assert (first["image"], first["reasons"][0]["code"]) == ("a.png", "unknown_label")
    assert first["copy"].startswith("quarantine/flowers/2026-01-02/images/")
    assert second["related"] == "incoming/flowers/2026-01-01/c.png"


def test_csv_is_a_file_of_corrections_that_needs_editing_only(quarantined, store, capsys, tmp_path):
    assert main(["quarantine", "flowers", "2026-01-02", "--csv"]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "edited.csv"
    path.write_text(printed.replace("rose", "daisy"))

    assert main(["release", "flowers", "2026-01-02", "--to", "2026-01-03", "--corrections", str(path)]) == 0

    rows = list(csv.DictReader(io.StringIO(store.get(f"{RELEASED}labels.csv").decode())))
    assert printed.splitlines()[0] == "image,label,group,split,file"
    assert sorted(row["label"] for row in rows) == ["daisy", "poppy"]


def test_an_empty_quarantine_and_one_that_never_was_are_told_apart(store, capsys):
    run = make_run(store)
    quarantine_images(run, keep_verdicts_of(run, REFUSED))
    quarantine_images(run, keep_verdicts_of(run, {}))

    assert main(["quarantine", "flowers", "2026-01-02"]) == 0
    assert "No image of flowers delivered for 2026-01-02 is in quarantine." in capsys.readouterr().out
    assert main(["quarantine", "flowers", "2026-01-04"]) == 1
    assert "no image of that day was ever quarantined" in capsys.readouterr().err


def test_release_says_what_it_did_and_what_comes_next(quarantined, corrections, store, capsys):
    file = corrections("a.png,daisy")

    assert main(["release", "flowers", "2026-01-02", "--to", "2026-01-03", "--corrections", file]) == 0

    out = capsys.readouterr().out
    assert "Released from 2026-01-02 into the delivery of 2026-01-03: 1 image\n" in out
    assert f"They lie under s3://memory/{RELEASED}2026-01-02/" in out
    assert "They are taken in with the delivery of 2026-01-03, when its window is run." in out
    assert store.exists(f"{RELEASED}labels.csv")


def test_release_into_a_delivery_that_is_complete_says_that_it_must_be_run_again(
    quarantined, corrections, store, capsys
):
    store.put("incoming/flowers/2026-01-03/_READY", b"")
    file = corrections("a.png,daisy")

    main(["release", "flowers", "2026-01-02", "--to", "2026-01-03", "--corrections", file])

    assert "is marked complete: if its window has been run, run it again." in capsys.readouterr().out


def test_a_dry_run_tells_the_same_and_writes_nothing(quarantined, corrections, store, capsys):
    before = dict(store.objects)
    arguments = ["--to", "2026-01-03", "--corrections", corrections("a.png,daisy"), "--dry-run"]

    assert main(["release", "flowers", "2026-01-02", *arguments]) == 0

    assert "Would be released from 2026-01-02 into" in capsys.readouterr().out
    assert store.objects == before


def test_json_names_each_released_image(quarantined, corrections, capsys):
    arguments = ["--to", "2026-01-03", "--corrections", corrections("a.png,daisy"), "--json"]

    assert main(["release", "flowers", "2026-01-02", *arguments]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["released"], shown["to"], shown["run_again"]) == (True, "2026-01-03", False)
    assert shown["images"][0]["released_key"].startswith(f"{RELEASED}2026-01-02/")


def test_wrong_corrections_are_one_error_that_names_them_all(quarantined, corrections, store, capsys):
    before = dict(store.objects)
    file = corrections("a.png,tulip", "z.png,daisy")

    assert main(["release", "flowers", "2026-01-02", "--to", "2026-01-03", "--corrections", file]) == 1

    err = capsys.readouterr().err
    assert "line 2: the label 'tulip' is none of daisy, poppy, orchid" in err
    assert "line 3: 'z.png' is neither the name nor the key" in err
    assert store.objects == before
