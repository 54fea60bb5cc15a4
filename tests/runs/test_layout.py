"""Names of files and folders of a run stand in `boxseg.runs.layout` alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import boxseg
from boxseg.runs import layout

SOURCE = Path(boxseg.__file__).parent

NAMES = {
    layout.CONFIG, layout.VERSIONS, layout.MODEL, *layout.LAST.split("/"), layout.HISTORY, layout.WEIGHTS,
    layout.LOGGED_AS, layout.MLFLOW, layout.METRICS, layout.CONFUSION, layout.PREDICTIONS, "evaluate-",
    layout.Y_CRF, layout.Y_RET, layout.LABEL_MAP, "instances_", layout.PHOTOS, layout.OVERLAYS, layout.RECORD,
    layout.BACKGROUND_MASKS, "voc2012_", layout.SHEET, layout.REPORT,
}  # fmt: skip

# The same words for other things.
OTHERS = {
    "data/loading.py": {layout.Y_CRF, layout.Y_RET},  # tensors of a batch
    "training/segmenter.py": {layout.Y_CRF, layout.Y_RET},
    "options/keys.py": {layout.Y_CRF, layout.Y_RET},  # values of an option of earlier versions
    "jobs/use.py": {layout.Y_CRF, layout.Y_RET},  # values of the option `labels`
    "inference/networks.py": {layout.MODEL},  # transformers' name of weights in a folder
    "labelling/from_sam.py": {layout.MODEL},
    "formats/coco.py": {"instances_"},  # COCO's names of its own files
    "formats/writers/coco_instances.py": {"instances_"},
    "formats/writers/label_studio_tasks.py": {layout.PREDICTIONS},  # Label Studio's key of a task
}


def words_of(text: str) -> set[str]:
    """Names that a program spells: parts of paths among its strings, which hold no space as prose does."""
    nodes = ast.walk(ast.parse(text))
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    paths = [string for string in strings if not re.search(r"\s", string)]
    return {part.partition("{")[0] for path in paths for part in path.split("/")}


@pytest.mark.parametrize("text", ["f / 'metrics.json'", "f'{x}/metrics.json'", "f'evaluate-{x}/metrics.json'"])
def test_a_name_is_found_wherever_it_stands_in_a_path(text: str) -> None:
    assert "metrics.json" in words_of(text)
    assert ("evaluate-" in words_of(text)) == ("evaluate-" in text)
    assert "metrics.json" not in words_of("'no metrics.json there, nor OUT/metrics.json'")


def test_every_name_has_one_home() -> None:
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*.py")}
    found = {name: words_of(path.read_text(encoding="utf-8")) & NAMES for name, path in files.items()}
    assert found.pop("runs/layout.py") == NAMES
    assert {name: words for name, words in found.items() if words} == OTHERS
