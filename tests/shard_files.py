"""Shards written by themselves, as `boxseg label` writes them, with masks of boxes that anybody can check."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from boxseg.shards.find import home_of
from boxseg.shards.home import FileHome, Results
from boxseg.shards.shards import ShardHome

NAMES = ["a", "sub/b.c", "../__x__", "é", "x" * 150, "\udcff", "d", "e"]
SIZE = (6, 9)


def results_of(name: str, version: int = 0, boxes: int = 2) -> tuple[Results, dict[str, Any]]:
    """Results of a photo, each other bytes, and what is said of it."""
    rng = np.random.default_rng(list(f"{name} {version}".encode("utf-8", "surrogatepass")))
    masks, said = [], []
    for number in range(boxes):
        code = coco_mask.encode(np.asfortranarray(rng.random(SIZE) < 0.4, dtype=np.uint8))
        segmentation = {"size": list(SIZE), "counts": code["counts"].decode()}
        masks.append({"segmentation": segmentation, "score": 0.5, "source": "ellipse"})
        area = int(coco_mask.area(code))
        box = {"box": [0.0, 1.5, 5.0, 6.0], "class": 1, "name": "cat", "annotation_id": number, "area": area}
        said.append({**box, "score": 0.5, "source": "ellipse"})
    results = {
        "labels": rng.bytes(int(rng.integers(1, 3000))),
        "confidence": rng.bytes(512),
        "masks": json.dumps(masks).encode() + b"\n",
    }
    return results, {"image_id": 7, "height": SIZE[0], "width": SIZE[1], "boxes": said}


def write_shards(home: ShardHome, names: Iterable[str], version: int = 0) -> list[list[str]]:
    """Write one chunk of photos; returns what was kept together."""
    kept: list[list[str]] = []
    with home.writer(kept.append) as writer:
        for name in names:
            results, facts = results_of(name, version)
            writer.keep(name, writer.write(name, results, lambda facts=facts: facts))  # type: ignore[misc]
    return kept


def tars(folder: Path) -> list[Path]:
    """The shards of a run folder, the oldest first."""
    return sorted((folder / "shards").glob("*.tar"))


def assert_holds(folder: Path, names: Iterable[str], version: int = 0) -> None:
    """Check all results of these photos."""
    home = home_of(folder)
    assert not isinstance(home, FileHome)
    for name in names:
        for kind, content in results_of(name, version)[0].items():
            item = home.item(kind, name)
            assert item.is_file()
            assert item.read_bytes() == content


def rows(folder: Path) -> list[dict[str, object]]:
    """All rows of all Parquet files, as another program reads them."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(folder / "masks").to_pylist()  # type: ignore[no-any-return]
