"""Every command in README.md and docs/ is one that boxseg understands, and those that can be run here work.

They are run as they are written, one after the other in one folder, on a few small photos and with the
schedules of seconds.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import boxseg
import timm_stand_in
from annotation_writers import write_coco
from boxseg import formats, options
from boxseg.cli import _TOOLS, VERBS, execute
from boxseg.config import Classify, Data, Model, Segment
from boxseg.data.toy import write_toy
from boxseg.dataset import IGNORE, VOC_CLASSES
from boxseg.errors import ConfigError
from boxseg.formats.masks import read_mask, write_mask
from boxseg.inference.networks import Network, save_network, start_classifier, start_segmenter
from boxseg.jobs import JOBS
from documented import PAGES, ROOT, Command, all_commands, blocks, commands, page_name
from documented_plugin import install
from run_commands import (
    EXTENDING,
    EXTRA,
    FETCHED,
    NEEDS,
    NOT_RUN,
    PROMISED,
    PYTHON_NEEDS,
    SHORT,
    SINGLE,
    STAND_INS,
    TRAININGS,
    WHOLE_PAGES,
)
from tiny_sam import write_sam

COMMANDS = all_commands()


def resolve(command: Command) -> list[str]:
    """The words after `boxseg`, with what users would have put."""
    words = [STAND_INS.get(word, word) for word in command.words[1:]]
    return [word for word in words if word != "…"]


def small(verb: str) -> list[str]:
    known = options.options_of(JOBS[verb])
    return [*(word for word in SHORT if word.partition("=")[0] in known), *EXTRA.get(verb, ())]


def is_verb(command: Command) -> bool:
    return command.words[0] == "boxseg" and command.verb not in ("", "VERB", "--help", "…", *_TOOLS)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where users type the commands: data sets under the names that pages give them, and what is at hand."""
    top = tmp_path_factory.mktemp("user")
    voc = top / "VOCdevkit" / "VOC2012"
    write_toy(voc, train=4, val=2, size=64, seed=3)
    lists = voc / "ImageSets" / "Segmentation"
    shutil.copy(lists / "train.txt", lists / "train_aug.txt")
    (lists / "train.txt").write_text("train_0000\n")
    (top / "VOC2012").symlink_to(voc)
    for name in ("photos", "mine"):
        for listed, split in (("train_aug", "train"), ("val", "val")):
            write_coco(replace(formats.load(Data(root=voc, split=listed)), split=split), top / name)
    write_outlined(top / "outlined", voc)
    for listed, split in (("train_aug", "train"), ("val", "val")):
        streets = replace(formats.load(Data(root=voc, split=listed)), split=split)
        names = ("truck", "car", "bus", "cat", "dog", *streets.classes)[: len(streets.classes)]
        write_coco(replace(streets, classes=names), top / "traffic")
    (top / "mine" / "annotations" / "instances_train.json").rename(top / "mine" / "export.json")
    (top / "mine" / "train").rename(top / "mine" / "pictures")
    shutil.copytree(voc / "SegmentationClass", top / "sam" / "masks")
    for mask in (voc / "SegmentationClass").glob("*.png"):  # of two classes, for commands that name two
        labels = read_mask(mask, 5)
        write_mask(top / "masks" / mask.name, np.where((labels > 2) & (labels < IGNORE), 0, labels))
    shutil.copytree(voc / "JPEGImages", top / "new")
    write_of_extras(top)
    shutil.copy(voc / "JPEGImages" / "val_0000.jpg", top / "photo.jpg")
    (top / "stage3_vgg.yml").write_text("MODEL:\n  LOSS: NAL\nSOLVER:\n  MAX_ITER: 10\n")
    return top


def write_of_extras(top: Path) -> None:
    """What commands need that need a package of an extra: tiles with boxes, and a video."""
    if find_spec("rasterio"):
        from earth_photos import earth, write_earth

        photos = formats.load(Data(root=top / "photos", split="train"))
        files = {one.id: top / "earth" / f"{one.id}.tif" for one in photos.samples}
        for one in photos.samples:
            write_earth(files[one.id], earth(one.height, one.width))
        write_coco(
            replace(photos, samples=tuple(replace(one, image=files[one.id]) for one in photos.samples)),
            top / "tiles",
        )
    if find_spec("av"):
        from small_videos import pictures, write_video

        write_video(top / "clip.mp4", pictures(12))


def write_outlined(root: Path, voc: Path) -> None:
    """A COCO set with an outline in every box: a rhombus."""
    write_coco(replace(formats.load(Data(root=voc, split="train_aug")), split="train"), root)
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        across, down = x + width / 2, y + height / 2
        entry["segmentation"] = [[across, y, x + width, down, across, y + height, x, down]]
    file.write_text(json.dumps(content))


def test_there_are_commands_of_every_verb() -> None:
    assert set(VERBS) <= {command.verb for command in COMMANDS}


