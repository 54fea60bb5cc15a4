"""JSON of COCO, Label Studio and labelme that says what nobody expects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bad import COCO, Bad, entry, listed, refused, write

_DEEP_JSON = "[" * 100_000


_DEEP = json.loads("[" * 300 + "]" * 300)
_NAN, _HUGE = float("nan"), 10**400
_ODD = {"NaN": _NAN, "1e400": float("inf"), "400 digits": _HUGE, "words": "a", "lists": [1], "null": None}
_BARE = {"id": 9, "image_id": 1, "category_id": 1}  # without a segmentation, which would give the box
_BIG_CODE = {"size": [10**5, 10**5], "counts": [10**10 - 1, 1]}
# What COCO's files say: what it is, where it stands, and the value.
_LISTED: list[tuple[str, tuple[Any, ...], Any]] = [
    *((f"box of {name}", ("annotations", 0), {**_BARE, "bbox": [value] * 4}) for name, value in _ODD.items()),
    ("image_id a list", ("annotations", 0, "image_id"), [1]),
    ("image_id NaN", ("annotations", 0, "image_id"), _NAN),
    ("category_id 400 digits", ("annotations", 0, "category_id"), _HUGE),
    ("category_id a mapping", ("annotations", 0, "category_id"), {"a": 1}),
    ("annotation a text", ("annotations", 0), "x"),
    ("annotation null", ("annotations", 0), None),
    ("file_name is .", ("images", 0, "file_name"), "."),
    ("file_name is ..", ("images", 0, "file_name"), ".."),
    ("file_name leads out", ("images", 0, "file_name"), "../../etc/passwd"),
    ("file_name absolute", ("images", 0, "file_name"), "/etc/passwd"),
    ("file_name a lone surrogate", ("images", 0, "file_name"), "\ud800.jpg"),
    ("file_name with a zero byte", ("images", 0, "file_name"), "a\x00.jpg"),
    ("file_name of 5000 letters", ("images", 0, "file_name"), "x" * 5000),
    ("width of another photo", ("images", 0, "width"), 60000),
    ("code of 10^5 x 10^5", ("annotations", 1, "segmentation"), _BIG_CODE),
    ("code of a size of words", ("annotations", 1, "segmentation"), {"size": ["a", 10**12], "counts": [1]}),
    ("code of negative runs", ("annotations", 1, "segmentation"), {"size": [32, 48], "counts": [-1, 1537]}),
    ("code of text", ("annotations", 1, "segmentation"), {"size": [32, 48], "counts": "\ud800"}),
    ("code without counts", ("annotations", 1, "segmentation"), {"size": [32, 48]}),
    ("polygon far away", ("annotations", 0, "segmentation"), [[1e9, 1, 2, 1e9, 3, 3]]),
    ("polygon of NaN", ("annotations", 0, "segmentation"), [[_NAN, 1, 2, 3, 4, 5]]),
    ("polygon of words", ("annotations", 0, "segmentation"), [["a"] * 6]),
    ("segmentation deep", ("annotations", 0, "segmentation"), _DEEP),
]
_REFUSED: list[tuple[str, tuple[Any, ...], Any]] = [
    ("image id NaN", ("images", 0, "id"), _NAN),
    ("image id 1e400", ("images", 0, "id"), float("inf")),
    ("image id a list", ("images", 0, "id"), [1]),
    ("file_name a list", ("images", 0, "file_name"), ["a.jpg"]),
    ("file_name a number", ("images", 0, "file_name"), 7),
    ("image a number", ("images", 0), 7),
    ("category id NaN", ("categories", 0, "id"), _NAN),
    ("category name a list", ("categories", 0, "name"), ["cat"]),
    ("category name null", ("categories", 0, "name"), None),
    ("category a list", ("categories", 0), [1, "cat"]),
    ("category name deep", ("categories", 0, "name"), _DEEP),
    ("images a mapping", ("images",), {"a": 1}),
    ("no categories", ("categories",), []),
]


def _coco() -> list[Bad]:
    """What COCO's files say: numbers, names, sizes, places and depth that nobody expects."""
    file = "instances_train.json"
    bad = [listed(f"coco: {name}", "coco", entry(COCO, *at, value=value), file) for name, at, value in _LISTED]
    bad += [
        refused(f"coco: {name}", "coco", entry(COCO, *at, value=value), file) for name, at, value in _REFUSED
    ]
    texts = {"deep": _DEEP_JSON, "null": "null", "a number": "7", "5000 digits": "9" * 5000}
    return [*bad, *(refused(f"coco: {name}", "coco", write(COCO, text), file) for name, text in texts.items())]


