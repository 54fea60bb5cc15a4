"""The page as a browser parses it: names of data are text, never markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.reporting.html.charts import confusion, training_curve
from boxseg.reporting.html.page import Gallery, GalleryPhoto, Headline, Layer, Mark, Page, write_page
from boxseg.tables import Table

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; alert(1) //",
    "<!--<script>",
    "{{ 7 * 7 }}{% raw %}",
    "\u2028line\u2029 & <b>bold</b> &amp;",
]


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of every script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data


def mark_of(score: float, *reasons: str) -> Mark:
    return Mark(score=score, source="network", reasons=reasons, filled=0.5, outline="M0 0 1 0 1 1Z")


def photo_of(marks: list[Mark] | None) -> GalleryPhoto:
    return GalleryPhoto(
        id="p", split="train", size=(4, 3), boxes=[(0.0, 0.0, 2.0, 2.0, 1)] * len(marks or ()), classes=[1],
        agreement=None, iou={}, pictures={}, marks=marks,
    )  # fmt: skip


def gallery_of(photos: list[GalleryPhoto]) -> Gallery:
    return Gallery(classes=("cat",), layers=(), photos=tuple(photos), counts="")


def page_of(name: str, originals: dict[str, str] | None = None) -> Page:
    matrix = confusion("k", name, ("background", name), np.array([[3, 1, 0], [1, 3, 0]]))
    curve = training_curve(name, [(1, 2.0, 0.1), (2, 1.0, 0.1)])
    photo = GalleryPhoto(
        id=name, split=name, size=(4, 3), boxes=[(0.0, 0.0, 2.0, 2.0, 1)], classes=[1], agreement=(0.9, 0.8),
        iou={"y_crf": {"mean": 0.5}}, pictures={"photo": "data:image/png;base64,"}, originals=originals or {},
        marks=[Mark(score=0.1, source=name, reasons=(name,), filled=0.5, outline="")],
    )  # fmt: skip
    layer = Layer(key="photo", name="photo", short="photo", help=name)
    assert matrix
    assert curve
    return Page(
        title=name,
        facts=((name, name),),
        missing=(name,),
        headlines=(Headline(value=0.5, label=name, note=name),),
        tables=(Table(title=name, columns=(name, "IoU"), rows=((name, 0.5), (name, None))),),
        masks=Table(title=name, columns=(name, "masks"), rows=((name, 3),)),
        rule=name,
        curves=(curve,),
        matrices=(matrix,),
        gallery=Gallery(classes=(name,), layers=(layer,), photos=(photo,), counts=name),
        details=((name, name),),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_wherever_they_stand(name: str, tmp_path: Path) -> None:
    def tags(page: Page) -> list[str]:
        write_page(tmp_path / "r.html", page)
        return [tag for tag, _ in Parsed((tmp_path / "r.html").read_text(encoding="utf-8")).tags]

    assert tags(page_of(name)) == tags(page_of("harmless"))
    write_page(tmp_path / "r.html", page_of(name))
    parsed = Parsed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert not [key for _, attributes in parsed.tags for key in attributes if key.startswith("on")]
    index = json.loads(parsed.scripts[-2])
    assert index["classes"][1]["name"] == index["photos"][0]["id"] == name
    assert parsed.text.count(name) >= 8


def policy_of(parsed: Parsed) -> str:
    return next(a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy") or ""


def test_the_page_allows_its_own_script_alone_and_no_request(tmp_path: Path) -> None:
    write_page(tmp_path / "r.html", page_of("x"))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    parsed = Parsed(text)
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy_of(parsed)
    assert "default-src 'none'" in policy_of(parsed)
    assert "img-src data:;" in policy_of(parsed)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert not re.search(r"@import|url\(", text)


def test_originals_beside_the_page_are_allowed(tmp_path: Path) -> None:
    write_page(tmp_path / "o.html", page_of("x", originals={"photo": "o-files/00000-photo.jpg"}))
    parsed = Parsed((tmp_path / "o.html").read_text(encoding="utf-8"))
    assert "img-src data: 'self' file:;" in policy_of(parsed)


def test_an_empty_page_is_a_page(tmp_path: Path) -> None:
    write_page(tmp_path / "r.html", Page(title="nothing"))
    assert "nothing" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_photo_says_how_many_of_its_masks_to_look_at() -> None:
    fine, unsure = mark_of(0.9), mark_of(0.3, "unsure")
    assert photo_of([unsure, fine, unsure]).badge == "2 of 3 masks to look at"
    assert photo_of([unsure]).badge == "1 of 1 mask to look at"
    assert photo_of([fine]).badge == photo_of([]).badge == photo_of(None).badge == ""


def test_photos_with_more_masks_to_look_at_come_first() -> None:
    lost, fine = mark_of(0.0, "fallback"), mark_of(0.95)
    photos = [
        photo_of([fine] * 21),
        photo_of(None),
        photo_of([lost] + [fine] * 20),
        photo_of([mark_of(0.69, "unsure")] * 17 + [fine] * 4),
        photo_of([]),
        photo_of([mark_of(0.3, "unsure"), fine]),
        photo_of([mark_of(0.8)]),
    ]
    assert gallery_of(photos).look_places() == [4, None, 1, 0, None, 2, 3]
    assert [photo["look"] for photo in gallery_of(photos).index()["photos"]] == [4, None, 1, 0, None, 2, 3]


@given(
    st.lists(
        st.none()
        | st.lists(
            st.builds(mark_of, st.floats(0, 1), st.just("unsure")) | st.builds(mark_of, st.floats(0, 1)),
            max_size=4,
        ),
        max_size=6,
    )
)
def test_the_order_is_by_number_then_by_the_lowest_score(all_marks: list[list[Mark] | None]) -> None:
    places = gallery_of([photo_of(marks) for marks in all_marks]).look_places()
    assert [place is None for place in places] == [not marks for marks in all_marks]
    known = sorted((place, number) for number, place in enumerate(places) if place is not None)
    assert [place for place, _ in known] == list(range(len(known)))
    for (_, first), (_, second) in pairwise(known):
        before, after = all_marks[first] or [], all_marks[second] or []
        counts = [sum(bool(mark.reasons) for mark in marks) for marks in (before, after)]
        assert counts[0] >= counts[1]
        if counts[0] == counts[1]:
            lowest = [min(m.score for m in marks if m.reasons or not counts[0]) for marks in (before, after)]
            assert 1 - lowest[0] >= 1 - lowest[1]


def test_names_that_are_not_utf8_are_written_by_their_codes(tmp_path: Path) -> None:
    write_page(tmp_path / "r.html", Page(title="caf\udce9", missing=("Left out: \udcff.jpg: damaged",)))
    content = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "caf\\udce9" in content
    assert "\\udcff.jpg" in content
