"""The report in a real browser: Debian's chromium and its driver, headless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import boxseg
from boxseg.atomic import write_text
from boxseg.data.toy import write_toy
from report_browser import Browser, needs_chromium
from report_runs import write_doubted, write_labels, write_run, write_yolo

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 28 photos of train, which are labelled, and 6 of val, which are predicted: two pages."""
    root, run = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run")
    write_toy(root, train=28, val=6, size=64, seed=3)
    write_run(run, root)
    return Path(boxseg.report(run=run).file)


@pytest.fixture
def report(browser: Browser, page: Path) -> Iterator[Browser]:
    """The page, freshly opened; in the end it must have logged nothing and asked for nothing but itself."""
    browser.open(page)
    yield browser
    assert browser.driver.get_log("browser") == []
    assert browser.requests() == {page.as_uri()}


def test_it_opens_with_labels_over_the_photos_of_the_first_page(report: Browser) -> None:
    assert len(report.all(".card")) == 24
    assert set(report.layers()) == {"y_crf"}
    assert report.one("#count").text == "1–24 of 34 photos"
    assert report.js(
        "[...document.images].every(image => image.complete && image.naturalWidth > 0 || !image.src)"
    )


def test_the_switch_changes_every_photo_and_the_photos_own_switch_one(report: Browser) -> None:
    sources = "[...document.querySelectorAll('#cards .layer')].map(image => image.src)"
    before = report.js(sources)
    report.one("#layers input[value=y_ret]").click()
    assert set(report.layers()) == {"y_ret"}
    assert all(a != b for a, b in zip(before, report.js(sources), strict=True))
    report.one(".card:nth-child(2) input[value=photo]").click()
    assert report.layers()[:3] == ["y_ret", "photo", "y_ret"]
    assert report.js("document.querySelectorAll('#cards .layer')[1].checkVisibility()") is False
    report.one("#layers input[value=boxes]").click()
    assert set(report.layers()) == {"boxes"}
    rectangles = "document.querySelectorAll('.card:first-child svg rect.ink').length"
    assert report.js(rectangles) == len(report.index()["photos"][0]["boxes"])


def test_photos_without_a_layer_show_another(report: Browser) -> None:
    Select(report.one("#split")).select_by_value("val")
    assert set(report.layers()) == {"prediction"}
    assert report.one(".card input[value=y_crf]").is_enabled() is False
    assert len(report.names()) == 6


@pytest.mark.parametrize("key", ["agreement", "inside", "iou-y_crf", "iou-prediction", "objects", "name"])
def test_sorting_sorts_with_unknown_values_last(key: str, report: Browser) -> None:
    photos = report.index()["photos"]

    def value(photo: dict[str, Any]) -> Any:
        if key in ("agreement", "inside"):
            return photo["agreement"] and photo["agreement"][key == "inside"]
        if key.startswith("iou-"):
            return photo["iou"].get(key[4:], {}).get("mean")
        return len(photo["boxes"]) if key == "objects" else photo["id"]

    known = [photo for photo in photos if value(photo) is not None]
    unknown = [photo["id"] for photo in photos if value(photo) is None]
    Select(report.one("#sort")).select_by_value(key)
    rising = [photo["id"] for photo in sorted(known, key=value)]
    assert report.names() == (rising + unknown)[:24]
    report.one("#order").click()
    falling = [photo["id"] for photo in sorted(known, key=value, reverse=True)]
    assert report.names() == (falling + unknown)[:24]


def test_sorting_by_class_goes_by_the_first_one_of_a_photo_then_by_name(report: Browser) -> None:
    photos = report.index()["photos"]
    assert len({min(photo["classes"]) for photo in photos}) > 1
    Select(report.one("#sort")).select_by_value("class")
    rising = sorted(photos, key=lambda photo: (min(photo["classes"]), photo["id"]))
    assert report.names() == [photo["id"] for photo in rising][:24]
    assert report.one("#most").is_enabled() is False
    report.one("#order").click()
    falling = sorted(photos, key=lambda photo: (-min(photo["classes"]), photo["id"]))
    assert report.names() == [photo["id"] for photo in falling][:24]


