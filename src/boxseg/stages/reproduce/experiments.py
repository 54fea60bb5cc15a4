"""The tables of the paper: which steps give each row, and which of their scores."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from boxseg.config import Data
from boxseg.dataset import VOC_CLASSES
from boxseg.errors import DataError
from boxseg.plugins import BackboneName, LossName
from boxseg.runs.layout import Y_CRF, Y_RET
from boxseg.stages.reproduce import published
from boxseg.stages.reproduce.published import IMAGENET, IMAGENET_COCO, VAL, Published
from boxseg.stages.reproduce.steps import Plan, Step

Section = Literal["classify", "label", "segment", "evaluate"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RowSource:
    """Where the numbers of a row come from, for one seed.

    Attributes:
        step: The last step of the row; None if it cannot be run, for the reason in `why_not`.
        scores: Dotted names of its scores in metrics.json, one for each metric of the table.
        remark: A note for the reader; may name scores in braces.
    """

    step: Step | None
    scores: tuple[str, ...] = ()
    remark: str = ""
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table of the paper.

    Attributes:
        about: What it shows.
        metrics: Names of its numbers, which are in percent.
        rows: Gives the source of every row, by name, for one seed.
        published: The published numbers of every row.
        scored: The photos to score; the paper has `paper_scored` of them.
        recipe: The recipe that holds the paper's options.
        backbone: The paper's network, which starts from `weights`.
        sections: Sections of options that its steps read.
        set_by_rows: Options that the rows themselves set.
    """

    about: str
    metrics: tuple[str, ...]
    rows: Callable[[Plan, int], dict[str, RowSource]]
    published: dict[str, Published]
    scored: Callable[[Plan], Data] = operator.attrgetter("val")
    paper_scored: int = VAL
    recipe: str = "voc_vgg16"
    backbone: BackboneName = "vgg16"
    weights: str = IMAGENET
    sections: tuple[Section, ...] = ("classify", "label")
    set_by_rows: tuple[str, ...] = ("classify.pooling", "label.background")
    decimals: int = 1


def pseudo_labels(plan: Plan, seed: int) -> dict[str, RowSource]:
    """Labels of the photos of val, from their boxes.

    GAP and BAP differ in the training of the classifier alone: the labels of both are made with u_0.
    """
    gap = plan.label(plan.classify(seed, pooling="gap"), plan.val, background="attention")
    bap = plan.classify(seed, pooling="bap")
    without = plan.label(bap, plan.val, background="activation")
    labels = plan.label(bap, plan.val, background="attention")
    own = "background score 0 inside boxes, outside them the activation map of the background"
    agreed = "scored on the pixels where Y_crf = Y_ret and only there: {reliable_fraction} % of all"
    return {
        published.WHOLE_BOX: RowSource(step=labels, scores=("whole_box.miou",)),
        published.GAP: RowSource(step=gap, scores=(f"{Y_CRF}.miou",)),
        published.WITHOUT_U0: RowSource(step=without, scores=(f"{Y_CRF}.miou",), remark=own),
        published.Y_CRF: RowSource(step=labels, scores=(f"{Y_CRF}.miou",)),
        published.Y_RET: RowSource(step=labels, scores=(f"{Y_RET}.miou",)),
        published.BOTH: RowSource(step=labels, scores=("reliable_region_only.miou",), remark=agreed),
    }


def grid(plan: Plan, seed: int) -> dict[str, RowSource]:
    """Y_crf of val for a grid of N x N background queries, 1..5 at training and 1..3 at generation."""
    rows = {}
    for trained in range(1, 6):
        classifier = plan.classify(seed, pooling="bap", grid=trained)
        for generated in range(1, 4):
            labels = plan.label(classifier, plan.val, background="attention", grid=generated)
            rows[published.grid_row(trained, generated)] = RowSource(step=labels, scores=(f"{Y_CRF}.miou",))
    return rows


def _labels(plan: Plan, seed: int) -> Step:
    """Y_crf and Y_ret of the training photos."""
    return plan.label(plan.classify(seed, pooling="bap"), plan.train, background="attention")


