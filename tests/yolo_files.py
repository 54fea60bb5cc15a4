"""A YOLO data set for the tests."""

from __future__ import annotations

from pathlib import Path

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset

YAML = "names: [cat, dog]\ntrain: images/train\nval: images/val\n"


def load(root: Path, **options) -> BoxDataset:
    return formats.load(Data(root=root, **options))


def kinds(dataset: BoxDataset) -> list[tuple[str, str, str]]:
    return [(problem.file.name, problem.kind, problem.action) for problem in dataset.problems]