@pytest.mark.parametrize("page", [page_name(path) for path in PAGES])
def test_boxseg_knows_every_documented_option(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if page == EXTENDING:
        monkeypatch.syspath_prepend(install(tmp_path / "site"))
    Path("stage3_vgg.boxseg.yaml").write_text("segment:\n  loss: nal\n")  # made by another command
    for command in COMMANDS:
        if command.page != page or not is_verb(command):
            continue
        error = fault_of(command)
        # A sentence may name a verb without all it needs; a block is there to be copied.
        assert not error or (not command.block and "missing option" in error), f"{command.text}: {error}"


def fault_of(command: Command) -> str:
    try:
        options.build_job(command.verb, options.parse_words(resolve(command)[1:], command.verb))
    except ConfigError as error:
        return str(error)
    return ""


def test_an_option_that_there_is_not_would_be_noticed() -> None:
    words = ("boxseg", "run", "data=photos", "out=o", "epohcs=3")
    assert "epohcs" in fault_of(Command(page="", text="", words=words, block=True))


def test_other_programs_that_are_named_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(re.findall(r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for command in COMMANDS:
        if command.words[0] == "make":
            assert command.verb in targets, command.text
        elif command.words[0] == "python":
            assert (ROOT / command.words[1]).is_file(), command.text
        elif command.words[0] == "pip":
            named = re.findall(r"\[(\w+)\]", command.text)
            assert set(named) <= extras, command.text
        elif command.words[0] == "dask":
            assert command.verb in ("scheduler", "worker"), command.text
        else:
            assert command.words[0] == "boxseg", command.text


def test_every_command_in_a_block_is_run_or_said_not_to_be() -> None:
    used = set()
    single = {*SINGLE, *TRAININGS, *FETCHED}
    for command in COMMANDS:
        if command.block and command.page not in (*WHOLE_PAGES, EXTENDING) and command.text not in single:
            text = f"{' '.join(command.words)} "
            marks = {mark for mark in NOT_RUN if mark in text}
            assert marks, f"{command.page}: {command.text}"
            used |= marks
    assert used == set(NOT_RUN), "no command is left out by these"


def run(command: Command) -> None:
    if any(mark in command.text and not find_spec(package) for mark, package in NEEDS.items()):
        return
    words = [*resolve(command), *small(command.verb)]
    if "-c voc_vgg16" in command.text and command.verb in ("classify", "segment", "run"):
        words.append("model.weights=none")  # of ImageNet, fetched
    assert execute(words) == 0, " ".join(words)


def test_what_can_be_run_here_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One test, as every command finds what those before it have made."""
    monkeypatch.chdir(folder)
    documented = {command.text: command for command in COMMANDS}
    for page in WHOLE_PAGES:
        for command in commands(ROOT / page):
            if command.block and is_verb(command):
                run(command)
    # What the other pages have from runs of their own.
    (folder / "runs" / "x").symlink_to(folder / "runs" / "first")
    (folder / "runs" / "c").symlink_to(folder / "work" / "classify")
    (folder / "runs" / "segment").symlink_to(folder / "work" / "segment")
    for text in SINGLE:
        assert text in documented, f"no page has: {text}"
        run(documented[text])
    assert "Nothing is broken." in capfd.readouterr().out
    missing = [name for name in PROMISED if not (folder / name).is_file()]
    assert not missing
    run_python(folder, monkeypatch)


def write_network(file: Path, network: Network, options: Classify | Segment) -> None:
    """A network of VOC's classes that knows nothing about them."""
    file.parent.mkdir(parents=True)
    save_network(file, network, classes=VOC_CLASSES, model=Model(), options=options)


def test_the_trainings_of_the_recipes_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only trained on a large machine, in steps of seconds."""
    monkeypatch.chdir(folder)
    classifier, _ = start_classifier(Model(), len(VOC_CLASSES), 0)
    segmenter, _ = start_segmenter(Model(), len(VOC_CLASSES), 0)
    for name in ("c", "runs/voc_vgg16/classify"):
        write_network(folder / name / "model.safetensors", classifier, Classify())
    write_network(folder / "runs/voc_vgg16/segment/model.safetensors", segmenter, Segment())
    lists = folder / "VOC2012" / "ImageSets" / "Segmentation"
    shutil.copy(lists / "val.txt", lists / "test.txt")
    toys = formats.load(Data(root=folder / "VOC2012", split="train_aug"))
    known = ("person", "car", "cat", "banana", "zebra", "kite", "dog")[: len(toys.classes)]
    write_coco(replace(toys, split="train2017", classes=known), folder / "COCO")
    documented = {command.text: command for command in COMMANDS}
    for text in TRAININGS:
        run(documented[text])


def test_models_that_are_fetched_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of such names stand for the hub, as transformers has it; timm has a stand-in."""
    transformers = pytest.importorskip("transformers")
    timm_stand_in.install(monkeypatch, "convnext_tiny")
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    dino = transformers.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56)
    transformers.Dinov2Backbone(dino).save_pretrained("facebook/dinov2-small")
    stages = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    transformers.ConvNextBackbone(transformers.ConvNextConfig(**stages)).save_pretrained(
        "facebook/convnext-tiny-224"
    )
    swin = transformers.SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4)
    transformers.SwinBackbone(swin).save_pretrained("models/my-swin")
    write_sam(folder / "facebook/sam2.1-hiera-tiny", "sam2")
    documented = {command.text: command for command in COMMANDS}
    for text in FETCHED:
        run(documented[text])


def run_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block, in the folder as the commands have left it; a verb checks its options, no more."""
    shutil.copy(folder / "work" / "segment" / "model.safetensors", folder)
    shutil.copy(folder / "work/label/labels/train_0000.png", folder / "work/label/labels/ID.png")
    for verb in VERBS:
        function = verb.replace("-", "_")
        monkeypatch.setattr(boxseg, function, partial(check_options, verb), raising=False)
    for path in PAGES:
        for block in blocks(path, "python") if page_name(path) != EXTENDING else ():
            if all(mark not in block or find_spec(package) for mark, package in PYTHON_NEEDS.items()):
                exec(compile(block, page_name(path), "exec"), {"__name__": "__docs__"})


def check_options(verb: str, progress: Any = True, **given: Any) -> None:
    options.from_python(verb, JOBS[verb], given)
