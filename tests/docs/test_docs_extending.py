"""The package, the script and the Trainers of docs/extending.md do what the page says."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

import boxseg
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.errors import CheckpointError, ConfigError
from boxseg.nn.losses import LossOptions, count_pixels, find_loss
from documented import blocks, commands
from documented_plugin import PAGE, install

SHORT = (
    "segment.iterations=2",
    "segment.batch=2",
    "segment.augment.crop=49",
    "trainer.workers=0",
    "accumulate=2",
)
SCRIPTS = [block for block in blocks(PAGE, "python") if not block.startswith("# boxseg_extras/")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Path:
    """A folder in which the page's command was run: photos in the format `lines`, then all stages on them."""
    top = tmp_path_factory.mktemp("user")
    write_toy(top / "toy", train=4, val=1, size=64, seed=0)
    dataset = formats.load(Data(root=top / "toy"))
    photos = top / "photos"
    photos.mkdir()
    lines = []
    for sample in dataset.samples:
        (photos / sample.image.name).write_bytes(sample.image.read_bytes())
        for box, label in zip(sample.boxes, sample.labels, strict=True):
            lines.append(f"{sample.image.name} {dataset.classes[label - 1]} {' '.join(map(str, box))}")
    (photos / "train.lines").write_text("\n".join(lines))
    (command,) = [found for found in commands(PAGE) if found.block and found.verb == "run"]
    done = subprocess.run(
        [sys.executable, "-m", "boxseg", *command.words[1:], *SHORT],
        cwd=top,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return top


@pytest.fixture
def plugged(user: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, with the package installed in this process, too."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(user)
    return user


def test_all_four_kinds_work_by_the_command_line(user: Path) -> None:
    run = user / "runs" / "mine"
    assert len(list((run / "label" / "labels").glob("*.png"))) == 4
    assert not (run / "classify").exists()  # a diamond needs no classifier
    with (run / "segment" / "history.csv").open() as file:
        assert [float(row["loss"]) > 0 for row in csv.DictReader(file)] == [True, True]
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    names = recorded["segment"]["loss"], recorded["model"]["backbone"], recorded["label"]["method"]
    assert names == ("focal", "tiny", "diamond")


def test_the_labels_are_diamonds(plugged: Path) -> None:
    dataset = formats.load(Data(root=Path("photos")))
    assert dataset.format == "lines"
    sample = max(dataset.samples, key=lambda sample: len(sample.labels))
    boxseg.label(data="photos", out="runs/plain", method="diamond", crf=False, workers=0)
    label = formats.read_mask(Path("runs/plain/labels") / f"{sample.id}.png", len(dataset.classes))
    covered = (label > 0) & (label < 255)
    for x1, y1, x2, y2 in sample.boxes.round().astype(int):
        assert covered[(y1 + y2) // 2, (x1 + x2) // 2]
    inside = sample.boxes[:, 2:] - sample.boxes[:, :2]
    assert 0 < covered.sum() < inside.prod(1).sum()


def test_a_checkpoint_without_its_plug_in_names_the_package(user: Path, site: Path) -> None:
    file = user / "runs" / "mine" / "segment" / "model.safetensors"
    assert str(site) not in sys.path
    with pytest.raises(CheckpointError, match=r"'tiny' of the package boxseg-extras 0\.1: install it, or call"):
        boxseg.load(file)
    with pytest.raises(ConfigError, match=r"unknown segment\.loss=focal \(one of nal, .*; no plug-in adds one"):
        boxseg.segment(data=str(user / "photos"), labels="l", out="o", loss="focal")


def test_with_the_plug_in_the_checkpoint_predicts(plugged: Path) -> None:
    sample = formats.load(Data(root=plugged / "photos")).samples[0]
    prediction = boxseg.load(plugged / "runs" / "mine")(sample.image)
    assert prediction.labels.shape == (sample.height, sample.width)


def test_names_of_plug_ins_are_listed_too(plugged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["segment", "data=photos", "labels=runs/mine/label", "out=runs/x"]
    assert execute([*words, "loss=focl"]) == 2
    line = "unknown segment.loss=focl, did you mean 'focal'? (one of nal, er, bs, baseline, ce_crf, ce_ret; of "
    assert f"{line}plug-ins: focal)" in capsys.readouterr().err
    assert execute([*words, "backbone=tinny"]) == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err


def test_the_loss_adds_up_over_parts(plugged: Path) -> None:
    focal = find_loss("focal")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 3, 3, generator=generator)
    y_crf, y_ret = torch.randint(0, 4, (2, 3, 9, 9), generator=generator)
    y_crf[0, :5] = 255
    told = LossOptions(stride=4, temperature=1, weight=1, gamma=2, progress=0, detach_confidence=False)
    parts = replace(told, totals=count_pixels("focal", y_crf, y_ret).float())
    each = [focal(logits[i : i + 1], y_crf[i : i + 1], y_ret[i : i + 1], parts) for i in range(3)]
    torch.testing.assert_close(sum(each), focal(logits, y_crf, y_ret, told))


@pytest.mark.parametrize("number", range(4))
def test_the_scripts_run(number: int, plugged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are written, but for the schedules."""
    assert len(SCRIPTS) == 4
    small = {"iterations": 2, "batch": 2, "crop": 49, "workers": 0}
    monkeypatch.setattr(boxseg, "segment", partial(boxseg.segment, **small), raising=False)
    script = SCRIPTS[number]
    shorter = {"2000": "2", "1000": "2", "batch=8": "batch=2, workers=0", "crop=321": "crop=49"}
    for long, short in shorter.items():
        script = script.replace(long, short)
    made: dict[str, object] = {"__name__": "__docs__"}
    with torch.random.fork_rng():
        exec(compile(script, PAGE.name, "exec"), made)
    if "best" in made:
        assert list(Path("runs/best").glob("*.ckpt"))
        assert list(Path("runs/curves").rglob("metrics.csv"))


SCRIPT = """
import boxseg
from lightning.pytorch.callbacks import Callback
from boxseg_extras.labels import start
from boxseg_extras.losses import focal

class Note(Callback):
    def on_train_end(self, trainer, module):
        open(f"ended{trainer.global_rank}", "w").close()

def twice(*arguments):
    return 2 * focal(*arguments)

if __name__ == "__main__":
    boxseg.register("loss", "twice", twice)
    boxseg.register("label_method", "again", start)
    both = {"data": "photos", "workers": 0, "devices": 2, "accelerator": "cpu"}
    boxseg.label(**both, out="runs/two/label", method="again", crf=False)
    boxseg.segment(
        **both, labels="runs/two/label", out="runs/two/segment", loss="twice", backbone="tiny",
        iterations=2, batch=2, crop=49, val_split="", callbacks=[Note()],
    )
"""


def test_what_a_script_registers_reaches_its_processes(user: Path, site: Path, plugged: Path) -> None:
    (user / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(site)}
    words = [sys.executable, "script.py"]
    done = subprocess.run(words, cwd=user, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (user / "ended0").exists()
    assert (user / "ended1").exists()
    boxseg.label(data="photos", out="runs/one/label", method="diamond", crf=False, workers=0)
    labels = [user / "runs" / run / "label" / "labels" for run in ("one", "two")]
    assert {file.name: file.read_bytes() for file in labels[0].iterdir()} == {
        file.name: file.read_bytes() for file in labels[1].iterdir()
    }
