"""Regions and tasks in Label Studio's JSON, for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from boxseg import formats
from boxseg.config import Data

WIDTH, HEIGHT = 40, 30


def region(kind: str, label: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {
        **{"id": "x", "from_name": "tag", "to_name": "img", "type": kind, **sizes},
        "value": {**value, kind: [label]},
        **more,
    }


def rectangle(label: str, x: float, y: float, width: float, height: float, rotation: float = 0, **more: Any):
    sides = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return region("rectanglelabels", label, sides, **more)


def task(photo: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {
        "id": 1,
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": "2024-01-01",
        "result": results,
    }
    return {"id": 7, "annotations": [made], "data": {"image": photo}, "predictions": [], **more}


def load(root: Path, *tasks: dict[str, Any], **options: Any):
    (root / "project-1-at-2024-01-01-00-00.json").write_text(json.dumps(tasks))
    return formats.load(Data(root=root, **options))


def kinds(dataset) -> list[tuple[str, str]]:
    return [(problem.kind, problem.action) for problem in dataset.problems]


class Bits:
    """A stream of bits, written."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, number: int, width: int) -> None:
        assert 0 <= number < 1 << width
        self.text += format(number, f"0{width}b")

    def bytes(self) -> list[int]:
        text = self.text + "0" * (-len(self.text) % 8)
        return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush_code(values: list[int], cuts: list[bool]) -> list[int]:
    """Values as runs, or one by one where `cuts` says so: both forms of the code."""
    stream, widths = Bits(), (3, 4, 8, 16)
    stream.put(len(values), 32)
    stream.put(8 - 1, 5)
    for width in widths:
        stream.put(width - 1, 4)
    place = number = 0
    while place < len(values):
        length = 1
        while place + length < len(values) and values[place + length] == values[place] and length < 1 << 16:
            length += 1
        single = cuts[number % len(cuts)]
        stream.put(int(not single), 1)
        choice = next(i for i, width in enumerate(widths) if length - 1 < 1 << width)
        stream.put(choice, 2)
        stream.put(length - 1, widths[choice])
        for _ in range(length if single else 1):
            stream.put(values[place], 8)
        place, number = place + length, number + 1
    return stream.bytes()
