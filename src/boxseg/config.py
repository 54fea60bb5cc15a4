"""Every option of boxseg and its default: the single source for the command line, YAML and Python.

A section is a frozen dataclass; the Args of its docstring are the help texts. The defaults suit a
small data set on a laptop; the papers' schedules are the recipes in `configs/`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from boxseg.errors import did_you_mean, require, require_schedule

# `field(metadata=POSITIONAL)` marks options that the command line also takes as bare words.
POSITIONAL = {"positional": True}

BackboneName = Literal["efficientnet_lite0", "vgg16", "resnet50", "resnet101"]
# Whose models a backbone may be, by the word before the colon.
LIBRARIES = ("hf", "timm")
LabelMethod = Literal["auto", "bap", "gap", "box", "grabcut", "sam"]
LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]
# Lightning's, by their names and the short ones that it takes for them.
PRECISIONS = (
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "bf16", "64",
    "transformer-engine", "transformer-engine-float16",
)  # fmt: skip
# Its short names, and what they mean: two names of one thing are no two runs.
SHORT_PRECISIONS = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
LossName = Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"]
LabelFormat = Literal["palette", "voc", "masks", "coco", "yolo-seg"]


def require_backbone(name: str, stage: int | None) -> None:
    """Check the name of a backbone: one of boxseg's own, or hf:NAME, timm:NAME."""
    known = get_args(BackboneName)
    library, _, model = name.partition(":")
    require(
        name in known or (library in LIBRARIES and bool(model)),
        f"unknown model.backbone={name}{did_you_mean(name, known)} (one of {', '.join(known)}; hf:NAME of "
        "transformers, a model of its hub or a folder; or timm:NAME)",
    )
    require(stage is None or stage >= 1, f"model.stage must be 1 or more, got {stage}")
    require(stage is None or bool(model), f"model.stage is for hf: and timm: backbones, {name} has none")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Photos with boxes.

    Args:
        root: Folder of the data set.
        format: How it is annotated; `auto` recognises it.
        split: Images to work on: a list in ImageSets/Segmentation (VOC), an annotation file
            `instances_SPLIT.json` (COCO), an entry of data.yaml (YOLO), a subset or a file SPLIT.xml (CVAT), a
            file SPLIT.json (Label Studio).
        val_split: Images that `run` scores the network on; empty for none.
        annotations: COCO, CVAT, Label Studio: annotation file, relative to root, instead of the one found by
            split.
        images: COCO, CVAT, Label Studio: image folder, relative to root, instead of the one found.
        masks: Folder of ground-truth masks ID.png, relative to root, instead of the data set's own.
        limit: Use only the first so many images.
    """

    root: Path
    format: Literal["auto", "voc", "coco", "yolo", "cvat", "label-studio"] = "auto"
    split: str = "train"
    val_split: str = "val"
    annotations: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit > 0, f"data.limit must be positive, got {self.limit}")

    def with_split(self, split: str) -> Data:
        """Another split of the data set; annotations and images named for this one do not hold for it."""
        if split == self.split:
            return self
        return replace(self, split=split, annotations=None, images=None)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network below the classifiers.

    Args:
        backbone: Feature extractor: `efficientnet_lite0`, `vgg16`, `resnet50`, `resnet101`; `hf:NAME` for a
            model of transformers (a name on its hub, or a folder), `timm:NAME` for one of timm.
        weights: `default` (embedded ImageNet weights for efficientnet_lite0, those published under its name for
            `hf:` and `timm:`, otherwise `imagenet`), `imagenet` (downloads torchvision's file), `none`
            (random), or a file (.safetensors, .pth) in the names of torchvision, Caffe or deeplab-pytorch.
        freeze: Train what is above the backbone only: less time and memory a step.
        stage: `hf:` and `timm:` only: take the features of this stage, counted from 1, instead of the last.
        fully_connected: fc6 and fc7 of a full VGG-16: `subsample` them to 1,024 channels as DeepLab did, or
            start them `fresh`.
        preprocessing: What the weights expect of a photo: `torchvision` (RGB, ImageNet's mean and deviation),
            `caffe` (BGR, 0..255, mean subtracted), or `auto`: as the names in the file suggest.
        head: `largefov` (DeepLab v1), `aspp` (DeepLab v2), or `auto`: aspp for ResNets, else largefov.
        batch_norm: `frozen` keeps the pretrained statistics while training, `train` updates them.
        temperature: T of the cosine classifier.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    freeze: bool = False
    stage: int | None = None
    fully_connected: Literal["subsample", "fresh"] = "subsample"
    preprocessing: Literal["auto", "torchvision", "caffe"] = "auto"
    head: Literal["auto", "largefov", "aspp"] = "auto"
    batch_norm: Literal["frozen", "train"] = "frozen"
    temperature: float = 20.0

    def __post_init__(self) -> None:
        require_backbone(self.backbone, self.stage)
        require(self.temperature > 0, f"model.temperature must be positive, got {self.temperature}")


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Where and how the networks run.

    Args:
        accelerator: Lightning's name of a device kind: auto, cpu, gpu, mps …
        devices: How many of them, or `auto`. Every stage works in a process for each, on a CPU too, where the
            processes share its cores and `auto` is one. Trainings share each batch among them.
        precision: Lightning's precision: 32-true, bf16-mixed, 16-mixed …
        accumulate: A training computes each batch in so many parts, one after the other: the memory of a part,
            the step of the whole.
        loggers: Where the curves of a training go, one or a list: csv (history.csv, in any case), tensorboard,
            wandb, mlflow.
        workers: Data-loading processes; `-1` chooses by the number of cores.
        seed: Seed of every random draw; the same seed gives the same bytes on the same machine.
        checkpoint_every: Iterations between two resumable checkpoints, of the schedule at full length.
    """

    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    precision: str = "32-true"
    accumulate: int = 1
    loggers: LoggerName | list[LoggerName] = "csv"
    workers: int = -1
    seed: int = 0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        require(
            self.devices == "auto" or self.devices >= 1,
            f"trainer.devices must be 1 or more, got {self.devices}",
        )
        require(
            str(self.precision) in PRECISIONS,
            f"unknown trainer.precision={self.precision}{did_you_mean(str(self.precision), PRECISIONS)} "
            f"(one of {', '.join(PRECISIONS)})",
        )
        named = str(self.precision)
        object.__setattr__(self, "precision", SHORT_PRECISIONS.get(named, named))
        require(self.accumulate >= 1, f"trainer.accumulate must be 1 or more, got {self.accumulate}")
        require(self.workers >= -1, f"trainer.workers must be -1 (choose), 0 or more, got {self.workers}")
        require(
            self.checkpoint_every > 0, f"trainer.checkpoint_every must be positive, got {self.checkpoint_every}"
        )
        # torch's generators take 64 bits, in which the steps of a training have to find room beside the seed.
        require(0 <= self.seed < 2**32, f"trainer.seed must be 0 or more and below {2**32}, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """SGD with the papers' learning-rate multipliers: 1 weights, 2 biases, 10 new weights, 20 new biases.

    Args:
        lr: Learning rate of pretrained weights.
        momentum: Momentum.
        weight_decay: On weights; biases have none.
        new_lr: Multiplier of layers that start from random weights.
        bias_lr: Multiplier of biases.
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
    """Random changes of a training image, in this order.

    Args:
        crop: Side of the square training crop, pixels.
        scale: Smallest and largest random scale.
        flip: Probability of a horizontal flip.
        jitter: Strength of random brightness, contrast and saturation.
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
class Crf:
    """Dense CRF (Krähenbühl and Koltun, 2011) on the raw photo.

    Args:
        bilateral_weight: Weight of the position-and-colour kernel.
        sigma_xy: Its reach, pixels.
        sigma_rgb: Its colour tolerance, 0..255.
        gaussian_weight: Weight of the position kernel.
        gaussian_sigma: Its reach, pixels.
        iterations: Mean-field iterations; 0 switches the CRF off.
        enabled: Whether there is a CRF at all; `crf=false` on the command line.
    """

    bilateral_weight: float = 4.0
    sigma_xy: float = 55.0
    sigma_rgb: float = 3.0
    gaussian_weight: float = 3.0
    gaussian_sigma: float = 3.0
    iterations: int = 10
    enabled: bool = True

    def __post_init__(self) -> None:
        for name in ("sigma_xy", "sigma_rgb", "gaussian_sigma"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"crf.{name} must be positive, got {value}")
        for name in ("bilateral_weight", "gaussian_weight"):
            value = getattr(self, name)
            require(math.isfinite(value), f"crf.{name} must be a number, got {value}")
        require(self.iterations >= 0, f"crf.iterations must be 0 (no CRF) or more, got {self.iterations}")

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.enabled and self.iterations > 0


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


@dataclass(frozen=True, kw_only=True)
class Report:
    """The page that shows a run.

    Args:
        photos: Photos in its gallery, half of them of the validation split, evenly drawn; 0 for none.
        size: Longer side of a photo in the page, pixels.
        originals: Also write the shown photos and labels in their own size, into NAME-files/ beside the page
            NAME.html; its detail view then shows these.
        predict: Let the network predict the shown photos that it has not predicted yet.
    """

    photos: int = 200
    size: int = 480
    originals: bool = False
    predict: bool = True

    def __post_init__(self) -> None:
        require(self.photos >= 0, f"report.photos must be 0 or more, got {self.photos}")
        require(self.size >= 16, f"report.size must be at least 16 pixels, got {self.size}")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Test-time options, for scoring and for prediction.

    Args:
        scales: The image is seen at each of these scales; logits are averaged.
        flip: Also see it mirrored.
        tta: Whether to do either; `false` sees the image once, as it is, in a tenth of the time.
        tile: Photos longer than so many pixels are seen in windows of that side, which overlap by an eighth and
            are blended, 64 or more; 0 for never. `auto` sees photos whole, up to 34 megapixels with 15 classes
            and fewer with more (2 GB of probabilities), and larger ones in windows of 2048.
        crf: Dense CRF after the network.
    """

    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5)
    flip: bool = True
    tta: bool = True
    tile: int | Literal["auto"] = "auto"
    crf: Crf = field(default_factory=lambda: Crf(sigma_xy=121.0, sigma_rgb=5.0))

    def __post_init__(self) -> None:
        require(
            bool(self.scales) and min(self.scales) > 0,
            f"evaluate.scales must be positive, got {list(self.scales)}",
        )
        require(
            self.tile == "auto" or self.tile == 0 or self.tile >= 64,
            f"evaluate.tile must be 64 pixels or more, 0 (never) or auto, got {self.tile}",
        )
