from __future__ import annotations

import re

from include.retraining.label_quality.doubt_sheet import MOST_SHOWN, doubt_sheet
from tests.builders import make_label_doubt

PICTURE = "data:image/png;base64,iVBORw0KGgo="


def sheet(*doubts, n_doubted: int | None = None) -> str:
    n_doubted = len(doubts) if n_doubted is None else n_doubted
    return doubt_sheet("flowers", doubts, n_rows=900, n_doubted=n_doubted, csv_name="label_doubts.csv").decode()


def test_an_image_is_shown_with_both_labels_and_their_probabilities():
    html = sheet(make_label_doubt(thumbnail=PICTURE))

    assert f'<img src="{PICTURE}" alt="">' in html
    assert '<dd>daisy</dd><dd class="probability">0.020</dd>' in html
    assert '<dd>poppy</dd><dd class="probability">0.950</dd>' in html
    assert "<code>incoming/flowers/2026-01-02/images/000001.png</code>" in html
    assert "labels of 1 of 900 images" in html


def test_an_image_without_picture_says_so():
    html = sheet(make_label_doubt())

    assert "no picture" in html
    assert "<img" not in html


def test_at_most_sixty_are_shown_and_the_page_says_where_the_others_are():
    html = sheet(*(make_label_doubt(number) for number in range(75)), n_doubted=1234)

    assert html.count('<li class="doubt">') == MOST_SHOWN == 60
    assert "1,234 of 900" in html
    assert "The 60 most doubtful are shown; all are in <code>label_doubts.csv</code>" in html


def test_without_doubts_the_page_says_so():
    assert "No label is contradicted." in sheet()


def test_the_page_runs_nothing_and_may_load_nothing_but_the_pictures_it_carries():
    html = sheet(make_label_doubt(thumbnail=PICTURE))

    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in html
    assert not re.search(r"<script|<link|url\(|@import|https?://|\son\w+=", html)


def test_names_are_text_and_never_markup():
    html = sheet(make_label_doubt(key='"><script>alert(1)</script>\x1b', given="<b>", suggested="'&"))

    assert "<script>" not in html
    assert "&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\x1b" in html
    assert "<dd>&lt;b&gt;</dd>" in html
    assert "<dd>&#39;&amp;</dd>" in html
