"""Corrections made in the report: kept, saved as a file, and read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.ui import Select, WebDriverWait

import boxseg
from report_browser import Browser, needs_chromium
from report_runs import write_doubted

pytestmark = needs_chromium


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """A fresh report of six photos: browsers keep corrections by its address."""
    write_doubted(tmp_path)
    browser.open(Path(boxseg.report(run=tmp_path / "run").file))
    browser.js("document.getElementById('corrections').open = true")
    yield browser
    assert browser.driver.get_log("browser") == []
    # The browser's own pages, which a cold one opens, are not the report's doing.
    assert {url.split(":")[0] for url in browser.requests()} <= {"file", "chrome"}


# In place of a download, for which headless browsers open pages of their own.
CATCH = """
window.caught = null;
URL.createObjectURL = (blob) => { blob.text().then((text) => { window.caught = text; }); return "#"; };
HTMLAnchorElement.prototype.click = function () { window.name = this.download; };
"""


def saved(page: Browser) -> dict[str, Any]:
    """What the button saves."""
    page.driver.execute_script(CATCH)
    page.one("#save").click()
    WebDriverWait(page.driver, 60).until(lambda _: page.js("window.caught"))
    assert page.js("window.name") == "corrections.json"
    content: dict[str, Any] = json.loads(page.js("window.caught"))
    return content


def correct(page: Browser, card: int, mask: int, deed: str) -> None:
    """Choose what to do with a mask in the detail view of a card; both are counted from 1."""
    page.one(f".card:nth-child({card}) .frame").click()
    Select(page.one(f"#side .masks tbody tr:nth-child({mask}) select")).select_by_visible_text(deed)
    page.one("#close").click()


def named(page: Browser, photo: str, place: int) -> dict[str, Any]:
    """How the file names a box."""
    index = page.index()
    box = next(item for item in index["photos"] if item["id"] == photo)["boxes"][place]
    return {"box": box[:4], "class": index["classes"][box[4]]["name"]}


def test_corrections_are_saved_by_class_and_edges(page: Browser) -> None:
    assert not page.one("#save").is_enabled()
    assert page.one("#corrected").text.startswith("None yet")
    correct(page, 3, 1, "GrabCut")  # photo_04, its second box
    correct(page, 3, 2, "leave out")
    correct(page, 2, 1, "redraw")  # photo_00, its first
    page.one(".card:nth-child(1) .frame").click()
    page.one("#side .check input").click()
    page.one("#close").click()
    assert page.one("#corrected").text == "3 masks corrected, 1 photo left out"
    notes = "[...document.querySelectorAll('.badge.done')].map(note => note.hidden ? '' : note.textContent)"
    assert page.js(notes) == ["left out", "1 corrected", "2 corrected", "", "", ""]
    assert saved(page) == {
        "boxseg": "corrections",
        "version": 1,
        "photos": {
            "photo_00": {"boxes": [{**named(page, "photo_00", 0), "do": "redraw"}]},
            "photo_01": {"wrong": True},
            "photo_04": {
                "boxes": [
                    {**named(page, "photo_04", 0), "do": "leave-out"},
                    {**named(page, "photo_04", 1), "do": "grabcut"},
                ]
            },
        },
    }


def test_they_are_there_when_the_page_is_opened_again_until_cleared(page: Browser) -> None:
    correct(page, 2, 1, "ellipse")
    before = saved(page)
    page.driver.refresh()
    page.js("document.getElementById('corrections').open = true")
    assert page.one("#corrected").text == "1 mask corrected, 0 photos left out"
    assert saved(page) == before
    correct(page, 2, 1, "keep")
    assert page.one("#corrected").text.startswith("None yet")
    correct(page, 2, 1, "ellipse")
    page.one("#clear").click()
    page.driver.refresh()
    page.js("document.getElementById('corrections').open = true")
    assert page.one("#corrected").text.startswith("None yet")


def test_a_file_is_read_again_and_keeps_photos_that_the_page_does_not_show(
    page: Browser, tmp_path: Path
) -> None:
    others = {"elsewhere": {"wrong": True}, "__proto__": {"boxes": []}}
    own = {"photo_05": {"wrong": True, "boxes": [{**named(page, "photo_05", 1), "do": "box"}]}}
    content = {"boxseg": "corrections", "version": 1, "photos": {**others, **own}}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content))
    page.one("#load").send_keys(str(file))
    said = "1 mask corrected, 1 photo left out, and 2 photos that are not on this page"
    WebDriverWait(page.driver, 60).until(lambda _: page.one("#corrected").text == said)
    assert saved(page) == content


GONE = {"photos": {"photo_05": {"boxes": [{"box": [1, 2, 3, 4], "class": "cat", "do": "box"}]}}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "was not read"),
        ("[]", "not a file of corrections"),
        (json.dumps({"boxseg": "corrections", **GONE}), "photo_05 has no such box any more: cat"),
    ],
)
def test_another_file_is_refused_and_changes_nothing(
    content: str, reason: str, page: Browser, tmp_path: Path
) -> None:
    correct(page, 2, 1, "ellipse")
    before = saved(page)
    file = tmp_path / "mine.json"
    file.write_text(content)
    page.one("#load").send_keys(str(file))
    WebDriverWait(page.driver, 60).until(lambda _: reason in page.one("#corrected").text)
    assert saved(page) == before
