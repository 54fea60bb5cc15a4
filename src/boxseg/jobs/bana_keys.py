"""What each key in a configuration of BANA's public code, or of its reproduction, means in boxseg.

These files are YAML with upper-case sections (DATA, MODEL, SOLVER), one file per stage. The table follows the
reproduction's README and, for other keys, the names that such files commonly use; it does not guess what an
unclear key means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boxseg.jobs.job import Stage

# Each of our options, and their keys for it. STAGE stands for the section of the stage.
_NAMES = {
    "trainer.seed": "SEED",
    "trainer.workers": "NUM_WORKERS WORKERS",
    "trainer.checkpoint_every": "ITER_SAVE",
    "data.root": "ROOT DATA_ROOT",
    "data.split": "SPLIT",
    "model.temperature": "TEMP TEMPERATURE",
    "STAGE.batch": "BATCH_SIZE BATCH",
    "STAGE.augment.crop": "CROP_SIZE INPUT_SIZE",
    "STAGE.augment.scale": "SCALE_RANGE",
    "STAGE.roi_bins": "ROI_SIZE",
    "STAGE.grid": "GRID_SIZE",
    "STAGE.optimiser.lr": "LR BASE_LR",
    "STAGE.optimiser.momentum": "MOMENTUM",
    "STAGE.optimiser.weight_decay": "WEIGHT_DECAY",
    "STAGE.iterations": "MAX_ITER ITER_MAX MAX_ITERS",
    "STAGE.epochs": "MAX_EPOCH EPOCHS",
    "STAGE.poly_power": "POWER",
    "segment.weight": "LAMBDA",
    "segment.gamma": "MODEL.GAMMA",
    "evaluate.scales": "TEST.SCALES",
    "evaluate.flip": "TEST.FLIP",
}
RENAMED = {theirs: ours for ours, names in _NAMES.items() for theirs in names.split()}

# In a section DCRF or CRF.
CRF_NAMES = {
    **dict.fromkeys(("ITER", "ITER_MAX", "ITERATIONS"), "iterations"),
    "POS_W": "gaussian_weight",
    "POS_XY_STD": "gaussian_sigma",
    "BI_W": "bilateral_weight",
    "BI_XY_STD": "sigma_xy",
    "BI_RGB_STD": "sigma_rgb",
}

# The paper's CRF_OPTIONS for the labels, VGG-16 and ResNet-101.
PUBLISHED_CRFS = ((4, 55, 3, 3, 3), (4, 121, 5, 3, 3), (4, 67, 3, 3, 1))
CRF_OPTIONS = ("bilateral_weight", "sigma_xy", "sigma_rgb", "gaussian_weight", "gaussian_sigma")


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a key becomes: our options with their values, if any, and a remark that explains it.

    A key is `lost` if boxseg does not take over what it says.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The file that a key is in: its stage of the method, and all its keys, dotted and in upper case."""

    stage: Stage
    keys: Mapping[str, Any]

    @property
    def mode(self) -> str:
        """DATA.MODE in lower case, `train` if there is none."""
        mode = self.last("MODE")
        return "train" if mode is None else str(mode).lower()

    @property
    def crf(self) -> str:
        """Our section for its CRF."""
        return "label.crf" if self.stage == "label" else "evaluate.crf"

    @property
    def labels_coco(self) -> bool:
        """Whether it labels COCO: for that, the reproduction's users change NUM_CLASSES in stage 2."""
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
        return Meaning(options={f"{seen.crf}.{CRF_NAMES[parts[-1]]}": value})
    for name in (".".join(parts[-2:]), parts[-1]):
        if name in SPECIAL:
            return SPECIAL[name](value, seen)
        if name in RENAMED:
            return Meaning(options={RENAMED[name].replace("STAGE", seen.stage): _square(value, RENAMED[name])})
    return _lost("unknown key")


def _lost(remark: str) -> Meaning:
    return Meaning(remark=remark, lost=True)


def _truth(value: Any) -> bool | None:
    return {"true": True, "false": False}.get(str(value).lower())


def _square(value: Any, option: str) -> Any:
    """A square crop by its side: 321 for (321, 321)."""
    if not option.endswith(".crop") or not isinstance(value, list) or not value:
        return value
    return value[0] if all(side == value[0] for side in value) else value


def _augmented(value: Any, seen: Seen) -> Meaning:
    if seen.last("SPLIT") is not None:
        return Meaning(remark="SPLIT sets the split")
    if seen.labels_coco:
        return Meaning(remark="for VOC only")
    if seen.mode != "train":
        return Meaning(remark=f"for training only; here MODE is {seen.mode}")
    augmented = _truth(value)
    if augmented is None:
        return _lost("expected True or False")
    split, images = ("train_aug", "10,582 images") if augmented else ("train", "1,464 images")
    return Meaning(options={"data.split": split}, remark=images)


