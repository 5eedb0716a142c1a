from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from include.retraining.dataset.snapshot import IMAGES
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.evaluation.unseen import (
    images_of_lineage,
    require_own_snapshot,
    require_unseen,
    trained_images,
)
from include.retraining.run import Run
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage import layout
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import to_parquet
from tests.builders import make_lineage, make_run
from tests.datasets import DAY, publish_snapshot, row

ROWS = (row("a", split="train"), row("b", split="validation"), row("c", split="test"))


@pytest.fixture
def run() -> Run:
    return make_run()


def rows_of(*image_ids: str) -> pd.DataFrame:
    return pd.DataFrame([row(image_id, split="test") for image_id in image_ids])


def test_all_but_the_test_rows_were_trained_on():
    assert list(trained_images(pd.DataFrame(ROWS))) == ["a", "b"]


def test_what_a_version_was_trained_on_stands_in_the_snapshot_that_its_lineage_names(run: Run):
    publish_snapshot(run, [row("z")])
    snapshot = publish_snapshot(run, ROWS)

    trained = images_of_lineage(run, make_lineage(snapshot_digest=snapshot.digest))

    assert list(trained) == ["a", "b"]


def test_a_snapshot_from_before_there_were_attributes_is_a_proof_all_the_same(run: Run):
    older = pa.schema([field for field in SNAPSHOT if field.name != "attributes"])
    body = to_parquet(pd.DataFrame(ROWS).assign(date=DAY), older)
    digest = sha256(body)[:16]
    run.store.put(f"{layout.snapshot(run.classifier, digest)}{IMAGES}", body)

    assert list(images_of_lineage(run, make_lineage(snapshot_digest=digest))) == ["a", "b"]


def test_a_snapshot_that_is_gone_proves_nothing(run: Run):
    with pytest.raises(ArtifactIntegrityError, match=r"5a5a/images\.parquet: expected the snapshot .*, got no object"):
        images_of_lineage(run, make_lineage(snapshot_digest="5a5a"))


@pytest.mark.parametrize("digest", ["", "5a5a"])
def test_a_snapshot_of_other_content_than_the_lineage_names_proves_nothing(run: Run, digest: str):
    snapshot = publish_snapshot(run, ROWS)
    body = run.store.get(f"{layout.snapshot(run.classifier, snapshot.digest)}{IMAGES}")
    run.store.put(f"{layout.snapshot(run.classifier, digest)}{IMAGES}", body)

    with pytest.raises(ArtifactIntegrityError, match=f"expected sha256 {digest}…, got sha256 {snapshot.digest}"):
        images_of_lineage(run, make_lineage(snapshot_digest=digest))


def test_bytes_that_are_no_table_prove_nothing(run: Run):
    digest = sha256(b"no table")[:16]
    run.store.put(f"{layout.snapshot(run.classifier, digest)}{IMAGES}", b"no table")

    with pytest.raises(ArtifactIntegrityError, match="expected a Parquet table"):
        images_of_lineage(run, make_lineage(snapshot_digest=digest))


def test_test_rows_that_no_model_was_trained_on_may_be_scored(run: Run):
    require_unseen(run, rows_of("c", "d"), pd.Series(["a", "b"]), version="v1")


def test_test_rows_that_a_version_was_trained_on_stop_the_run_with_a_few_of_them_named(run: Run):
    with pytest.raises(
        ConfigurationError, match=r"version v1 was trained on 4 of the 5 .*: a, b, c, …\. .*name of its"
    ):
        require_unseen(run, rows_of("a", "b", "c", "d", "e"), pd.Series(["d", "c", "b", "a"]), version="v1")


def test_one_such_row_is_enough(run: Run):
    with pytest.raises(ConfigurationError, match=r"version v1 was trained on 1 of the 2 .*: b\. "):
        require_unseen(run, rows_of("b", "c"), pd.Series(["a", "b"]), version="v1")


def test_a_challenger_of_another_snapshot_than_its_run_s_is_refused():
    require_own_snapshot(make_lineage(snapshot_digest="d1"), "d1", uri="s3://memory/lineage.json")

    with pytest.raises(
        ArtifactIntegrityError, match=r"lineage\.json: expected snapshot d2, the run's, got snapshot d1"
    ):
        require_own_snapshot(make_lineage(snapshot_digest="d1"), "d2", uri="s3://memory/lineage.json")