def test_filters_by_class_share_and_name(report: Browser) -> None:
    photos = report.index()["photos"]
    Select(report.one("#class")).select_by_value("2")
    assert report.names() == [photo["id"] for photo in photos if 2 in photo["classes"]][:24]
    # With a class chosen, IoU is that of the class.
    Select(report.one("#sort")).select_by_value("iou-y_crf")
    report.one("#most").send_keys("90")
    expected = [p for p in photos if 2 in p["classes"] and p["iou"].get("y_crf", {}).get("2", 2) <= 0.9]
    assert report.names() == [p["id"] for p in sorted(expected, key=lambda p: p["iou"]["y_crf"]["2"])][:24]
    assert expected
    report.one("#tools button[type=reset]").click()
    WebDriverWait(report.driver, 5).until(lambda _: len(report.names()) == 24)
    report.one("#name").send_keys("VAL_0003")
    assert report.names() == ["val_0003"]
    report.one("#name").send_keys("nothing")
    assert "No photo is like that" in report.one("#cards").text


def test_paging(report: Browser) -> None:
    first = report.names()
    report.one(".pager [data-step='1']").click()
    assert len(report.names()) == 10
    assert not set(report.names()) & set(first)
    assert report.one(".pager [data-step='1']").is_enabled() is False
    report.one(".pager [data-step='-1']").click()
    assert report.names() == first


def test_the_keyboard_does_it_all(report: Browser) -> None:
    report.press("4")
    assert set(report.layers()) == {"y_ret"}
    report.press("b")
    assert report.one("#boxes").is_selected()
    report.press("n")
    assert len(report.names()) == 10
    report.press("p")
    report.press("/")
    report.press("train_0007")
    assert report.names() == ["train_0007"]
    report.press(Keys.TAB * 2)  # past Reset
    report.js("document.querySelector('.frame').focus()")
    report.press(Keys.ENTER)
    assert report.js("document.getElementById('detail').open")
    assert report.js("document.activeElement.id") == "stage"
    report.press("++")
    assert report.one("#zoom").text == "225 %"
    before = report.js("document.querySelector('#stage .picture').style.transform")
    report.press(Keys.ARROW_RIGHT)
    assert report.js("document.querySelector('#stage .picture').style.transform") != before
    report.press("7")
    assert report.layers("#stage") == [report.index()["layers"][6]["key"]]
    report.press("0")
    assert report.one("#zoom").text == "100 %"
    report.press(Keys.ESCAPE)
    assert not report.js("document.getElementById('detail').open")
    assert report.js("document.activeElement.className") == "frame"


def test_arrows_choose_within_a_switch(report: Browser) -> None:
    report.one("#layers input[value=y_crf]").send_keys(Keys.ARROW_RIGHT)
    assert set(report.layers()) == {"y_ret"}


def test_the_detail_view_goes_through_the_sorted_photos(report: Browser) -> None:
    Select(report.one("#sort")).select_by_value("agreement")
    names = report.names()
    report.one(".card:nth-child(2) .frame").click()
    assert report.one("#detail-name").text == names[1]
    report.one("[data-go='1']").click()
    assert report.one("#detail-name").text == names[2]
    photo = next(item for item in report.index()["photos"] if item["id"] == names[2])
    assert f"{100 * photo['agreement'][0]:.1f} %" in report.one("#side").text
    assert f"{100 * photo['iou']['y_crf']['mean']:.1f}" in report.one("#side").text
    report.one("[data-zoom='1.5']").click()
    assert report.one("#zoom").text == "150 %"
    report.one("#close").click()


