"""The three stages: box classifier, labels, segmentation network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from boxseg.config.crf import Crf
from boxseg.config.training import Augment, Optimiser
from boxseg.errors import require, require_schedule

LabelMethod = Literal["auto", "bap", "gap", "box", "grabcut", "sam"]

LossName = Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"]

LabelFormat = Literal["palette", "voc", "masks", "coco", "yolo-seg"]


@dataclass(frozen=True, kw_only=True)
class Classify:
    """Stage 1: a box classifier with background-aware pooling.

    Args:
        pooling: `bap` (background-aware) or `gap` (plain average over each box).
        grid: N: background queries are taken in an N x N grid.
        roi_bins: Each box is pooled in so many bins a side.
        min_background: Share of background an image needs for BAP; below it its boxes use GAP.
        batch: Images a step.
        epochs: Passes over the data.
        iterations: Steps, instead of epochs.
        milestones: Shares of the schedule after which the learning rate falls to a tenth.
        optimiser: Learning rates.
        augment: Random changes of the images.
    """

    pooling: Literal["bap", "gap"] = "bap"
    grid: int = 4
    roi_bins: int = 2
    min_background: float = 0.125
    batch: int = 20
    epochs: float = 15.0
    iterations: int | None = None
    milestones: tuple[float, ...] = (0.625,)
    # Small data sets label better when pretrained features move little: +1.8 mIoU on 80 photos of VOC.
    optimiser: Optimiser = field(default_factory=lambda: Optimiser(lr=1e-4, new_lr=100.0))
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        require(self.grid >= 1, f"classify.grid must be at least 1, got {self.grid}")
        require(self.roi_bins >= 1, f"classify.roi_bins must be at least 1, got {self.roi_bins}")
        require(
            all(0 < share < 1 for share in self.milestones),
            f"classify.milestones are shares of the schedule between 0 and 1, got {list(self.milestones)}",
        )
        require_schedule("classify", self.batch, self.epochs, self.iterations)


@dataclass(frozen=True, kw_only=True)
class Label:
    """Stage 2: pseudo labels from the boxes.

    Args:
        method: `bap` and `gap` take a classifier's activation maps; `box` the whole boxes, the smallest on top;
            `grabcut` cuts each object out of its box; `sam` takes the masks of a SAM network prompted with the
            boxes. `auto` is bap or gap, as the classifier was trained.
        sam: The network of `sam`: a folder of transformers, or a name on the Hugging Face hub.
        background: Background score of bap and gap inside boxes: `attention` (u_0), `complement`
            (1 - max u_c), `zero` (what u_0 is where no feature is like the background), or `auto`: attention
            for bap, complement for gap.
        grid: N of the background queries of bap and gap; 1 takes one query an image.
        class_map: For data with other classes than the classifier's: `voc_to_coco`, a YAML or JSON file, or a
            mapping, of {class of the data: class of the classifier}. Classes that are not in it go by equal
            names, as do all with `names`. Classes left over are labelled without the classifier, by 1 - u_0.
            Without a map, the classifier must know every class of the data.
        instances: Also write a mask of each box, with a score: instances_y_crf.json and instances_y_ret.json,
            COCO results; AP where the data has masks of its objects.
        maps: Also write how sure the labels are, as 8-bit grey PNG: confidence/ID.png, 255 · the probability of
            Y_crf after the CRF, and reliable/ID.png, 255 where Y_crf and Y_ret agree.
        formats: Also write Y_crf for other programs, to OUT/FORMAT, with links to the photos: any of palette,
            voc, masks, coco, yolo-seg (`boxseg convert` has them with more options).
        crf: Dense CRF of Y_crf, whatever the method.
    """

    method: LabelMethod = "auto"
    sam: str | None = None
    background: Literal["auto", "attention", "complement", "zero"] = "auto"
    grid: int = 1
    class_map: dict[str, str] | str | None = None
    instances: bool = False
    maps: bool = False
    formats: tuple[LabelFormat, ...] = ()
    crf: Crf = field(default_factory=Crf)

    def __post_init__(self) -> None:
        require(self.grid >= 1, f"label.grid must be at least 1, got {self.grid}")
        require(
            self.method != "sam" or bool(self.sam),
            "label.method=sam needs label.sam=…, a folder of a SAM or SAM 2 checkpoint or a name on the hub",
        )

    @property
    def by_classifier(self) -> bool:
        """Whether the labels come from a box classifier."""
        return self.method in ("auto", "bap", "gap")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Stage 3: a segmentation network from the labels.

    Args:
        loss: `nal` (noise-aware), `er` (entropy regularisation), `bs` (bootstrapping), `baseline` (agreement
            of Y_crf and Y_ret only), `ce_crf` (Y_crf everywhere), `ce_ret` (Y_ret everywhere).
        weight: λ of the loss on pixels where the labels disagree.
        gamma: γ of the noise-aware confidence.
        detach_confidence: Stop the gradient through the noise-aware confidence σ.
        batch: Images a step.
        epochs: Passes over the data.
        iterations: Steps, instead of epochs.
        poly_power: The learning rate falls with (1 - step / steps) to this power.
        optimiser: Learning rates.
        augment: Random changes of the images.
    """

    loss: LossName = "nal"
    weight: float = 0.1
    gamma: float = 7.0
    detach_confidence: bool = False
    batch: int = 20
    epochs: float = 45.0
    iterations: int | None = None
    poly_power: float = 0.9
    optimiser: Optimiser = field(default_factory=Optimiser)
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        require(self.weight >= 0, f"segment.weight must be 0 or more, got {self.weight}")
        require_schedule("segment", self.batch, self.epochs, self.iterations)
