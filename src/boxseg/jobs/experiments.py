"""The experiments of the paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import Classify, Data, Evaluate, Label, Model, Segment, TrainerOptions
from boxseg.errors import require
from boxseg.jobs.job import POSITIONAL, TrainingJob

TableName = Literal["pseudo-labels", "grid", "losses", "final-vgg", "final-resnet", "coco", "all"]

# The recipe of a table, unless another one is given; voc_vgg16 for tables not listed.
TABLE_RECIPES = {"final-resnet": "voc_resnet101"}


@dataclass(frozen=True, kw_only=True)
class ReproduceJob(TrainingJob):
    """Run an experiment of the paper, and compare its numbers with the published ones.

    Args:
        table: `pseudo-labels`, `grid` (N in training and in label generation), `losses`, `final-vgg`,
            `final-resnet`, `coco`, or `all`. Without `-c RECIPE` or a backbone, the paper's own recipe is used.
        data: PASCAL VOC 2012, or other photos with boxes; `val_split` is scored.
        out: Folder for the tables (TABLE.md, TABLE.csv, TABLE.json) and a run folder for each step. Run again,
            it does only what is missing.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations.
        seeds: Run everything once with each of these seeds; tables then give mean ± spread. By default only
            trainer.seed.
        coco: Folder of COCO 2017, which the table `coco` labels with the classifier trained on `data`.
        coco_split: Split of COCO to label.
        dry_run: Only list the steps that are done and those that would run.
        classifier: Backbone of the classifier that makes the labels; `auto` is vgg16 for the ResNet-101 of
            `final-resnet`, as in the paper, else that of the network.
        classifier_weights: Like model.weights, for a classifier with another backbone than the network.
    """

    table: TableName = field(metadata=POSITIONAL)
    data: Data
    out: Path = Path("runs/reproduce")
    scale: float = 1.0
    seeds: tuple[int, ...] = ()
    coco: Path | None = None
    coco_split: str = "train2017"
    dry_run: bool = False
    classifier: Literal["auto", "efficientnet_lite0", "vgg16", "resnet50", "resnet101"] = "auto"
    classifier_weights: str = "default"
    model: Model = Model()
    classify: Classify = Classify()
    label: Label = Label()
    segment: Segment = Segment()
    evaluate: Evaluate = Evaluate()
    trainer: TrainerOptions = TrainerOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(set(self.seeds)) == len(self.seeds) and min(self.seeds, default=0) >= 0,
            f"seeds must differ and be 0 or more, got {list(self.seeds)}",
        )
        require(
            self.label.by_classifier or self.label.method == "auto",
            f"label.method={self.label.method}: the paper's tables need labels from a classifier: "
            "auto, bap or gap",
        )
        require(self.table != "coco" or self.coco is not None, "the table coco needs coco=DIR, COCO 2017")