def losses(plan: Plan, seed: int) -> dict[str, RowSource]:
    """Networks that differ in the loss on pixels where Y_crf and Y_ret disagree."""
    labels = _labels(plan, seed)
    names: dict[str, LossName] = {"BASELINE": "baseline", "ER": "er", "BS": "bs", "NAL": "nal"}
    scores = ("before_crf.miou", "after_crf.miou")
    return {
        name: RowSource(step=plan.evaluate(plan.segment(labels, seed, loss)), scores=scores)
        for name, loss in names.items()
    }


def final(plan: Plan, seed: int) -> dict[str, RowSource]:
    """Networks trained with Y_crf, with Y_ret, and with both and NAL."""
    labels = _labels(plan, seed)
    names: dict[str, LossName] = {"Y_crf": "ce_crf", "Y_ret": "ce_ret", "NAL": "nal"}
    networks = {name: plan.segment(labels, seed, loss) for name, loss in names.items()}
    rows = {
        name: RowSource(step=plan.evaluate(network), scores=("after_crf.miou",))
        for name, network in networks.items()
    }
    return {**rows, "NAL (test)": _test(plan, networks["NAL"])}


def _test(plan: Plan, network: Step) -> RowSource:
    """The archive for VOC's server, if there are photos of the test split."""
    if plan.shared.load(plan.train).classes != VOC_CLASSES:
        return RowSource(step=None, why_not="VOC's server scores networks of VOC's 20 classes only")
    try:
        step = plan.submit(network)
    except DataError as error:
        return RowSource(step=None, why_not=f"no photos of VOC's test split: {error}")
    return RowSource(step=step, remark=f"scored by VOC's server alone: upload {step.files.whole[0]} there")


def coco(plan: Plan, seed: int) -> dict[str, RowSource]:
    """COCO labelled by a classifier of VOC's classes (1 - u_0 for others), scored on one mask for each box."""
    classifier = plan.classify(seed, pooling="bap")
    options = {"background": "attention", "class_map": "voc_to_coco", "instances": True}
    labels = plan.label(classifier, plan.coco, **options)
    means = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    return {
        name: RowSource(step=labels, scores=tuple(f"instances.{source}.{mean}" for mean in means))
        for name, source in (("Y_crf", Y_CRF), ("Y_ret", Y_RET))
    }


_ALL: dict[str, Any] = {
    "sections": ("classify", "label", "segment", "evaluate"),
    "set_by_rows": ("classify.pooling", "label.background", "segment.loss"),
}

EXPERIMENTS: dict[str, Experiment] = {
    "pseudo-labels": Experiment(
        about="labels of photos from their boxes",
        metrics=("mIoU",),
        rows=pseudo_labels,
        published=published.PSEUDO_LABELS,
    ),
    "grid": Experiment(
        about="Y_crf for N x N background queries",
        metrics=("mIoU",),
        rows=grid,
        published=published.GRID,
        set_by_rows=("classify.pooling", "classify.grid", "label.background", "label.grid"),
        decimals=2,
    ),
    "losses": Experiment(
        about="networks trained with different losses",
        metrics=("mIoU before CRF", "after CRF"),
        rows=losses,
        published=published.LOSS_TABLE,
        **_ALL,
    ),
    "final-vgg": Experiment(
        about="DeepLab-LargeFOV trained with the labels",
        metrics=("mIoU after CRF",),
        rows=final,
        published=published.FINAL_VGG,
        **_ALL,
    ),
    "final-resnet": Experiment(
        about="DeepLab-v2 trained with the labels",
        metrics=("mIoU after CRF",),
        rows=final,
        published=published.FINAL_RESNET,
        recipe="voc_resnet101",
        backbone="resnet101",
        weights=IMAGENET_COCO,
        **_ALL,
    ),
    "coco": Experiment(
        about="masks of COCO's objects from their boxes, by a classifier trained on VOC",
        metrics=("AP", "AP50", "AP75", "APS", "APM", "APL"),
        rows=coco,
        published=published.COCO,
        scored=operator.attrgetter("coco"),
        paper_scored=published.COCO_TRAIN,
        set_by_rows=("classify.pooling", "label.background", "label.class_map", "label.instances"),
    ),
}
