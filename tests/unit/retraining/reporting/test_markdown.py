from __future__ import annotations

import pytest

from include.retraining.reporting.document import Bullets, Code, Document, Facts, Listing, Paragraph, Section, Table
from include.retraining.reporting.markdown import escape, to_markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 0.5 %.", "plain words, 0.5 %."),
        ("+0.0500", "+0.0500"),
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("*bold* _it_", r"\*bold\* \_it\_"),
        ("[text](javascript:alert(1))", r"\[text\](javascript:alert(1))"),
        ("![x](y)", r"\!\[x\](y)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("&lt;", r"\&lt;"),
        ("\\", r"\\"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("---", r"--\-"),
        ("two\n\nlines\r\n| more |", r"two lines \| more \|"),
        ("https://evil.example", r"https\://evil.example"),
        ("www.evil.example", r"www\.evil.example"),
        ("somebody@evil.example", r"somebody\@evil.example"),
        ("right\u202eleft\x1b[2J", r"right left \[2J"),
    ],
)
def test_nothing_that_a_value_holds_becomes_markup(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_document_is_written_part_by_part() -> None:
    parts = (
        Paragraph("A_b."),
        Facts((("Digest", Code("ab12")), ("Name", "x|y"))),
        Bullets(("one", "- two")),
        Listing("python", "a = b_c"),
        Table("Counts", ("Class", "Rows"), (("a|b", "1"), (Code("c/d.json"), "2"))),
    )

    text = to_markdown(Document("Title", "Lead.", (Section("Part", parts),), "Foot."))

    assert text == (
        "# Title\n\nLead.\n\n## Part\n\nA\\_b.\n\n"
        "- Digest: `ab12`\n- Name: x\\|y\n\n"
        "- one\n- \\- two\n\n"
        "```python\na = b_c\n```\n\n"
        "Counts:\n\n| Class | Rows |\n| --- | ---: |\n| a\\|b | 1 |\n| `c/d.json` | 2 |\n\n"
        "---\n\nFoot.\n"
    )


@pytest.mark.parametrize("hostile", ["a`b", "a|b", "<b>", "two\nlines", "a`` `<i>"])
def test_an_identifier_that_is_none_is_shown_as_words(hostile: str) -> None:
    text = to_markdown(Document("", "", (Section("", (Facts((("Run", Code(hostile)),)),)),), ""))

    assert f"- Run: {escape(hostile)}\n" in text
