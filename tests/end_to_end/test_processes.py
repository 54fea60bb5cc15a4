"""Stages spread over processes write what one process writes, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import boxseg
from boxseg.cli import execute
from boxseg.config import Model, Segment
from boxseg.data.toy import write_toy
from boxseg.dataset import VOC_CLASSES
from boxseg.inference.networks import save_network, start_segmenter

TINY = ("classify.iterations=1", "segment.iterations=1", "batch=2", "augment.crop=65", "trainer.workers=0")
FEW = ("scales=[1,1.5]", "evaluate.crf.iterations=2", "trainer.workers=0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photos and eight more; two cannot be read."""
    root = tmp_path_factory.mktemp("data")
    write_toy(root, train=30, val=8, size=128, seed=3)
    for name in ("train_0004", "train_0013", "val_0002"):
        photo = root / "JPEGImages" / f"{name}.jpg"
        photo.write_bytes(photo.read_bytes()[:700])
    return root


@pytest.fixture(scope="module")
def networks(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier c and a segmentation network s, hardly trained."""
    folder = tmp_path_factory.mktemp("networks")
    classify = [word for word in TINY if not word.startswith("segment")]
    segment = [word for word in TINY if not word.startswith("classify")]
    assert execute(["classify", *classify, f"data={data}", f"out={folder}/c"]) == 0
    made = execute(
        ["segment", "labels=ground-truth", *segment, f"data={data}", "val_split=", f"out={folder}/s"]
    )
    assert made == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All results, without the record of the options."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "config.yaml"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def wait_for(process: subprocess.Popen[Any], folder: Path) -> None:
    """Until the command has made a folder."""
    deadline = time.monotonic() + 300
    while not folder.exists():
        assert process.poll() is None, "the command ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_labels_of_two_processes_interrupted_and_gone_on_with(
    data: Path, networks: Path, tmp_path: Path
) -> None:
    label = ["label", f"checkpoint={networks}/c", f"data={data}", "instances=true", "trainer.workers=0"]
    assert execute([*label, f"out={tmp_path}/one"]) == 0
    command = [sys.executable, "-m", "boxseg", *label, f"out={tmp_path}/two", "devices=2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(process, tmp_path / "two" / "instances")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "boxseg: interrupted; the same command goes on where it stopped"
    assert "Traceback" not in errors
    time.sleep(2)  # Python's own helper of multiprocessing outlives it by a moment
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list((tmp_path / "two").rglob(".*.png"))
    assert len(list((tmp_path / "two" / "y_crf").iterdir())) < 28
    assert execute([*label, f"out={tmp_path}/two", "devices=2"]) == 0
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    skipped = json.loads(one["metrics.json"])["skipped"]
    assert list(skipped) == ["train_0004", "train_0013"]


def test_scores_and_predictions_of_two_processes(data: Path, networks: Path, tmp_path: Path) -> None:
    evaluate = ["evaluate", f"checkpoint={networks}/s", f"data={data}", "data.split=val", *FEW]
    predict = ["predict", f"checkpoint={networks}/s", f"images={data}/JPEGImages", *FEW]
    for devices in (1, 2):
        out = tmp_path / str(devices)
        assert execute([*evaluate, f"out={out}/e", f"devices={devices}"]) == 0
        assert execute([*predict, f"out={out}/p", f"devices={devices}"]) == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert json.loads((tmp_path / "2" / "e" / "metrics.json").read_text())["images"] == 7


def test_masks_and_submission_of_two_processes(data: Path, tmp_path: Path) -> None:
    """By the mask network, with what it says of every photo; and predictions for VOC's server."""
    label = ["label", f"data={data}", "data.limit=6", "label.formats=[coco]", "trainer.workers=0"]
    network, file = start_segmenter(Model(), len(VOC_CLASSES), 0)[0], tmp_path / "voc.safetensors"
    save_network(file, network, classes=VOC_CLASSES, model=Model(), options=Segment())
    predict = ["predict", f"checkpoint={file}", f"data={data}", "data.split=val", "submission=voc2012"]
    for devices in (1, 2):
        out = tmp_path / str(devices)
        assert execute([*label, f"out={out}/l", f"devices={devices}"]) == 0
        # One photo cannot be read, so there is no archive.
        assert execute([*predict, *FEW, f"out={out}/p", f"devices={devices}"]) == 1
    one = contents(tmp_path / "1")
    assert one == contents(tmp_path / "2")
    assert {"l/masks.json", "l/coco/annotations/instances_train.json"} <= set(one)
    assert sum(name.startswith("p/results/") for name in one) == 7


def test_real_photos(shared_data: Path, tmp_path: Path) -> None:
    voc = {"root": shared_data / "voc2012", "limit": 6}
    boxseg.classify(data=voc, out=tmp_path / "c", iterations=1, batch=2, crop=65)
    for devices in (1, 2):
        boxseg.label(checkpoint=tmp_path / "c", data=voc, out=tmp_path / str(devices), devices=devices)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
