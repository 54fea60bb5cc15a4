"""VOC annotations for the tests."""

from __future__ import annotations

from pathlib import Path

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
PERSON = "<object><name>person</name>{}" + BOX + "</object>"


def xml(*objects: str, size: str = "<size><width>40</width><height>30</height><depth>3</depth></size>") -> str:
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def person(x1=1, y1=1, x2=10, y2=10, more: str = "") -> str:
    return PERSON.format(more, x1, y1, x2, y2)


def load(root: Path, **options) -> BoxDataset:
    return formats.load(Data(root=root, **options))


def kinds(dataset: BoxDataset) -> list[tuple[str, str, str]]:
    return [(problem.file.name, problem.kind, problem.action) for problem in dataset.problems]