def test_opacity_holds_for_cards_and_detail(report: Browser) -> None:
    report.js("document.getElementById('opacity').focus()")
    report.press(Keys.HOME)
    assert report.js("getComputedStyle(document.querySelector('#cards .layer')).opacity") == "0"
    assert report.one("#detail-opacity").get_property("value") == "0"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_both_schemes(width: int, scheme: str, browser: Browser, page: Path) -> None:
    browser.open(page, width=width, height=844, scheme=scheme)
    assert browser.js("document.documentElement.scrollWidth") <= browser.js(
        "document.documentElement.clientWidth"
    )
    red = int(browser.js("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
    assert (red < 60) == (scheme == "dark")
    browser.one("#theme").click()  # light, whatever the system says
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.one(".frame").click()
    picture, stage = (
        browser.js(f"document.querySelector('{selector}').getBoundingClientRect()")
        for selector in ("#stage .picture", "#stage")
    )
    assert picture["left"] >= stage["left"] - 1
    assert picture["width"] <= stage["width"] + 1
    assert picture["height"] <= stage["height"] + 1
    assert stage["height"] > 250
    assert browser.driver.get_log("browser") == []


def test_hostile_names_run_nothing_and_originals_are_shown(browser: Browser, tmp_path: Path) -> None:
    names = ("</script><script>window.hit = 1</script>", '"><img src=x onerror="window.hit = 1">')
    write_yolo(tmp_path / "data", names)
    write_labels(tmp_path / "run 1#", tmp_path / "data", scored=False)
    file = boxseg.report(run=tmp_path / "run 1#", originals=True, out=tmp_path / "a #1 & b.html").file
    browser.open(file)
    assert browser.js("window.hit") is None
    assert names[0] in browser.one("#class").text
    assert names[1] in browser.one("#cards").text
    browser.one(".frame").click()
    WebDriverWait(browser.driver, 5).until(
        lambda _: browser.js("document.querySelector('#stage img').naturalWidth") == 30
    )
    assert "-files/00000-photo.jpg" in browser.js("document.querySelector('#stage img').src")
    assert browser.driver.get_log("browser") == []
    assert all(url.startswith(tmp_path.as_uri()) for url in browser.requests())


@pytest.fixture(scope="module")
def doubted_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled photos, some with masks that are worth a look."""
    folder = tmp_path_factory.mktemp("doubted")
    write_doubted(folder)
    return Path(boxseg.report(run=folder / "run").file)


@pytest.fixture
def doubted(browser: Browser, doubted_page: Path) -> Iterator[Browser]:
    browser.open(doubted_page)
    yield browser
    assert browser.driver.get_log("browser") == []


def shown_boxes(browser: Browser, within: str) -> list[int]:
    """Numbers of the boxes that can be seen in a picture."""
    boxes = f"[...document.querySelectorAll('{within} svg .box')].filter(box => box.getClientRects().length)"
    return sorted(int(number) for number in browser.js(f"{boxes}.map(box => box.dataset.box)"))


def test_photos_with_masks_to_look_at_come_first(doubted: Browser) -> None:
    first = ["photo_01", "photo_00", "photo_04", "photo_05", "photo_02", "photo_03"]
    assert doubted.names() == first
    badges = (
        "[...document.querySelectorAll('.card')].map(card => card.querySelector('.badge')?.textContent ?? '')"
    )
    assert doubted.js(badges) == [
        "17 of 21 masks to look at", "1 of 21 masks to look at", "1 of 2 masks to look at", "", "", "",
    ]  # fmt: skip
    title = doubted.one(".card:nth-child(2) .badge").get_attribute("title")
    assert title == "The worst: cat, unsure, score 0.25, fills 50 % of its box, by network"
    doubted.one("#order").click()
    assert doubted.names() == [*first[4::-1], "photo_03"]  # unknown still last
    Select(doubted.one("#sort")).select_by_value("")
    assert doubted.names() == [f"photo_{number:02d}" for number in range(5, -1, -1)]
    doubted.one("#tools button[type=reset]").click()
    WebDriverWait(doubted.driver, 5).until(lambda _: doubted.names() == first)


def test_their_boxes_are_on_top_unless_switched_off(doubted: Browser) -> None:
    card = ".card:nth-child(2)"
    assert shown_boxes(doubted, card) == [0]
    assert doubted.js(f"document.querySelectorAll('{card} svg .doubt').length") == 1
    doubted.one(f"{card} input[value=photo]").click()
    assert shown_boxes(doubted, card) == []
    doubted.one(f"{card} input[value=boxes]").click()
    assert shown_boxes(doubted, card) == list(range(21))
    doubted.one(f"{card} input[value=labels]").click()
    doubted.press("m")
    assert doubted.one("#marks").is_selected() is False
    assert shown_boxes(doubted, card) == []
    doubted.press("b")
    assert shown_boxes(doubted, card) == list(range(21))


def test_the_list_of_boxes_gives_reasons_and_shows_each_mask_alone(doubted: Browser) -> None:
    doubted.one(".card:nth-child(3) .frame").click()
    cells = "[...row.children].slice(0, 3).map(cell => cell.textContent)"
    rows = doubted.js(f"[...document.querySelectorAll('#side .masks tbody tr')].map(row => {cells})")
    assert rows == [["dog", "0.80", "fills box"], ["cat", "0.90", ""]]
    texts = doubted.js("[...document.querySelectorAll('#stage svg text')].map(text => text.textContent)")
    assert sorted(texts) == ["cat", "dog: fills box"]
    titles = doubted.js("[...document.querySelectorAll('#stage svg title')].map(title => title.textContent)")
    assert "dog: fills box, score 0.80, fills 100 % of its box, by network" in titles
    assert shown_boxes(doubted, "#stage") == [1]
    doubted.js("document.querySelector('#side .masks tbody tr:nth-child(2)').focus()")
    assert shown_boxes(doubted, "#stage") == [0]
    paths = "[...document.querySelectorAll('#stage .own')].filter(path => path.getClientRects().length)"
    assert doubted.js(f"{paths}.map(path => path.getAttribute('d'))") == ["M15 15 45 15 45 30 15 30Z"]
    doubted.js("document.activeElement.blur()")
    assert shown_boxes(doubted, "#stage") == [1]
    doubted.one("#close").click()


def write_nested(root: Path) -> None:
    """Two photos of 400 x 300 pixels: a large box with small ones in three of its corners, and in all four."""
    corners = ((60, 40), (60, 260), (340, 40), (340, 260))
    for name, small in (("three", corners[:3]), ("four", corners)):
        path = root / "images" / "train" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((300, 400, 3), 90, dtype=np.uint8)).save(path)
        boxes = [(1, 200, 150, 380, 280), *((0, x, y, 110, 70) for x, y in small)]
        rows = "".join(f"{label} {x / 400} {y / 300} {w / 400} {h / 300}\n" for label, x, y, w, h in boxes)
        write_text(root / "labels" / "train" / f"{name}.txt", rows)
    write_text(root / "data.yaml", "train: images/train\nval: images/train\nnames: [cat, person]\n")


def test_the_name_of_a_large_box_stands_where_no_small_box_lies(browser: Browser, tmp_path: Path) -> None:
    write_nested(tmp_path / "data")
    write_labels(tmp_path / "run", tmp_path / "data", scored=False, pair=False)
    browser.open(Path(boxseg.report(run=tmp_path / "run").file))
    for name, seen in (("three", True), ("four", False)):
        browser.one("#name").clear()
        browser.one("#name").send_keys(name)
        WebDriverWait(browser.driver, 5).until(lambda _, name=name: browser.names() == [name])
        browser.one(".frame").click()
        browser.one("#detail-layers input[value=boxes]").click()
        large = "document.querySelector('#stage [data-box=\"0\"] text')"
        assert bool(browser.js(f"{large}.getClientRects().length")) is seen
        covered = browser.js(
            "[...document.querySelectorAll('#stage .box')].slice(1).some(box => {"
            "const edge = box.querySelector('rect').getBoundingClientRect(),"
            f"text = {large}.getBoundingClientRect();"
            "return edge.left < text.right && text.left < edge.right && edge.top < text.bottom"
            " && text.top < edge.bottom})"
        )
        assert not (seen and covered)
        small = "[...document.querySelectorAll('#stage .box:not([data-box=\"0\"]) text')]"
        assert browser.js(f"{small}.every(text => text.getClientRects().length)")
        browser.one("#close").click()
    assert browser.driver.get_log("browser") == []
