from __future__ import annotations

from collections import Counter


def breach(severity, names, count=None, codes=None):
    from include.retraining.intake.validation.findings import Breach

    return Breach(severity, count or len(names), Counter(codes or {"near_constant": count or len(names)}), names)


def test_names_that_would_steer_a_terminal_are_written_out():
    from include.retraining.intake.validation.sentences import breach_sentence

    sentence = breach_sentence("not_constant", breach("warn", ["a\x1b[2J\n.png", "x" * 500]), 7)

    assert sentence.startswith("2 of 7 images break expectations.not_constant (near_constant 2): 'a\\x1b[2J\\n.png'")
    assert sentence.isprintable()
    assert len(sentence) < 300


def test_rows_that_are_not_named_are_hinted_at():
    from include.retraining.intake.validation.sentences import breach_sentence

    codes = {"unknown_label": 8, "no_label": 1}

    assert breach_sentence("label_known", breach("block", ["a", "b"], 9, codes), 10) == (
        "9 of 10 images break expectations.label_known, which allows none (no_label 1, unknown_label 8): 'a', 'b', …"
    )
