"""Commands that write, small enough to be repeated hundreds of times, and their results as bytes to compare."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boxseg import formats
from boxseg.atomic import is_temporary
from boxseg.config import Data
from boxseg.data.toy import CLASSES, write_toy
from boxseg.dataset import VOC_CLASSES
from boxseg.runs.layout import BEFORE_LAST, HOLDER, LAST, LOCK, PROVENANCE

# Runs a command in a folder: words, folder.
Runner = Callable[[list[str], Path], None]

_TIME = re.compile(rb'"time":\d+,')

_SHORT = {
    "adapt": ("adapt.iterations=3", "adapt.batch=2"),
    "classify": ("classify.iterations=4", "classify.batch=2", "classify.augment.crop=49"),
    "segment": ("segment.iterations=4", "segment.batch=2", "segment.augment.crop=49"),
    "label": ("label.crf.iterations=1",),
    "evaluate": ("evaluate.scales=[1]", "evaluate.crf.iterations=1"),
    "trainer": ("checkpoint_every=1", "trainer.workers=0"),
    "network": ("model.weights=none",),
}


def _short(*parts: str) -> tuple[str, ...]:
    return tuple(word for part in parts for word in _SHORT[part])


# What is made once and only read by the commands below, in the folder `ready`.
PREPARED: Mapping[str, tuple[str, ...]] = {
    "classify": ("classify", "data=data", "out=ready/c", *_short("classify", "trainer", "network")),
    "label": ("label", "data=data", "out=ready/l", "method=box", *_short("label")),
    "segment": (
        "segment", "data=data", "labels=ready/l", "val_split=", "out=ready/s",
        *_short("segment", "trainer", "network"),
    ),
    "label, corrected": (
        "label", "data=data", "out=ready/k", "method=box", "corrections=corrections.json", *_short("label"),
    ),
}  # fmt: skip

# The commands, by a name. Each writes to `out` alone.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "classify": ("classify", "data=data", "out=out", *_short("classify", "trainer", "network")),
    "label, ellipse": ("label", "data=data", "out=out", "method=ellipse", "label.formats=[coco]"),
    "convert": ("convert", "ready/l", "out", "format=coco"),
    "segment": (
        "segment", "data=data", "labels=ready/l", "out=out",
        *_short("segment", "evaluate", "trainer", "network"),
    ),
    "predict": (
        "predict", "checkpoint=ready/s", "images=data/JPEGImages", "out=out", "trainer.workers=0",
        *_short("evaluate"),
    ),
    "background-masks": ("background-masks", "data=data", "out=out"),
    "label, classifier": (
        "label", "data=data", "out=out", "checkpoint=ready/c", "label.instances=true", "trainer.workers=0",
        *_short("label"),
    ),
    "evaluate": (
        "evaluate", "checkpoint=ready/s", "data=data", "data.split=val", "out=out", "trainer.workers=0",
        *_short("evaluate"),
    ),
    "report": ("report", "ready/l", "out=out/page.html", "report.max_photos=4", "report.originals=true"),
    "convert, yolo-seg": ("convert", "ready/l", "out", "format=yolo-seg", "maps=true"),
    "label, mask network": ("label", "data=data", "out=out", "trainer.workers=0", *_short("label")),
    "run": (
        "run", "data=data", "out=out", "adapt=false", "method=ellipse", "report.max_photos=2",
        *_short("segment", "evaluate", "label", "trainer", "network"),
    ),
    "adapt": ("adapt", "data=data", "out=out", *_short("adapt", "trainer")),
    "convert, voc": ("convert", "ready/l", "out", "format=voc"),
    "predict, submission": (
        "predict", "checkpoint=ready/s", "data=data", "data.split=val", "submission=voc2012", "out=out",
        "trainer.workers=0", *_short("evaluate"),
    ),
    "demo": (
        "demo", "count=4", "out=out", "report.max_photos=2",
        *_short("adapt", "segment", "evaluate", "label", "trainer", "network"),
    ),
    "convert-config": ("convert-config", "bana.yml", "out=out/bana.boxseg.yaml"),
    "export": ("export", "checkpoint=ready/s", "out=out/model.onnx"),
    "label, corrected": (
        "label", "data=data", "out=out", "method=box", "corrections=corrections.json", *_short("label"),
    ),
    "convert, to be redrawn": ("convert", "ready/k", "out", "format=cvat", "redraw=true"),
    "label, two processes": ("label", "data=data", "out=out", "method=box", "devices=2"),
    "classify, two workers": (
        "classify", "data=data", "out=out", *_short("classify", "network"), "checkpoint_every=1", "workers=2",
    ),
}  # fmt: skip

# Those that take about a second or less in a process that has torch.
QUICK = tuple(COMMANDS)[:6]


def prepare(folder: Path, run: Runner) -> None:
    """Make the photos and what the commands read."""
    write_toy(folder / "data", train=6, val=2, size=64, seed=5)
    for file in (folder / "data" / "Annotations").iterdir():
        file.write_text(_with_names_of_voc(file.read_text()))
    (folder / "corrections.json").write_text(json.dumps(_corrections(folder / "data")))
    (folder / "bana.yml").write_text("MODEL:\n  LOSS: NAL\nSOLVER:\n  MAX_ITER: 10\n")
    for words in PREPARED.values():
        run(list(words), folder)


def _corrections(root: Path) -> dict[str, Any]:
    """What the report's page saves: a mask to be redrawn, one by the ellipse, and a photo that is wrong."""
    dataset = formats.load(Data(root=root))
    photos: dict[str, Any] = {}
    for sample, do in zip(dataset.samples, ("redraw", "ellipse"), strict=False):
        name = dataset.classes[sample.labels[0] - 1]
        photos[sample.id] = {"boxes": [{"box": sample.boxes[0].tolist(), "class": name, "do": do}]}
    photos[dataset.samples[2].id] = {"wrong": True}
    return {"boxseg": "corrections", "version": 1, "photos": photos}


def _with_names_of_voc(text: str) -> str:
    for ours, theirs in zip(CLASSES, VOC_CLASSES, strict=False):
        text = text.replace(f"<name>{ours}</name>", f"<name>{theirs}</name>")
    return text


def results(folder: Path) -> dict[str, bytes]:
    """The files below a folder by name, without what may differ: lock and checkpoints.

    Lightning counts in its checkpoints how often a training was resumed. The lines of provenance.jsonl come in
    the order in which photos were done; times of photos count only if the command has not made these itself.
    """
    left_out = (LOCK, *(Path(name).name for name in (LAST, BEFORE_LAST)))
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_dir() or file.name in left_out:
            continue
        content = file.read_bytes()
        if file.name == PROVENANCE:
            content = b"".join(sorted(content.splitlines(keepends=True)))
            if any(folder.glob("data-*")):
                content = _TIME.sub(b"", content)
        found[str(file.relative_to(folder))] = content
    return found


def differences(expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    """What is not the same, one line each."""
    return [
        f"{name} {'is missing' if name not in found else 'is too much' if name not in expected else 'differs'}"
        for name in sorted({*expected, *found})
        if expected.get(name) != found.get(name)
    ]


def leftovers(*folders: Path) -> list[str]:
    """Temporary files, and the note of who works in a folder."""
    files = [file for folder in folders for file in folder.rglob("*") if not file.is_dir()]
    return [str(file) for file in files if is_temporary(file) or file.name == HOLDER]


def in_group(group: int) -> list[int]:
    """The processes of a group (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group and not _is_zombie(entry):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _is_zombie(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