def _mode(value: Any, seen: Seen) -> Meaning:
    verbs = {"train": "trains", "val": "scores: `boxseg evaluate`", "test": "for the server: `boxseg predict`"}
    if seen.mode not in verbs:
        return _lost("expected train, val or test")
    if seen.stage == "classify" and seen.mode != "train":
        return _lost("stage 1 has only training; name other photos by data.split")
    remark = verbs[seen.mode] if seen.stage == "segment" else "chooses the images"
    return Meaning(options={} if seen.mode == "train" else {"data.split": seen.mode}, remark=remark)


def _pooling(value: Any, seen: Seen) -> Meaning:
    if seen.stage == "label":
        return Meaning(remark="the classifier's file says how it was trained")
    gap = _truth(value)
    if gap is None:
        return _lost("expected True or False")
    return Meaning(options={"classify.pooling": "gap" if gap else "bap"})


def _crf(value: Any, seen: Seen) -> Meaning:
    if isinstance(value, bool):
        return Meaning(options={} if value else {f"{seen.crf}.iterations": 0}, remark="on" if value else "off")
    numbers = sorted(value) if isinstance(value, list) and all(map(_is_number, value)) else []
    for published in PUBLISHED_CRFS:
        options = dict(zip(CRF_OPTIONS, published, strict=True))
        for known in (options, {**options, "iterations": 10}):
            if numbers == sorted(known.values()):
                ours = {f"{seen.crf}.{name}": number for name, number in known.items()}
                return Meaning(options=ours, remark="the paper's numbers")
    return _lost(f"not the paper's numbers, and their order is not known: set {seen.crf}.* by hand")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _milestones(value: Any, seen: Seen) -> Meaning:
    if seen.stage != "classify":
        return _lost("boxseg lowers the learning rate by segment.poly_power")
    length = seen.last(*_NAMES["STAGE.iterations"].split())
    steps = value if isinstance(value, list) else [value]
    if not all(_is_number(number) and number > 0 for number in (length, *steps)):
        return _lost("boxseg takes shares of the schedule, whose length is missing here")
    shares = [round(step / length, 6) for step in steps]
    return Meaning(options={"classify.milestones": shares}, remark="as shares of the schedule")


def _decay(value: Any, seen: Seen) -> Meaning:
    if seen.stage != "classify":
        return _lost("boxseg lowers the learning rate by segment.poly_power")
    return Meaning(remark="the learning rate always falls to a tenth", lost=value != 0.1)


def _weights(value: Any, seen: Seen) -> Meaning:
    if seen.stage == "label" or seen.mode != "train":
        return _lost("BANA's checkpoints cannot be loaded; give checkpoint=… of a boxseg run")
    if isinstance(value, bool):
        value = "imagenet" if value else "none"
    return Meaning(options={"model.weights": str(value)})


def _backbone(value: Any, seen: Seen) -> Meaning:
    name = backbone_in(str(value))
    return Meaning(options={"model.backbone": name}) if name else _lost("unknown network")


def backbone_in(text: str) -> str | None:
    """The backbone that a name mentions."""
    text = text.lower()
    if "50" in text and "res" in text:
        return "resnet50"
    if any(part in text for part in ("res", "aspp")):
        return "resnet101"
    return "vgg16" if any(part in text for part in ("vgg", "fov")) else None


def _remark(text: str) -> Callable[[Any, Seen], Meaning]:
    return lambda value, seen: Meaning(remark=text)


SPECIAL: dict[str, Callable[[Any, Seen], Meaning]] = {
    "AUG": _augmented,
    "MODE": _mode,
    "GAP": _pooling,
    "LOSS": lambda value, seen: Meaning(options={"segment.loss": str(value).lower()}),
    "NUM_CLASSES": lambda value, seen: Meaning(
        remark="COCO, by a VOC classifier" if seen.labels_coco else "the data set gives it"
    ),
    **dict.fromkeys(("DCRF", "CRF"), _crf),
    "MILESTONES": _milestones,
    "SOLVER.GAMMA": _decay,
    **dict.fromkeys(("WEIGHTS", "PRETRAINED"), _weights),
    **dict.fromkeys(("BACKBONE", "ARCH", "MODEL.NAME"), _backbone),
    **dict.fromkeys(("NAME", "OUTPUT_DIR", "SAVE_DIR"), _remark("out=… of the command")),
    "STDOUT_PRINT": _remark("progress is always shown"),
}
