"""Files of corrections that are damaged, or say what nobody expects, of the small VOC data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bad import ODD_THINGS, Bad, Spoil, refused, swap

FILE = "corrections.json"
_BOX = {"box": [4, 6, 20, 28], "class": "cat", "do": "ellipse"}
_GOOD: dict[str, Any] = {"boxseg": "corrections", "version": 1, "photos": {"a": {"boxes": [_BOX]}}}


def _write(content: bytes | str) -> Spoil:
    return lambda root: (root / FILE).write_bytes(content if isinstance(content, bytes) else content.encode())


def _thing(make: Callable[[Path], object]) -> Spoil:
    return lambda root: make(root / FILE)


def _both(one: Spoil, other: Spoil) -> Spoil:
    return lambda root: (one(root), other(root))


def _said(name: str, content: Mapping[str, Any], *says: str) -> Bad:
    return refused(f"corrections: {name}", "voc", _write(json.dumps(content)), FILE, *says)


def _photo(name: str, photo: Any, *says: str, of: str = "a") -> Bad:
    return _said(name, {**_GOOD, "photos": {of: photo}}, *says)


def _box(name: str, *says: str, **changes: Any) -> Bad:
    return _photo(f"box {name}", {"boxes": [{**_BOX, **changes}]}, *says)


def _huge(root: Path) -> None:
    """A file of 1 TB that takes no disk."""
    with (root / FILE).open("wb") as file:
        file.truncate(1 << 40)


def _files() -> list[Bad]:
    """What is no file of corrections."""
    texts: dict[str, bytes | str] = {
        "empty": b"",
        "zeros": bytes(99),
        "no utf-8": b"\xff\xfe\xfa\x80",
        "cut": json.dumps(_GOOD)[:50],
        "null": "null",
        "a list": "[]",
        "a number of 5000 digits": "9" * 5000,
        "deep": "[" * 100_000,
        "deep photos": '{"photos": ' * 9000,
    }
    bad = [refused(f"corrections: {name}", "voc", _write(text), FILE) for name, text in texts.items()]
    bad += [refused(f"corrections: a {name}", "voc", _thing(make), FILE) for name, make in ODD_THINGS.items()]
    return [
        *bad,
        refused("corrections: missing", "voc", lambda root: None, FILE, "No such file"),
        refused("corrections: 1 TB", "voc", _huge, FILE, "more than 128 MB"),
    ]


def _content() -> list[Bad]:
    """What the file says."""
    return [
        _said("another kind", {**_GOOD, "boxseg": "masks"}, "boxseg", "'masks'"),
        _said("COCO", {"images": [], "annotations": [], "categories": []}, "boxseg"),
        _said("of version 2", {**_GOOD, "version": 2}, "version", "got 2"),
        _said("without version", {"boxseg": "corrections", "photos": {}}, "version"),
        _said("without photos", {"boxseg": "corrections", "version": 1}, "photos"),
        _said("photos a list", {**_GOOD, "photos": [1]}, "photos"),
        _photo("photo a number", 7, "photos.a"),
        _photo("photo misspelt", {"Wrong": True}, "photos.a.Wrong"),
        _photo("wrong a list", {"wrong": [1]}, "photos.a.wrong"),
        _photo("boxes a number", {"boxes": 7}, "photos.a.boxes"),
        _photo("another photo", {"wrong": True}, "'z' is not in split train", of="z"),
        _photo("a long name", {"wrong": True}, "is not in split train", of="z" * 100_000),
        _photo("two boxes of one", {"boxes": [_BOX, _BOX]}, "or not so many"),
        _box("of three numbers", "photos.a.boxes.0.box", box=[1, 2, 3]),
        _box("of words", "photos.a.boxes.0.box", box=["left"] * 4),
        _box("of NaN", "is no box", box=[float("nan"), 1, 2, 3]),
        _box("of 1e400", "is no box", box=[1, 2, float("inf"), 3]),
        _box("of 400 digits", "is no box", box=[1, 2, 10**400, 3]),
        _box("moved", "have changed since the report was made", box=[4, 6, 20, 29]),
        _box("of another class", "no 'dog' with the box [4, 6, 20, 28]", **{"class": "dog"}),
        _box("of no class", "photos.a.boxes.0.class", **{"class": None}),
        _box("of an unknown class", "no 'cow'", **{"class": "cow"}),
        _box("for another method", "photos.a.boxes.0.do", "'sam'", do="sam"),
        _box("with more", "photos.a.boxes.0.mask", mask=[1, 2, 3]),
        refused(
            "corrections: the boxes have changed",
            "voc",
            _both(_write(json.dumps(_GOOD)), swap("Annotations/a.xml", "<xmin>5<", "<xmin>7<")),
            FILE,
            "have changed since the report was made",
        ),
    ]


BAD = [*_files(), *_content()]
