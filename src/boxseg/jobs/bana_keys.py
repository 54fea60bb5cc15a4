"""What each key of a configuration of BANA's public code, or of its reproduction, means here.

Their files are YAML with upper-case sections (DATA, MODEL, SOLVER), one file a stage. This is written from what
the reproduction's README says of its keys, and for the rest from the names such files commonly use; where a key
does not say what it means, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["classify", "label", "segment"]

# Our option for the last part of their key; STAGE stands for the section of the stage.
RENAMED = {
    "SEED": "trainer.seed",
    "ROOT": "data.root",
    "DATA_ROOT": "data.root",
    "NUM_WORKERS": "trainer.workers",
    "WORKERS": "trainer.workers",
    "BATCH_SIZE": "STAGE.batch",
    "BATCH": "STAGE.batch",
    "CROP_SIZE": "STAGE.augment.crop",
    "INPUT_SIZE": "STAGE.augment.crop",
    "SCALE_RANGE": "STAGE.augment.scale",
    "ROI_SIZE": "STAGE.roi_bins",
    "GRID_SIZE": "STAGE.grid",
    "TEMP": "model.temperature",
    "TEMPERATURE": "model.temperature",
    "LAMBDA": "segment.weight",
    "LR": "STAGE.optimiser.lr",
    "BASE_LR": "STAGE.optimiser.lr",
    "MOMENTUM": "STAGE.optimiser.momentum",
    "WEIGHT_DECAY": "STAGE.optimiser.weight_decay",
    "MAX_ITER": "STAGE.iterations",
    "ITER_MAX": "STAGE.iterations",
    "MAX_ITERS": "STAGE.iterations",
    "MAX_EPOCH": "STAGE.epochs",
    "EPOCHS": "STAGE.epochs",
    "POWER": "STAGE.poly_power",
    "ITER_SAVE": "trainer.checkpoint_every",
    "TEST.SCALES": "evaluate.scales",
    "TEST.FLIP": "evaluate.flip",
}

# Below a section DCRF or CRF.
CRF_NAMES = {
    "ITER": "iterations",
    "ITER_MAX": "iterations",
    "ITERATIONS": "iterations",
    "POS_W": "gaussian_weight",
    "POS_XY_STD": "gaussian_sigma",
    "BI_W": "bilateral_weight",
    "BI_XY_STD": "sigma_xy",
    "BI_RGB_STD": "sigma_rgb",
}

# bilateral weight, its σ_xy and σ_rgb, Gaussian weight and σ: labels, VGG-16 and ResNet-101 in the paper.
PUBLISHED_CRFS = ((4, 55, 3, 3, 3), (4, 121, 5, 3, 3), (4, 67, 3, 3, 1))
CRF_OPTIONS = ("bilateral_weight", "sigma_xy", "sigma_rgb", "gaussian_weight", "gaussian_sigma")


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a key becomes.

    Args:
        options: Our options and their values; none where there is nothing to set.
        remark: Why, in a few words.
        lost: Whether the key says something that boxseg does not take over.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    lost: bool = False


NEITHER = Meaning(remark="expected True or False", lost=True)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The file that a key stands in.

    Args:
        stage: Of the method.
        mode: DATA.MODE in lower case, `train` where there is none.
        keys: All its keys, dotted, in upper case.
    """

    stage: Stage
    mode: str
    keys: Mapping[str, Any]

    @property
    def labels_coco(self) -> bool:
        """Whether it labels COCO: the reproduction has its users change NUM_CLASSES in stage 2 for that."""
        return self.stage == "label" and self.last("NUM_CLASSES") in (80, 81)

    def last(self, *names: str) -> Any:
        """The value of the first key that ends in one of these names, or None."""
        return next((value for key, value in self.keys.items() if key.split(".")[-1] in names), None)


def meaning_of(key: str, value: Any, seen: Seen) -> Meaning:
    """What a key (dotted, upper case) becomes; unknown keys are lost."""
    parts = key.split(".")
    if value is None:
        return Meaning(remark="empty")
    if len(parts) > 1 and parts[-2] in ("DCRF", "CRF") and parts[-1] in CRF_NAMES:
        return Meaning(options={f"{_crf_section(seen)}.{CRF_NAMES[parts[-1]]}": value})
    for name in (".".join(parts[-2:]), parts[-1]):
        if name in SPECIAL:
            return SPECIAL[name](value, seen)
        if name in RENAMED:
            return Meaning(options={RENAMED[name].replace("STAGE", seen.stage): _square(value, RENAMED[name])})
    return Meaning(remark="unknown key", lost=True)


def _truth(value: Any) -> bool | None:
    """Whether a switch is on; None where its value does not say."""
    return {"true": True, "false": False}.get(str(value).lower())


def _square(value: Any, option: str) -> Any:
    """Crops are square: 321 for (321, 321)."""
    if not option.endswith(".crop") or not isinstance(value, list) or not value:
        return value
    return value[0] if all(side == value[0] for side in value) else value


def _augmented(value: Any, seen: Seen) -> Meaning:
    if seen.last("SPLIT") is not None:
        return Meaning(remark="SPLIT says it")
    if seen.labels_coco:
        return Meaning(remark="of VOC alone")
    if seen.mode != "train":
        return Meaning(remark=f"says what was trained on; here MODE is {seen.mode}")
    augmented = _truth(value)
    if augmented is None:
        return NEITHER
    images = "10,582 images" if augmented else "1,464 images"
    return Meaning(options={"data.split": "train_aug" if augmented else "train"}, remark=images)


