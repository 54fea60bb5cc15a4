"""The three stages: box classifier, labels, segmentation network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boxseg.config.crf import Crf
from boxseg.config.masks import Masks
from boxseg.config.shards import Shards
from boxseg.errors import require, require_repeats, require_schedule
from boxseg.plugins import LabelMethod, LossName, require_name

LabelFormat = Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"]


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """SGD with the papers' learning-rate multipliers: 1 weights, 2 biases, 10 new weights, 20 new biases.

    Args:
        lr: Learning rate of pretrained weights.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of weights; biases have none.
        new_lr: Factor on the learning rate for layers that start from random weights.
        bias_lr: Factor on the learning rate for biases.
    """

    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    new_lr: float = 10.0
    bias_lr: float = 2.0

    def __post_init__(self) -> None:
        require(0 < self.lr < math.inf, f"optimiser.lr must be positive, got {self.lr}")
        require(0 <= self.momentum < 1, f"optimiser.momentum must be from 0 to below 1, got {self.momentum}")
        for name in ("weight_decay", "new_lr", "bias_lr"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"optimiser.{name} must be 0 or more, got {value}")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes of training images, applied in this order.

    Args:
        crop: Side of the square crop, in pixels.
        scale: Smallest and largest scale.
        flip: Probability of a horizontal flip.
        jitter: Strength of the changes of brightness, contrast and saturation.
    """

    crop: int = 321
    scale: tuple[float, float] = (0.5, 1.5)
    flip: float = 0.5
    jitter: float = 0.5

    def __post_init__(self) -> None:
        require(self.crop >= 16, f"augment.crop must be at least 16 pixels, got {self.crop}")
        require(
            0 < self.scale[0] <= self.scale[1],
            f"augment.scale must be [smallest, largest], got {list(self.scale)}",
        )
        require(0 <= self.flip <= 1, f"augment.flip is a probability, got {self.flip}")
        require(0 <= self.jitter < 1, f"augment.jitter must be in 0..1, got {self.jitter}")


@dataclass(frozen=True, kw_only=True)
class Classify:
    """Stage 1: a box classifier with background-aware pooling.

    Args:
        pooling: `bap` (background-aware) or `gap` (plain average over each box).
        grid: Background queries per image: N × N, one for each cell of a grid.
        roi_bins: Each box is pooled into this many bins per side.
        min_background: Share of an image that must be background for BAP; images with less use GAP.
        batch: Images per step.
        epochs: Passes over the data.
        min_iterations: Steps of these passes at least; few photos need more of them.
        iterations: Number of steps; replaces both.
        repeat_threshold: A class is rare if a smaller share of the photos shows it, and its photos are then
            seen sqrt(repeat_threshold / share) times as often as others (repeat-factor sampling of LVIS). The
            number of steps stays. 0 sees all photos equally often.
        milestones: Where the learning rate drops to a tenth, as shares of the schedule.
        optimiser: Learning rates of stage 1.
        augment: Random changes of training images in stage 1.
    """

    pooling: Literal["bap", "gap"] = "bap"
    grid: int = 4
    roi_bins: int = 2
    min_background: float = 0.125
    batch: int = 20
    epochs: float = 15.0
    min_iterations: int = 75
    iterations: int | None = None
    repeat_threshold: float = 0.0
    milestones: tuple[float, ...] = (0.625,)
    # Small data sets label better when pretrained features move little: +1.8 mIoU on 80 photos of VOC.
    optimiser: Optimiser = Optimiser(lr=1e-4, new_lr=100.0)
    augment: Augment = Augment()

    def __post_init__(self) -> None:
        require(self.grid >= 1, f"classify.grid must be at least 1, got {self.grid}")
        require(self.roi_bins >= 1, f"classify.roi_bins must be at least 1, got {self.roi_bins}")
        require(
            all(0 < share < 1 for share in self.milestones),
            f"classify.milestones are shares of the schedule between 0 and 1, got {list(self.milestones)}",
        )
        require_repeats("classify", self.repeat_threshold)
        require_schedule("classify", self.batch, self.epochs, self.iterations, self.min_iterations)


