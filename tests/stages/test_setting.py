"""Titles of tables say "the paper's setting" where it is, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg import options
from boxseg.config import Data
from boxseg.dataset import VOC_CLASSES, BoxDataset, Sample
from boxseg.stages.reproduce import published
from boxseg.stages.reproduce.experiments import EXPERIMENTS
from boxseg.stages.reproduce.setting import Setting, describe
from boxseg.stages.reproduce.steps import Plan, Shared

PHOTOS = {"train_aug": published.TRAIN_AUG, "val": published.VAL, "train2017": published.COCO_TRAIN}
VGG_TABLES = [name for name in EXPERIMENTS if name != "final-resnet"]
RESNET_START = "network starts from ImageNet's weights, the authors' from ImageNet's and COCO's weights"


class PapersPhotos(Shared):
    """As many photos as the paper has, all the same."""

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        sample = Sample(
            id="photo",
            image=Path("photo.jpg"),
            width=8,
            height=8,
            boxes=np.zeros((0, 4)),
            labels=np.zeros(0, np.int64),
            difficult=np.zeros(0, np.bool_),
        )
        return BoxDataset(
            root=data.root,
            format="voc",
            split=data.split,
            classes=VOC_CLASSES,
            samples=(sample,) * PHOTOS[data.split],
        )


def setting(table: str, *words: str) -> Setting:
    given = [table, "data=d", "coco=c", *words]
    job: Any = options.build_job("reproduce", options.parse_words(given, "reproduce"))
    experiment = EXPERIMENTS[table]
    plan = Plan(job, own_classifier=experiment.backbone == "vgg16", shared=PapersPhotos())
    return describe(table, experiment, plan)


@pytest.mark.parametrize("table", VGG_TABLES)
def test_the_recipe_of_vgg16_is_the_papers_setting(table: str) -> None:
    for words in ((), ("model.weights=default",), ("trainer.workers=0", "trainer.devices=2")):
        found = setting(table, *words)
        assert found.departures == ()
        assert found.title.endswith(" iterations: the paper's setting")


def test_the_resnet_starts_from_less_than_the_authors() -> None:
    found = setting("final-resnet")
    assert found.departures == (RESNET_START,)
    assert found.title.endswith(" iterations: NOT the paper's network")
    told = "network starts from the file msra_coco.pth, the authors' from ImageNet's and COCO's weights"
    assert setting("final-resnet", "model.weights=msra_coco.pth").departures == (told,)


@pytest.mark.parametrize("table", ["pseudo-labels", "losses", "final-resnet"])
@pytest.mark.parametrize(
    ("word", "papers"),
    [
        ("model.batch_norm=train", "frozen"),
        ("trainer.precision=bf16-mixed", "32-true"),
        ("model.freeze=True", "False"),
        ("model.fully_connected=fresh", "subsample"),
        ("model.preprocessing=caffe", "auto"),
    ],
)
def test_other_options_of_networks_are_named_once(table: str, word: str, papers: str) -> None:
    found = setting(table, word)
    assert found.departures.count(f"{word}, the paper {papers}") == 1
    assert len(found.departures) == (2 if table == "final-resnet" else 1)
    assert " NOT the paper's " in found.title
    assert found.title.endswith("options")


def test_options_of_networks_that_a_table_has_not_do_not_count() -> None:
    words = ("model.head=aspp", "model.temperature=10")
    assert setting("pseudo-labels", *words).departures == ()
    assert len(setting("losses", *words).departures) == 2
    other = ("model.backbone=resnet101", "model.weights=w.pth", "model.freeze=true", "classifier=vgg16")
    assert setting("pseudo-labels", "-c", "voc_vgg16", *other).departures == ()


@pytest.mark.parametrize("table", ["pseudo-labels", "final-vgg", "final-resnet"])
def test_a_weight_file_is_named(table: str) -> None:
    found = setting(table, "model.weights=/x/some.safetensors", "classifier_weights=/x/other.pth")
    classifier = "/x/other.pth" if table == "final-resnet" else "/x/some.safetensors"
    told = [f"classifier starts from the file {classifier}, the authors' from ImageNet's weights"]
    if table != "pseudo-labels":
        paper = "ImageNet's and COCO's weights" if table == "final-resnet" else "ImageNet's weights"
        told.append(f"network starts from the file /x/some.safetensors, the authors' from {paper}")
    assert found.departures == tuple(told)
    assert found.title.endswith(": NOT the paper's network")


def test_random_weights_and_those_of_another_network_are_named() -> None:
    told = "starts from random weights, the authors' from ImageNet's weights"
    assert setting("losses", "model.weights=none").departures == (f"classifier {told}", f"network {told}")
    found = setting("pseudo-labels", "-c", "voc_vgg16", "model.backbone=hf:facebook/dinov2-small").departures
    assert "classifier hf:facebook/dinov2-small, the paper vgg16" in found
    start = "the weights published under its name"
    assert f"classifier starts from {start}, the authors' from ImageNet's weights" in found