def _mode(value: Any, seen: Seen) -> Meaning:
    verbs = {"train": "trains", "val": "scores: `boxseg evaluate`", "test": "for the server: `boxseg predict`"}
    if seen.mode not in verbs:
        return Meaning(remark="expected train, val or test", lost=True)
    if seen.stage == "classify" and seen.mode != "train":
        return Meaning(remark="stage 1 has only training; name other photos by data.split", lost=True)
    remark = verbs[seen.mode] if seen.stage == "segment" else "which images"
    return Meaning(options={} if seen.mode == "train" else {"data.split": seen.mode}, remark=remark)


def _pooling(value: Any, seen: Seen) -> Meaning:
    if seen.stage == "label":
        return Meaning(remark="the classifier's file says how it was trained")
    gap = _truth(value)
    return NEITHER if gap is None else Meaning(options={"classify.pooling": "gap" if gap else "bap"})


def _loss(value: Any, seen: Seen) -> Meaning:
    return Meaning(options={"segment.loss": str(value).lower()})


def _classes(value: Any, seen: Seen) -> Meaning:
    return Meaning(remark="COCO, by a VOC classifier" if seen.labels_coco else "the data set says it")


def _crf_section(seen: Seen) -> str:
    return "label.crf" if seen.stage == "label" else "evaluate.crf"


def _crf(value: Any, seen: Seen) -> Meaning:
    section = _crf_section(seen)
    if isinstance(value, bool):
        return Meaning(options={} if value else {f"{section}.iterations": 0}, remark="on" if value else "off")
    numbers = sorted(value) if isinstance(value, list) and all(map(_is_number, value)) else []
    for published in PUBLISHED_CRFS:
        options = dict(zip(CRF_OPTIONS, published, strict=True))
        for known in (options, {**options, "iterations": 10}):
            if numbers == sorted(known.values()):
                return Meaning(
                    options={f"{section}.{name}": number for name, number in known.items()},
                    remark="the paper's numbers",
                )
    return Meaning(
        remark=f"which number is which is not known, and they are not the paper's: set {section}.* by hand",
        lost=True,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _milestones(value: Any, seen: Seen) -> Meaning:
    if seen.stage != "classify":
        return Meaning(remark="the learning rate falls by poly_power here", lost=True)
    length = seen.last("MAX_ITER", "ITER_MAX", "MAX_ITERS")
    steps = value if isinstance(value, list) else [value]
    if not all(_is_number(number) and number > 0 for number in (length, *steps)):
        return Meaning(remark="shares of the schedule here, and its length is not given", lost=True)
    return Meaning(
        options={"classify.milestones": [round(step / length, 6) for step in steps]},
        remark="as shares of the schedule",
    )


def _decay(value: Any, seen: Seen) -> Meaning:
    if seen.stage != "classify":
        return Meaning(remark="the learning rate falls by poly_power here", lost=True)
    return Meaning(remark="the learning rate always falls to a tenth", lost=value != 0.1)


def _weights(value: Any, seen: Seen) -> Meaning:
    if seen.stage == "label" or seen.mode != "train":
        return Meaning(remark="their checkpoints do not load; give checkpoint=… of a run of boxseg", lost=True)
    if isinstance(value, bool):
        return Meaning(options={"model.weights": "imagenet" if value else "none"})
    return Meaning(options={"model.weights": str(value)})


def _backbone(value: Any, seen: Seen) -> Meaning:
    name = backbone_in(str(value))
    if name is None:
        return Meaning(remark="unknown network", lost=True)
    return Meaning(options={"model.backbone": name})


def backbone_in(text: str) -> str | None:
    """The backbone that a name speaks of."""
    text = text.lower()
    if "50" in text and "res" in text:
        return "resnet50"
    if any(part in text for part in ("res", "aspp")):
        return "resnet101"
    return "vgg16" if any(part in text for part in ("vgg", "fov")) else None


def _in_command(value: Any, seen: Seen) -> Meaning:
    return Meaning(remark="out=… of the command")


def _shown(value: Any, seen: Seen) -> Meaning:
    return Meaning(remark="progress is always shown")


SPECIAL: dict[str, Callable[[Any, Seen], Meaning]] = {
    "AUG": _augmented,
    "MODE": _mode,
    "SPLIT": lambda value, seen: Meaning(options={"data.split": value}),
    "GAP": _pooling,
    "LOSS": _loss,
    "NUM_CLASSES": _classes,
    "DCRF": _crf,
    "CRF": _crf,
    "MILESTONES": _milestones,
    "SOLVER.GAMMA": _decay,
    "MODEL.GAMMA": lambda value, seen: Meaning(options={"segment.gamma": value}),
    "WEIGHTS": _weights,
    "PRETRAINED": _weights,
    "BACKBONE": _backbone,
    "ARCH": _backbone,
    "MODEL.NAME": _backbone,
    "NAME": _in_command,
    "OUTPUT_DIR": _in_command,
    "SAVE_DIR": _in_command,
    "STDOUT_PRINT": _shown,
}
