"""The photos of the report: which are shown, on which page, their labels and the labels' scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from math import ceil
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import atomic_path
from boxseg.config import Report
from boxseg.data.geometry import background_map
from boxseg.data.labels import confront
from boxseg.dataset import IGNORE, Sample
from boxseg.documents import Readable
from boxseg.errors import DataError
from boxseg.formats.images import sample_image
from boxseg.formats.samples import chosen
from boxseg.inference.multiscale import write_predictions
from boxseg.inference.networks import KeptSegmenter, check_classes
from boxseg.inference.threads import Skipped
from boxseg.progress import track
from boxseg.reporting.html.page import Gallery, GalleryPhoto, Layer, Mark
from boxseg.reporting.html.pictures import data_uri, fit, label_png, photo_jpeg, reliable_png, shrink_labels
from boxseg.reporting.marks import read_marks
from boxseg.reporting.parts import Parts, Split
from boxseg.runs.layout import AGREED, FINAL, PAIR, Y_CRF, Y_RET, masks_of_boxes
from boxseg.scoring.confusion import ConfusionMatrix
from boxseg.scoring.label_scores import read_truth
from boxseg.wording import counted_of

Labels = NDArray[np.uint8]

LAYERS = (
    Layer(key="photo", name="photo", short="photo", help="The photo alone"),
    Layer(key="boxes", name="boxes", short="boxes", help="The boxes that were given"),
    Layer(key=Y_CRF, name="labels by CRF", short="CRF", help="Labels after the dense CRF: Y_crf of the paper"),
    Layer(
        key=Y_RET,
        name="labels by retrieval",
        short="retrieval",
        help="Labels by comparing every pixel with the mean of each class: Y_ret of the paper",
    ),
    Layer(key=FINAL, name="labels", short="labels", help="Labels"),
    Layer(
        key="reliable",
        name="reliable region",
        short="reliable",
        help="Labels where both ways to make them agree; stripes where they do not",
    ),
    Layer(key="prediction", name="prediction", short="pred", help="What the segmentation network says"),
    Layer(key="ground_truth", name="ground truth", short="truth", help="Annotated masks; white is not scored"),
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The gallery of a page, and the sums over its photos and those of the pages before it.

    Attributes:
        confusion: By split and layer: counts of the shown photos that have ground truth.
        skipped: Photos that could not be read, with the reason.
        agreed: Shares of the pixels on which the labels of photos agree.
        pages: How many pages there are.
    """

    gallery: Gallery
    confusion: dict[tuple[str, str], ConfusionMatrix] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    agreed: list[float] = field(default_factory=list)
    pages: int = 1


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A photo with its labels (H, W) by layer and the masks of its boxes, and why others could not be read."""

    sample: Sample
    image: NDArray[np.uint8]
    layers: dict[str, Labels]
    marks: tuple[Mark, ...] | None
    wrong: str


def make_galleries(parts: Parts, options: Report, files: Path, network: KeptSegmenter) -> Iterator[Shown]:
    """Choose photos, predict those without a prediction, and gather what each page shows.

    A page is done when the next is asked for, so that memory holds the photos of one. There is none without a
    photo to show.

    Args:
        parts: The parts of the run.
        options: How many photos, of what size.
        files: Folder for originals, beside the page.
        network: The network of the run, which may not exist yet.

    Raises:
        CheckpointError: The network cannot be used, or has other classes than the data.
    """
    chosen = [(split, choose(split, share)) for split, share in _shares(parts.splits, options.max_photos)]
    work = [(split, sample) for split, samples in chosen for sample in samples]
    skipped: dict[str, str] = {}
    if options.predict:
        for split, samples in chosen:
            skipped |= predict_missing(parts, network, split, samples)
    classes = parts.splits[0].dataset.classes if parts.splits else ()
    opened = track(_open_all(work, len(classes), options.size), "report", total=len(work))
    every = zip(work, opened, strict=True)
    shown = Shown(gallery=Gallery(classes=classes, layers=(), photos=(), counts=""), skipped=skipped)
    size = options.per_page or max(1, len(work))
    pages = ceil(len(work) / size)
    for number in range(pages):
        photos = list(_described(islice(every, size), shown, options, files, number * size))
        if number == pages - 1:
            next(every, None)  # ends the bar
        counts = _counts(photos, [split for split, samples in chosen if samples])
        if pages > 1:
            counts = f"Photos {number * size + 1} to {min(len(work), (number + 1) * size)} of {len(work)}."
        gallery = Gallery(
            classes=classes, layers=_used(parts.splits, photos), photos=tuple(photos), counts=counts
        )
        shown.agreed.extend(photo.agreement[0] for photo in photos if photo.agreement)
        yield replace(shown, gallery=gallery, pages=pages)


def _described(
    every: Iterable[tuple[tuple[Split, Sample], _Opened | Skipped]],
    shown: Shown,
    options: Report,
    files: Path,
    first: int,
) -> Iterator[GalleryPhoto]:
    """Photos as a page shows them; what is counted of them is added to what has been shown."""
    classes, confusion = shown.gallery.classes, shown.confusion
    for place, ((split, sample), opened) in enumerate(every):
        if isinstance(opened, Skipped):
            shown.skipped[sample.id] = opened.reason
            continue
        if opened.wrong:
            shown.skipped[sample.id] = opened.wrong
        counted = count_layers(opened, classes)
        for key, counts in counted.items():
            at = (split.dataset.split, key)
            confusion[at] = confusion[at] + counts if at in confusion else counts
        photo = describe(split, opened, counted, options)
        if options.originals:
            photo = replace(photo, originals=write_originals(files, first + place, split, opened, first > 0))
        yield photo


def _used(splits: Sequence[Split], photos: Sequence[GalleryPhoto]) -> tuple[Layer, ...]:
    """The layers that some photo has."""
    used = {key for photo in photos for key in photo.pictures}
    used |= {"boxes"} if any(photo.boxes for photo in photos) else set()
    return tuple(layer for layer in _layers(splits) if layer.key in used)


def _layers(splits: Sequence[Split]) -> list[Layer]:
    """Layers to show; if labels have several sources, their folders name them."""
    layers = {layer.key: layer for layer in LAYERS}
    reliable = layers.pop("reliable")
    last = [layers.pop(key) for key in ("prediction", "ground_truth")]
    for split in splits:
        several = len({masks.path for key, masks in split.sources.items() if key != "prediction"}) > 1
        for key, masks in split.sources.items():
            path = masks.path
            if several and is_drawn(key) and key not in (*PAIR, "prediction"):
                name = "/".join(path.parts[-2:])
                layers[key] = Layer(key=key, name=name, short=path.name, help=f"Labels in {path}")
    return [*layers.values(), reliable, *last]


def is_drawn(key: str) -> bool:
    """Whether a layer has a picture and scores; agreed labels only say where others are reliable."""
    return not key.startswith(AGREED)


def _shares(splits: Sequence[Split], photos: int) -> Iterator[tuple[Split, int]]:
    """Photos of each split: equal shares; what a small split cannot use goes to the others."""
    shares = dict.fromkeys(range(len(splits)), 0)
    by_size = sorted(shares, key=lambda place: len(splits[place].dataset))
    for done, place in enumerate(by_size):
        left = photos - sum(shares.values())
        shares[place] = min(len(splits[place].dataset), left // (len(splits) - done))
    yield from zip(splits, shares.values(), strict=True)


def _counts(photos: Sequence[GalleryPhoto], splits: Sequence[Split]) -> str:
    parts = []
    for split in splits:
        count = sum(photo.split == split.dataset.split for photo in photos)
        parts.append(f"{counted_of(count, len(split.dataset), 'photo')} of {split.dataset.split}")
    more = len(photos) < sum(len(split.dataset) for split in splits)
    return ", ".join(parts) + (": evenly drawn, max_photos=… shows more." if more else ".")


def choose(split: Split, photos: int) -> list[Sample]:
    """This many photos of a split, evenly spaced; if some have labels, only from those."""
    sources = [masks for key, masks in split.sources.items() if key != "prediction"]
    every = split.dataset.samples
    labelled = chosen(every, (any(masks.has(s.id) for masks in sources) for s in every))
    samples = labelled or every
    places = np.linspace(0, len(samples) - 1, min(photos, len(samples))).round().astype(int)
    return [samples[place] for place in places]


def predict_missing(
    parts: Parts, network: KeptSegmenter, split: Split, samples: Sequence[Sample]
) -> dict[str, str]:
    """Predict the photos that have no prediction yet; returns unreadable ones, with the reason."""
    predicted = split.sources.get("prediction")
    if predicted is None or not network.path.is_file():
        return {}
    lacking = [sample for sample in samples if not predicted.has(sample.id)]
    if not lacking:
        return {}
    check_classes(network.loaded.classes, split.dataset, network.path)
    return write_predictions(network.loaded, lacking, predicted.path, parts.evaluate, parts.trainer)


def _open_all(work: Sequence[tuple[Split, Sample]], classes: int, size: int) -> Iterator[_Opened | Skipped]:
    """Photos with their labels, in order, read ahead eight at a time: all would fill the memory."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(work), 8):
            yield from pool.map(lambda item: _open(item[0], item[1], classes, size), work[start : start + 8])


