from __future__ import annotations

import dataclasses

import pytest

from include.retraining.artifacts import Approval
from include.retraining.reporting.gather import gather
from include.retraining.run import (
    APPROVAL,
    DECISION,
    INTAKE,
    PROMOTION,
    RECONSTRUCTION,
    RESAMPLING,
    SNAPSHOT,
    VERSION,
    Run,
)
from include.retraining.storage import layout
from tests.builders import (
    RUN_ID,
    STARTED_AT,
    make_intake,
    make_lineage,
    make_reconstruction,
    make_resampling,
    make_run,
    make_snapshot,
)
from tests.promotions import CHALLENGER, make_decision, make_move, publish_made_version


def progress_of(run: Run) -> dict[str, str]:
    return {stage.name: stage.progress for stage in gather(run).stages}


def test_a_run_without_records_has_reached_no_stage() -> None:
    report = gather(make_run())

    assert report.last_stage is None
    assert {stage.progress for stage in report.stages} == {"not reached"}
    assert report.unreadable == ()


def test_the_stages_tell_how_far_the_run_came() -> None:
    run = make_run()
    run.record(INTAKE, make_intake())
    run.record(SNAPSHOT, make_snapshot())

    assert gather(run).last_stage == "dataset"
    assert progress_of(run)["dataset"] == "done"
    assert progress_of(run)["embedding"] == "not reached"


def test_the_promotion_of_a_refused_challenger_is_not_due() -> None:
    run = make_run()
    run.record(DECISION, make_decision("too bad"))

    assert progress_of(run)["promotion"] == "not due"


def test_the_promotion_of_an_approved_challenger_that_did_not_happen_is_not_reached() -> None:
    run = make_run()
    run.record(DECISION, make_decision())

    assert progress_of(run)["promotion"] == "not reached"


@pytest.mark.parametrize("fields", [{"is_dry_run": True}, {"challenger": CHALLENGER}])
def test_the_promotion_in_a_dry_run_or_after_a_veto_is_not_due(fields: dict[str, object]) -> None:
    run = make_run()
    run.record(DECISION, make_decision(**fields))
    if "is_dry_run" not in fields:
        run.record(APPROVAL, Approval(CHALLENGER, RUN_ID, approved=False, by="ana", answered_at=STARTED_AT))

    assert progress_of(run)["promotion"] == "not due"


def test_what_was_said_about_another_challenger_does_not_count() -> None:
    run = make_run()
    run.record(DECISION, make_decision())
    run.record(APPROVAL, Approval("another", RUN_ID, approved=False, by="ana", answered_at=STARTED_AT))

    assert gather(run).approval is None
    assert progress_of(run)["promotion"] == "not reached"


def test_a_broken_record_is_named_and_the_others_are_read() -> None:
    run = make_run()
    run.record(INTAKE, make_intake())
    run.store.put(f"{run.prefix}{SNAPSHOT}", b'{"uri": 1}')

    report = gather(run)

    assert report.intake == make_intake()
    assert report.snapshot is None
    assert len(report.unreadable) == 1
    assert report.unreadable[0].startswith(f"s3://memory/{run.prefix}{SNAPSHOT}: expected a SnapshotRecord record")


def test_the_lineage_is_read_from_the_published_version() -> None:
    run = make_run()
    run.record(VERSION, publish_made_version(run.store))

    assert gather(run).lineage == make_lineage()


def test_a_version_whose_description_was_lost_costs_the_lineage_alone() -> None:
    run = make_run()
    version = publish_made_version(run.store)
    run.record(VERSION, version)
    run.store.delete(f"{layout.version(run.classifier, version.name)}lineage.json")

    report = gather(run)

    assert report.version == version
    assert report.lineage is None
    assert "lineage.json" in report.unreadable[0]


def test_the_move_of_an_earlier_attempt_of_the_run_does_not_count() -> None:
    run = make_run()
    run.record(PROMOTION, make_move())
    run.record(DECISION, make_decision("the champion changed"))
    refused = gather(run)
    run.record(DECISION, dataclasses.replace(make_decision(), challenger="another"))
    of_another = gather(run)
    run.record(DECISION, make_decision())
    own = gather(run)

    assert refused.promotion is None
    assert of_another.promotion is None
    assert own.promotion == make_move()


def test_the_pictures_of_a_reconstruction_are_read_the_projection_first() -> None:
    run = make_run()
    record = make_reconstruction()
    run.record(RECONSTRUCTION, record)
    run.store.put(record.sheets[1].uri.removeprefix("s3://memory/"), b"\x89PNG\r\n\x1a\n")

    report = gather(run)

    assert list(report.pictures) == [record.projection_uri, *(sheet.uri for sheet in record.sheets)]
    assert [bool(picture.source) for picture in report.pictures.values()] == [False, False, True]
    assert report.unreadable == ()


def test_the_sheets_of_rare_classes_come_first_where_it_is_known_which_are_rare() -> None:
    run = make_run()
    run.record(RECONSTRUCTION, make_reconstruction())
    unknown = gather(run)
    run.record(RESAMPLING, make_resampling({"daisy": 400, "poppy": 90, "orchid": 10}))
    known = gather(run)

    assert [sheet.label for sheet in unknown.reconstruction.sheets] == ["poppy", "orchid"]  # type: ignore[union-attr]
    assert [sheet.label for sheet in known.reconstruction.sheets] == ["orchid", "poppy"]  # type: ignore[union-attr]
    assert [uri.rpartition("/")[2] for uri in known.pictures] == ["projection.png", "orchid.png", "poppy.png"]