def _label_studio() -> list[Bad]:

    def studio(name: str, *places: Any, value: Any, make: Callable[..., Bad] = listed) -> Bad:
        spoil = entry("export.json", 0, *places, value=value)
        return make(f"label studio: {name}", "label_studio", spoil, "export.json")

    result = ("annotations", 0, "result")
    return [
        studio("x NaN", *result, 0, "value", "x", value=float("nan")),
        studio("x 400 digits", *result, 0, "value", "x", value=10**400),
        studio("x a list", *result, 0, "value", "x", value=[1]),
        studio("rotation a word", *result, 0, "value", "rotation", value="left"),
        studio("width of 1e308", *result, 0, "value", "width", value=1e308),
        studio("size of another photo", *result, 0, "original_width", value=60000),
        studio("points of words", *result, 1, "value", "points", value=[["a", "b"]] * 3),
        studio("points deep", *result, 1, "value", "points", value=_DEEP),
        studio("brush of another size", *result, 2, "original_width", value=20000),
        studio("brush of words", *result, 2, "value", "rle", value=["a"]),
        studio("brush of big numbers", *result, 2, "value", "rle", value=[10**9]),
        studio("brush empty", *result, 2, "value", "rle", value=[]),
        studio("brush of 16384 x 16384", *result, 2, "value", "rle", value=[64, 0, 0, 0, 57, 27, 255]),
        studio("labels a number", *result, 0, "value", "rectanglelabels", value=7),
        studio("image a list", "data", "image", value=["a.jpg"]),
        studio("image a lone surrogate", "data", "image", value="\ud800.jpg"),
        studio("image leads out", "data", "image", value="../../etc/passwd"),
        studio("result a number", "annotations", 0, "result", value=7),
        studio("task without data", "data", value=7, make=refused),
    ]


def _labelme() -> list[Bad]:
    def labelme(name: str, *places: Any, value: Any) -> Bad:
        spoil = entry("a.json", *places, value=value)
        return listed(f"labelme: {name}", "labelme", spoil, "a.json")

    bad = [
        labelme("points NaN", "shapes", 0, "points", 0, value=[float("nan"), 1]),
        labelme("points 400 digits", "shapes", 0, "points", 0, value=[10**400, 1]),
        labelme("points a text", "shapes", 0, "points", value="abc"),
        labelme("shape a number", "shapes", 0, value=7),
        labelme("shapes a mapping", "shapes", value={"a": 1}),
        labelme("label a list", "shapes", 0, "label", value=["cat"]),
        labelme("imagePath leads out", "imagePath", value="../../../etc/passwd"),
        labelme("mask no PNG", "shapes", 2, "mask", value="eA=="),
        labelme("mask a number", "shapes", 2, "mask", value=7),
        labelme("size of another photo", "imageWidth", value=60000),
        labelme("shape_type deep", "shapes", 0, "shape_type", value=_DEEP),
    ]
    bad += [
        listed(f"labelme: file {name}", "labelme", write("a.json", text), "a.json")
        for name, text in (
            ("cut", '{"shapes": [{"shape_type": '),
            ("deep", '{"shapes": "imagePath"' + "[" * 9000),
        )
    ]
    return bad


BAD = [*_coco(), *_label_studio(), *_labelme()]