@dataclass(frozen=True, kw_only=True)
class Label:
    """Stage 2: pseudo labels from the boxes.

    Args:
        method: How to make labels. `network`: a mask of each box by the mask network that comes with boxseg, or
            by one of `adapt`. `bap` and `gap`: from the activation maps of a classifier. `box`: the whole
            boxes. `ellipse`: the ellipse in each box. `grabcut`: cut each object out of its box. `sam`: masks
            of a SAM network prompted with the boxes. `auto`: what the checkpoint is for, and without one
            `network`. Plug-ins add others.
        sam: SAM network for method=sam: a transformers folder, or a name on the Hugging Face hub.
        background: Background score, for bap and gap. `attention`: u_0. `activation`: the paper's "without
            u_0", 0 inside boxes and the background's own activation map outside.
        grid: Background queries per image for bap and gap: N × N; 1 takes a single query.
        class_map: For data with other classes than the classifier's: `voc_to_coco`, a YAML or JSON file, or a
            mapping {class of the data: class of the classifier}. Classes that it does not list are matched by
            name; `names` matches all by name. Classes without a match are labelled without the classifier, by 1
            - u_0. Without a class map, the classifier must know every class of the data.
        masks: Clean-up and form of the masks in masks.json.
        instances: For bap and gap: also write the masks of boxes in Y_crf and in Y_ret, as COCO results
            instances_y_crf.json and instances_y_ret.json.
        formats: Also write the labels for other programs, to OUT/FORMAT, with links to the photos: palette,
            voc, masks, coco, yolo-seg, cvat, label-studio, geotiff. `boxseg convert` has more options.
        corrections: What somebody said of masks in the report: the file that its page saves. A mask is replaced
            by another, or left out of the labels; only photos whose corrections changed are labelled anew.
            Without it, corrections that were made before are taken back.
        store: Where the results of photos go. `files`: to files of their own. `shards`: to tars of many photos,
            as webdataset reads them, in OUT/shards, with a Parquet file of masks for each, in OUT/masks;
            masks.json is not written then. It needs the extra `arrow`.
        shards: How large these tars are.
        crf: Dense CRF of the labels. masks.json is made without it; masks of bap and gap are cut out of its
            result.
    """

    method: LabelMethod | str = "auto"
    sam: str | None = None
    background: Literal["attention", "activation"] = "attention"
    grid: int = 1
    class_map: dict[str, str] | str | None = None
    masks: Masks = Masks()
    instances: bool = False
    formats: tuple[LabelFormat, ...] = ()
    corrections: Path | None = None
    store: Literal["files", "shards"] = "files"
    shards: Shards = Shards()
    crf: Crf = Crf()

    def __post_init__(self) -> None:
        require_name("label_method", "label.method", self.method)
        require(self.grid >= 1, f"label.grid must be at least 1, got {self.grid}")
        require(
            self.method != "sam" or bool(self.sam),
            "label.method=sam needs label.sam=…, a folder of a SAM or SAM 2 checkpoint or a name on the hub",
        )

    @property
    def by_network(self) -> bool:
        """Whether the mask network makes the labels where there is no checkpoint."""
        return self.method in ("auto", "network")

    @property
    def by_classifier(self) -> bool:
        """Whether a box classifier makes the labels, for which `run` trains one."""
        return self.method in ("bap", "gap")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Stage 3: a segmentation network from the labels.

    Args:
        loss: `nal` (noise-aware), `er` (entropy regularisation), `bs` (bootstrapping), `baseline` (only where
            Y_crf and Y_ret agree), `ce_crf` (Y_crf everywhere), `ce_ret` (Y_ret everywhere), or a plug-in's.
        weight: Weight λ of the loss on pixels where the two labels disagree.
        gamma: Exponent γ of the noise-aware confidence.
        detach_confidence: Stop the gradient through the noise-aware confidence σ.
        batch: Images per step.
        epochs: Passes over the data.
        min_iterations: Steps of these passes at least; few photos need more of them.
        iterations: Number of steps; replaces both.
        repeat_threshold: A class is rare if a smaller share of the photos shows it, and its photos are then
            seen sqrt(repeat_threshold / share) times as often as others (repeat-factor sampling of LVIS). The
            number of steps stays. 0 sees all photos equally often.
        poly_power: The learning rate falls with (1 - step / steps) to this power.
        optimiser: Learning rates of stage 3.
        augment: Random changes of training images in stage 3.
    """

    loss: LossName | str = "nal"
    weight: float = 0.1
    gamma: float = 7.0
    detach_confidence: bool = False
    batch: int = 20
    epochs: float = 45.0
    min_iterations: int = 200
    iterations: int | None = None
    repeat_threshold: float = 0.0
    poly_power: float = 0.9
    optimiser: Optimiser = Optimiser()
    augment: Augment = Augment()

    def __post_init__(self) -> None:
        require_name("loss", "segment.loss", self.loss)
        require(self.weight >= 0, f"segment.weight must be 0 or more, got {self.weight}")
        require_repeats("segment", self.repeat_threshold)
        require_schedule("segment", self.batch, self.epochs, self.iterations, self.min_iterations)
