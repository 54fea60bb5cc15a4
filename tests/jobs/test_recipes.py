"""The shipped recipes hold the paper's numbers."""

from __future__ import annotations

from typing import Any

import pytest

from boxseg import options
from boxseg.jobs import RunJob

# Oh et al., CVPR 2021, section 4.1 and supplement; typed from there, not from the recipes.
AUGMENT = {"crop": 321, "scale": [0.5, 1.5], "flip": 0.5, "jitter": 0.5}
LABEL = {
    "bilateral_weight": 4, "sigma_xy": 55, "sigma_rgb": 3, "gaussian_weight": 3, "gaussian_sigma": 3,
    "iterations": 10,
}  # fmt: skip
SGD = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4, "new_lr": 10, "bias_lr": 2}
CLASSIFY = {
    "pooling": "bap", "grid": 4, "roi_bins": 2, "min_background": 1 / 8, "batch": 20, "iterations": 8000,
    "optimiser": SGD, "augment": AUGMENT,
}  # fmt: skip
COMMON = {
    "data": {"split": "train_aug", "val_split": "val"},  # 10,582 and 1,449 images
    "scale": 1,
    "classify": CLASSIFY,
    "label": {"grid": 1, "crf": LABEL},
    "evaluate": {"scales": [0.5, 0.75, 1, 1.5], "flip": True},
}
SEGMENT = {"loss": "nal", "weight": 0.1, "gamma": 7, "poly_power": 0.9, "augment": AUGMENT}
PAPER: dict[str, list[dict[str, Any]]] = {
    "voc_vgg16": [
        COMMON,
        {"model": {"backbone": "vgg16", "weights": "imagenet", "head": "largefov", "temperature": 20}},
        {"segment": SEGMENT},
        {"segment": {"batch": 20, "iterations": 23805}},
        {"segment": {"optimiser": SGD}},
        {"evaluate": {"crf": {**LABEL, "sigma_xy": 121, "sigma_rgb": 5}}},
    ],
    "voc_resnet101": [
        COMMON,
        {"model": {"backbone": "resnet101", "weights": "imagenet", "head": "aspp", "temperature": 20}},
        {"segment": SEGMENT},
        {"segment": {"batch": 10, "iterations": 20000}},
        {"segment": {"optimiser": {**SGD, "lr": 2.5e-4, "bias_lr": 1}}},
        {"evaluate": {"crf": {**LABEL, "sigma_xy": 67, "sigma_rgb": 3, "gaussian_sigma": 1}}},
    ],
}  # fmt: skip
COCO = {"class_map": "voc_to_coco", "instances": True, "background": "attention", "grid": 1, "crf": LABEL}


def resolved(recipe: str) -> dict[str, Any]:
    """What the command line makes of a recipe alone, by dotted key."""
    return options.flatten(vars(options.build_job("run", options.parse_words(words(recipe), "run"))))


def words(recipe: str, *more: str) -> list[str]:
    return ["-c", recipe, "data=VOC2012", "out=o", *more]


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("recipe", PAPER)
def test_a_recipe_holds_the_papers_numbers(recipe: str) -> None:
    job = resolved(recipe)
    for part in PAPER[recipe]:
        for key, expected in options.flatten(part).items():
            assert plain(job[key]) == expected, key


@pytest.mark.parametrize("recipe", PAPER)
def test_the_learning_rate_of_the_classifier_falls_at_5000(recipe: str) -> None:
    job = resolved(recipe)
    assert [round(share * 8000) for share in job["classify.milestones"]] == [5000]


def test_the_default_backbone_differs_from_the_paper_where_it_must_and_nowhere_else() -> None:
    ours, papers = resolved("voc_efficientnet_lite0"), resolved("voc_vgg16")
    assert {key for key in ours if ours[key] != papers[key]} == {
        "data.split",  # needs no annotations but those of VOC itself
        "model.backbone", "model.weights",
        "classify.iterations", "segment.iterations",  # epochs instead: any number of images
        "classify.optimiser.lr", "classify.optimiser.new_lr",
    }  # fmt: skip


def test_coco_is_labelled_as_in_the_paper() -> None:
    job = resolved("coco_from_voc")
    for key, expected in options.flatten({"label": COCO}).items():
        assert job[key] == expected, key


def test_without_the_extra_annotations_is_an_option() -> None:
    job = options.build_job("run", options.parse_words(words("voc_vgg16", "data.split=train"), "run"))
    assert isinstance(job, RunJob)
    assert (job.data.split, job.classify.iterations) == ("train", 8000)
