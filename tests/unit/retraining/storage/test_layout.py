from __future__ import annotations

from datetime import date

from include.retraining.storage import layout

DAY = date(2026, 1, 2)
PREFIXES = (
    layout.incoming("flowers", DAY),
    layout.quarantine("flowers", DAY),
    layout.batch("flowers", DAY, "d1"),
    layout.snapshot("flowers", "d1"),
    layout.embeddings("f1"),
    layout.resampling("flowers", "d1"),
    layout.candidate("flowers", "d1"),
    layout.evaluation("flowers", "v1", "d1"),
    layout.version("flowers", "v1"),
    layout.history("flowers"),
    layout.run("flowers", "r1"),
)


def test_every_prefix_ends_in_a_slash_and_lies_in_no_other_one():
    assert all(prefix.endswith("/") for prefix in PREFIXES)
    assert [(a, b) for a in PREFIXES for b in PREFIXES if a != b and a.startswith(b)] == []


def test_pointers_lie_outside_of_what_they_point_at():
    assert not layout.champion("flowers").startswith((layout.versions("flowers"), layout.history("flowers")))
    assert not layout.current_batch("flowers", DAY).startswith(layout.batch("flowers", DAY, "d1"))


def test_a_classifier_s_artifacts_are_not_found_under_one_whose_name_begins_alike():
    assert not layout.versions("flowers_2").startswith(layout.models("flowers"))
    assert not layout.incoming("flowers_2", DAY).startswith(layout.deliveries("flowers"))