def _open(split: Split, sample: Sample, classes: int, size: int) -> _Opened | Skipped:
    try:
        image = sample_image(sample)
    except DataError as error:
        return Skipped(str(error))
    layers: dict[str, Labels] = {}
    wrong = ""
    for key, masks in split.sources.items():
        if not masks.has(sample.id):
            continue
        try:
            layers[key] = _sized(masks.read(sample.id, classes), image, masks.file(sample.id))
        except DataError as error:
            wrong = str(error)
    if sample.ground_truth is not None:
        try:
            layers["ground_truth"] = read_truth(sample)
        except DataError as error:
            wrong = str(error)
    marks = None
    try:
        marks = _marks(split, sample, size)
    except DataError as error:
        wrong = str(error)
    return _Opened(sample=sample, image=image, layers=layers, marks=marks, wrong=wrong)


def _marks(split: Split, sample: Sample, size: int) -> tuple[Mark, ...] | None:
    """What the page shows of the masks of a photo's boxes, if there are any."""
    item = masks_of_boxes(split.masks, sample) if split.masks is not None else None
    if item is None or not item.is_file():
        return None
    return read_marks(item, sample, tolerance=max(sample.width, sample.height) / size / 2)


def _sized(labels: Labels, image: NDArray[np.uint8], file: Readable) -> Labels:
    if labels.shape != image.shape[:2]:
        raise DataError(
            f"{file} is {labels.shape[1]}x{labels.shape[0]} pixels, its photo {image.shape[1]}x{image.shape[0]}"
        )
    return labels


