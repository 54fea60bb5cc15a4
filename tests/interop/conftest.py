"""Labels of a few photos, as `label` and `convert` write them for other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as codes

from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.documents import read_json
from boxseg.formats.masks import read_mask


@dataclass(frozen=True)
class Labelled:
    """The toy set, and its labels."""

    data: Path
    folder: Path
    split: str

    @property
    def photos(self) -> Path:
        return self.data / "JPEGImages"

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return formats.load(Data(root=self.data, split=self.split)).classes

    def labels(self, name: str) -> np.ndarray:
        """The classes of the pixels of a photo."""
        return read_mask(self.folder / "labels" / f"{name}.png")

    @cached_property
    def objects(self) -> dict[str, list[tuple[str, list[float], np.ndarray]]]:
        """Of each photo its objects: class, box (x1 y1 x2 y2, pixels) and mask, by pycocotools."""
        content: dict[str, Any] = read_json(self.folder / "masks.json")
        names = {entry["id"]: Path(entry["file_name"]).stem for entry in content["images"]}
        classes = {entry["id"]: entry["name"] for entry in content["categories"]}
        found: dict[str, list[tuple[str, list[float], np.ndarray]]] = {name: [] for name in names.values()}
        for entry in content["annotations"]:
            x, y, width, height = entry["bbox"]
            mask = codes.decode(entry["segmentation"]).astype(bool)
            box = [x, y, x + width, y + height]
            found[names[entry["image_id"]]].append((classes[entry["category_id"]], box, mask))
        return found


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Labelled]:
    """Labels of a split, an ellipse in each box: what is tested is that they come through."""
    top = tmp_path_factory.mktemp("interop")
    write_toy(top / "toy", train=5, val=3, size=96, seed=2)
    made: dict[str, Labelled] = {}

    def of(split: str) -> Labelled:
        if split not in made:
            made[split] = Labelled(top / "toy", top / f"labels-{split}", split)
            words = ["label", f"data={top / 'toy'}", f"data.split={split}", f"out={made[split].folder}"]
            assert execute([*words, "method=ellipse", "trainer.workers=0"]) == 0
        return made[split]

    return of


@pytest.fixture(scope="session")
def converted(
    labelled: Callable[[str], Labelled], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Both splits in a format."""
    made: dict[str, Path] = {}

    def to(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("converted") / name
            for split in ("train", "val"):
                assert execute(["convert", str(labelled(split).folder), str(made[name]), f"format={name}"]) == 0
        return made[name]

    return to
