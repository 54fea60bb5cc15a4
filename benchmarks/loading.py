"""Time the loading of a training image: decode, crop, colour; and how many processes a GPU needs.

    python benchmarks/loading.py --data DIR                   # DIR: VOCdevkit/VOC2012
    python benchmarks/loading.py --data DIR --labels RUN      # RUN: holds y_crf/ and y_ret/

`image of stage 1` is all that a loading process does for a photo with its boxes, `image of stage 3` for one
with both its labels; the rows above are their parts. `half size` decodes to half the width and height, a
feature of JPEG (draft in Pillow): it suits scales up to 0.5 only, so none of the default 0.5 to 1.5. `memory
kept` is how many pictures' memory Pillow keeps: 4 in the command, 0 elsewhere.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from boxseg.config import Augment, Model
from boxseg.data.colour import draw_jitter, jitter_colours
from boxseg.data.geometry import whole_box_labels
from boxseg.data.labels import read_labels
from boxseg.data.loading import BoxTraining, LabelTraining, make_loader
from boxseg.data.sampler import StreamSampler
from boxseg.data.transforms import Item, augment
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.images import read_picture
from boxseg.formats.masks import MaskFolder, write_mask
from boxseg.nn.deeplab import build_classifier
from measure import Cost, alternate, in_child, parser, photos, settings, table

BATCH = 20
# NVIDIA's data sheet of the H100 SXM: dense operations a second.
H100 = {"float32": 67e12, "TF32": 495e12, "bf16": 989e12}
USED = 0.4  # of the peak, by a well-tuned training of convolutions: assumed, not measured

Folders = tuple[MaskFolder, MaskFolder]


def label_folders(dataset: BoxDataset, labels: Path | None, folder: Path) -> Folders:
    """Folders of Y_crf and Y_ret: those given, or whole boxes as both."""
    pair = MaskFolder((labels or folder) / "y_crf"), MaskFolder((labels or folder) / "y_ret")
    for sample in dataset.samples if labels is None else ():
        mask = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
        for masks in pair:
            write_mask(masks.file(sample.id), mask)
    return pair


def works(dataset: BoxDataset, folders: Folders, options: Augment) -> dict[str, Callable[[], object]]:
    """What is timed, each over all photos."""
    samples, plain = dataset.samples, Augment(crop=options.crop, jitter=0)
    pictures = [read_picture(sample.image) for sample in samples]
    items = [Item.of(p, s.boxes, s.labels) for p, s in zip(pictures, samples, strict=True)]
    crops = [augment(item, plain, np.random.default_rng(place)) for place, item in enumerate(items)]
    changes = [draw_jitter(options.jitter, np.random.default_rng(place)) for place in range(len(items))]
    stages = BoxTraining(dataset, options, 0), LabelTraining(dataset, options, 0, folders)

    def halve(sample: Sample) -> None:
        with Image.open(sample.image) as picture:
            picture.draft("RGB", (picture.width // 2, picture.height // 2))
            picture.load()

    return {
        "decode the photo": lambda: [read_picture(sample.image) for sample in samples],
        "… to half size": lambda: [halve(sample) for sample in samples],
        "read two label masks": lambda: [read_labels(s, folders, len(dataset.classes)) for s in samples],
        "scale, crop, mirror": lambda: [
            augment(item, plain, np.random.default_rng(place)) for place, item in enumerate(items)
        ],
        "colours": lambda: [jitter_colours(c.image, j) for c, j in zip(crops, changes, strict=True)],
        "image of stage 1": lambda: [stages[0][place, place] for place in range(len(samples))],
        "image of stage 3": lambda: [stages[1][place, place] for place in range(len(samples))],
    }


def cost_of_parts(dataset: BoxDataset, folders: Folders, options: Augment, repetitions: int) -> dict[str, Cost]:
    """Milliseconds an image."""
    torch.set_num_threads(1)
    return alternate(works(dataset, folders, options), repetitions, len(dataset))


def rate(training: BoxTraining | LabelTraining, workers: int, batches: int) -> float:
    """Images a second that `workers` processes deliver, in batches, once they have started."""
    sampler = StreamSampler(len(training), batch=BATCH, iterations=batches + 1, seed=0)
    iterator = iter(make_loader(training, sampler, workers=workers))
    next(iterator)
    start = time.perf_counter()
    for _ in iterator:
        pass
    return BATCH * batches / (time.perf_counter() - start)


def operations(crop: int) -> float:
    """Floating-point operations of a training step for one crop: VGG-16 of stride 8, forward and backward."""
    with torch.device("meta"):
        network = build_classifier(Model(backbone="vgg16", weights="none"), 20)
        with FlopCounterMode(display=False) as counter:
            network.features(torch.zeros(1, 3, crop, crop)).sum().backward()
    return float(counter.get_total_flops())


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    command = parser(__doc__)
    command.add_argument("--labels", type=Path, help="folder of labels; otherwise whole boxes")
    command.add_argument("--photos", type=int, default=40, help="photos in each repetition")
    command.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    command.add_argument("--batches", type=int, default=10, help=f"timed for each row, {BATCH} images each")
    options = command.parse_args(words)
    if options.smoke:
        options.photos, options.workers, options.batches = 2, [0, 1], 1
    augmenting = Augment(crop=33) if options.smoke else Augment()
    with settings(options), tempfile.TemporaryDirectory() as name:
        dataset = photos(options.data, options.photos, Path(name) / "photos", options.smoke)
        folders = label_folders(dataset, options.labels, Path(name))
        each = print_parts(dataset, folders, augmenting, options)
        print_rates(dataset, folders, augmenting, options)
    print_demand(augmenting.crop, each)


def print_parts(
    dataset: BoxDataset, folders: Folders, augmenting: Augment, options: argparse.Namespace
) -> float:
    """Print the table of one process; returns its processor milliseconds for an image of stage 1."""
    found = {}
    for kept in ("0", "4"):
        with patch.dict(os.environ, PILLOW_BLOCKS_MAX=kept):  # read when Pillow is imported
            found[kept] = in_child(cost_of_parts, dataset, folders, augmenting, options.repetitions)
    columns = ("", *(f"{clock}, memory kept: {kept}" for kept in found for clock in ("wall", "cpu")))
    rows = [
        (name, *(number for cost in found.values() for number in (cost[name].wall, cost[name].cpu)))
        for name in found["0"]
    ]
    print(f"Milliseconds an image, one process, {len(dataset)} photos, crops of {augmenting.crop} pixels:\n")
    print(table(columns, rows))
    return float(found["4"]["image of stage 1"].cpu)


def print_rates(
    dataset: BoxDataset, folders: Folders, augmenting: Augment, options: argparse.Namespace
) -> None:
    """Print the table of loading processes."""
    stages = {"1": BoxTraining(dataset, augmenting, 0), "3": LabelTraining(dataset, augmenting, 0, folders)}
    rows = [
        (workers, *(rate(training, workers, options.batches) for training in stages.values()))
        for workers in options.workers
    ]
    print(f"\nImages a second, batches of {BATCH}; none: the process that trains loads them itself:\n")
    print(table(("loading processes", *(f"stage {name}" for name in stages)), rows))


def print_demand(crop: int, each: float) -> None:
    """Print the table of what a GPU would need."""
    needed = operations(crop)
    rows = []
    for name, peak in H100.items():
        asked = USED * peak / needed
        rows.append((name, peak / 1e12, asked, asked * each / 1000))
    print(
        f"\nVGG-16 of stride 8 takes {needed / 1e9:.0f} GFLOP a crop of {crop} pixels, forward and backward. "
        f"An H100 that reaches {USED:.0%} of its peak would ask for:\n"
    )
    print(table(("precision", "peak, TFLOP/s", "images a second", "loading processes, of a core each"), rows))


if __name__ == "__main__":
    main()