def count_layers(opened: _Opened, classes: tuple[str, ...]) -> dict[str, ConfusionMatrix]:
    """Confusion of a photo's layers with its ground truth; empty without one."""
    truth = opened.layers.get("ground_truth")
    if truth is None or (truth == IGNORE).all():
        return {}
    counted = {
        key: ConfusionMatrix(classes) for key in opened.layers if is_drawn(key) and key != "ground_truth"
    }
    for key, matrix in counted.items():
        matrix.update(opened.layers[key], truth)
    return counted


def describe(
    split: Split, opened: _Opened, counted: dict[str, ConfusionMatrix], options: Report
) -> GalleryPhoto:
    """A photo as the page shows it; `counted` is from `count_layers`."""
    sample, layers = opened.sample, opened.layers
    present = set(sample.labels.tolist())
    if "ground_truth" in layers:
        present |= set(np.unique(layers["ground_truth"]).tolist()) - {0, IGNORE}
    size = fit(sample.width, sample.height, options.size)
    return GalleryPhoto(
        id=sample.id,
        split=split.dataset.split,
        size=(sample.width, sample.height),
        boxes=[
            (float(box[0]), float(box[1]), float(box[2]), float(box[3]), int(label))
            for box, label in zip(sample.boxes, sample.labels, strict=True)
        ],
        classes=sorted(present),
        agreement=agreement(*both, sample) if (both := compared(split, layers)) else None,
        iou={key: photo_iou(counts) for key, counts in counted.items()},
        pictures={
            "photo": data_uri("jpeg", photo_jpeg(opened.image, size)),
            **{key: data_uri("png", content) for key, content in label_pictures(split, layers, size).items()},
        },
        marks=opened.marks,
    )


def photo_iou(counted: ConfusionMatrix) -> dict[str, float]:
    """IoU of one photo by class number, and their "mean" over the classes that truth or labels have."""
    scores = counted.scores()
    values = {str(place): value for place, value in enumerate(scores.iou.values()) if value is not None}
    return {"mean": scores.miou, **values}


def agreement(y_crf: Labels, y_ret: Labels, sample: Sample) -> tuple[float, float]:
    """Share of the pixels on which Y_crf and Y_ret (H, W) agree: in the photo, and inside its boxes.

    Pixels that Y_crf leaves at 255 are not counted.
    """
    inside = ~background_map(sample.boxes, sample.height, sample.width)
    agree, counted = y_crf == y_ret, y_crf != IGNORE
    shares = [
        float((agree & region).sum() / region.sum()) if region.any() else 1.0
        for region in (counted, counted & inside)
    ]
    return shares[0], shares[1]


def label_pictures(split: Split, layers: dict[str, Labels], size: tuple[int, int]) -> dict[str, bytes]:
    """PNG of each layer, and of the reliable region, at `size` (width, height) pixels."""
    small = {key: shrink_labels(labels, size) for key, labels in layers.items()}
    pictures = {key: label_png(labels) for key, labels in small.items() if is_drawn(key)}
    if both := compared(split, small):
        pictures["reliable"] = reliable_png(*both)
    return pictures


def compared(split: Split, layers: dict[str, Labels]) -> tuple[Labels, Labels] | None:
    """Labels as the losses compare them, in the roles of Y_crf and Y_ret; None if one is missing."""
    if len(split.compared) < 2 or not all(key in layers for key in split.compared):
        return None
    return confront([layers[key] for key in split.compared])


def write_originals(
    files: Path, number: int, split: Split, opened: _Opened, inside: bool = False
) -> dict[str, str]:
    """Write a photo and its labels in full size; returns their addresses for the page, by layer.

    `inside` says that the page is in the folder of these files, not beside it.
    """
    size = (opened.sample.width, opened.sample.height)
    # Numbered: names from the data may not be valid in addresses or file systems.
    contents = {"photo.jpg": photo_jpeg(opened.image, size, quality=92)}
    contents |= {f"{key}.png": content for key, content in label_pictures(split, opened.layers, size).items()}
    addresses = {}
    for name, content in contents.items():
        path = files / f"{number:05d}-{name}"
        with atomic_path(path, sync=False) as temporary:
            temporary.write_bytes(content)
        addresses[Path(name).stem] = quote(path.name if inside else f"{files.name}/{path.name}")
    return addresses
