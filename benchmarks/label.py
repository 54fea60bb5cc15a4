"""Time label generation beside the backbone's forward pass and beside the straightforward method.

    pip install -e '.[benchmark]'
    python benchmarks/label.py --data DIR                       # DIR: VOCdevkit/VOC2012
    python benchmarks/label.py --data DIR --backbones vgg16 --repetitions 2 --photos 2
    python benchmarks/label.py --data DIR --checkpoint FILE --check 20

`forward` is the backbone on photos in memory, the lower limit; `boxseg` is all that `boxseg label` does for a
photo, from the JPEG to two PNGs; `straightforward` is the method as the paper writes it, with pydensecrf.
Memory is the peak that a run adds to a process that has loaded the network.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from boxseg.config import Classify, Label, Model, TrainerOptions
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.images import read_image
from boxseg.formats.masks import read_mask
from boxseg.inference.networks import load_classifier, save_network, start_classifier
from boxseg.inference.refine import refine
from boxseg.inference.threads import Readable, photo_loop
from boxseg.labelling.class_map import select_weights
from boxseg.labelling.from_classifier import FromClassifier
from boxseg.labelling.labeller import Labeller, label_photos
from boxseg.labelling.method import Origin
from boxseg.nn.deeplab import BoxClassifier
from boxseg.progress import quiet
from boxseg.runs.layout import PAIR
from boxseg.shards.home import FileHome
from measure import alternate, in_child, parser, photos, resident_growth, settings, table, timed
from straightforward import crf
from straightforward.labels import label_photo
from straightforward.layers import layer_by_layer

# Photos of the memory measurement: enough that everything is in memory at once.
MANY = 8

Work = Callable[[], object]


def make_labeller(backbone: str, checkpoint: Path | None, classes: tuple[str, ...], folder: Path) -> Labeller:
    """A labeller with a checkpoint, or with a random classifier on this backbone (VGG-16 is random, too)."""
    if checkpoint is None:
        model = Model(backbone=backbone, weights="default" if backbone == "efficientnet_lite0" else "none")
        network, _ = start_classifier(model, len(classes), 0)
        checkpoint = folder / f"{backbone}.safetensors"
        save_network(checkpoint, network, classes=classes, model=model, options=Classify())
    loaded = load_classifier(checkpoint, torch.device("cpu"))
    weights = select_weights(loaded.network.weight, loaded.classes, classes)
    options = Label(background="attention")
    method = FromClassifier(loaded=loaded, weights=weights, options=options, origin=Origin(pair=True))
    return Labeller(method=method, options=options, home=FileHome(folder), classes=classes)


def network_of(labeller: Labeller) -> BoxClassifier:
    """Its classifier."""
    assert isinstance(labeller.method, FromClassifier)
    return labeller.method.loaded.network


@torch.inference_mode()
def forward(labeller: Labeller, images: Sequence[NDArray[np.uint8]]) -> None:
    """The backbone on each photo."""
    for image in images:
        network_of(labeller).features(torch.from_numpy(image).permute(2, 0, 1)[None])


def loop_forward(labeller: Labeller, samples: Sequence[Sample]) -> None:
    """The same in boxseg's photo loop: as many photos at a time."""

    def work(group: Sequence[Readable]) -> list[None]:
        forward(labeller, [image for _, image in group])
        return [None] * len(group)

    device = torch.device("cpu")
    for _ in photo_loop(work, samples, description="forward", trainer=TrainerOptions(workers=0), device=device):
        pass


def label(labeller: Labeller, samples: Sequence[Sample]) -> None:
    """What `boxseg label` does, in this process alone."""
    label_photos(labeller, samples, TrainerOptions(workers=0))


def alone(labeller: Labeller, samples: Sequence[Sample]) -> None:
    """The same on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    label(labeller, samples)
    torch.set_num_threads(threads)


def plain(labeller: Labeller, samples: Sequence[Sample]) -> None:
    """The same, with the straightforward method."""
    for sample in samples:
        image = read_image(sample.image)
        with layer_by_layer():
            masks = label_photo(network_of(labeller), image, sample.boxes, sample.labels)
        for path, mask in zip(
            FileHome(labeller.folder / "plain").own_files(sample.id, PAIR), masks, strict=True
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)


def works(labeller: Labeller, samples: Sequence[Sample]) -> dict[str, Work]:
    """What is timed."""
    images = [read_image(sample.image) for sample in samples]

    @torch.inference_mode()
    def score() -> None:
        for sample, image in zip(samples, images, strict=True):
            labeller.method.score(sample, image)

    with torch.inference_mode():
        pending = [labeller.method.score(s, image) for s, image in zip(samples, images, strict=True)]
    probabilities = [item.probabilities for item in pending]
    return {
        "forward": lambda: forward(labeller, images),
        "boxseg": lambda: label(labeller, samples),
        "score": score,
        "crf": lambda: refine(labeller.options.crf, [item.image for item in pending], probabilities),
        "straightforward": lambda: plain(labeller, samples),
    }


def growth(
    what: str, backbone: str, checkpoint: Path | None, dataset: BoxDataset, folder: Path, threads: int
) -> float:
    """Megabytes at the peak of one of the three, in this process."""
    torch.set_num_threads(threads)
    labeller = make_labeller(backbone, checkpoint, dataset.classes, folder)
    with torch.inference_mode():  # loads libraries, on a photo too small to hide any memory
        network_of(labeller).features(torch.zeros(1, 3, 33, 33))
    samples = (dataset.samples * MANY)[:MANY]
    runs: dict[str, Work] = {
        "forward": lambda: loop_forward(labeller, samples),
        "boxseg": lambda: label(labeller, samples),
        "straightforward": lambda: plain(labeller, samples[:1]),
    }
    return resident_growth(runs[what])


def check(labeller: Labeller, samples: Sequence[Sample]) -> str:
    """On how many pixels the straightforward labels differ."""
    label(labeller, samples)
    plain(labeller, samples)
    pixels = sum(sample.width * sample.height for sample in samples)
    names = ("Y_crf", "Y_ret")
    wrong = dict.fromkeys(names, 0)
    for sample in samples:
        both = (
            labeller.home.own_files(sample.id, PAIR),
            FileHome(labeller.folder / "plain").own_files(sample.id, PAIR),
        )
        for name, ours, theirs in zip(names, *both, strict=True):
            wrong[name] += int(np.count_nonzero(read_mask(ours) != read_mask(theirs)))
    counts = ", ".join(f"{name} {count}" for name, count in wrong.items())
    return f"{len(samples)} photos, {pixels} pixels, of which differ: {counts}"


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Print the tables."""
    dataset = photos(options.data, options.photos, folder / "photos", options.smoke)
    speed, parts, memory = [], [], []
    for backbone in options.backbones:
        labeller = make_labeller(backbone, options.checkpoint, dataset.classes, folder)
        cost = alternate(works(labeller, dataset.samples), options.repetitions, len(dataset))
        for clock in ("wall", "cpu"):
            ms = {name: float(getattr(value, clock)) for name, value in cost.items()}
            ours, theirs, limit = ms["boxseg"], ms["straightforward"], ms["forward"]
            speed.append((backbone, clock, limit, ours, theirs, ours / limit, theirs / ours))
            rest = ours - ms["score"] - ms["crf"]
            parts.append((backbone, clock, limit, ms["score"] - limit, ms["crf"], rest))
        if options.memory:
            arguments = (backbone, options.checkpoint, dataset, folder, options.threads)
            names = ("forward", "boxseg", "straightforward")
            run = growth if options.smoke else functools.partial(in_child, growth)
            peaks = [float(run(name, *arguments)) for name in names]
            memory.append((backbone, *peaks, peaks[1] / peaks[0] if peaks[0] else "–"))
    solver = "pydensecrf" if crf.THEIRS else "boxseg.crf: pydensecrf is not installed"
    print(f"Milliseconds a photo, {len(dataset)} photos; the CRF of `straightforward` is {solver}:\n")
    columns = ("backbone", "clock", "forward", "boxseg", "straightforward")
    print(table((*columns, "boxseg / forward", "straightforward / boxseg"), speed), end="\n\n")
    print("What boxseg's time is made of, milliseconds a photo:\n")
    rest = "JPEG, CRF's argmax, Y_ret, PNG"
    print(table(("backbone", "clock", "forward", "scores before the CRF", "CRF", rest), parts), end="\n\n")
    if memory:
        print(f"Peak memory, MB ({MANY} photos, as many at a time as threads; one in straightforward):\n")
        print(table(("backbone", *columns[2:], "boxseg / forward"), memory))


class SideBySide:
    """Processes of one thread each that label photos and share nothing: the processor's limit.

    Args:
        setting: Backbone and checkpoint.
        dataset: The photos, dealt to the processes in turn.
        folder: Where each has its own folder.
        processes: How many.
    """

    def __init__(
        self, setting: tuple[str, Path | None], dataset: BoxDataset, folder: Path, processes: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.photos, self.lines, self.milliseconds = len(dataset), [], []
        for number in range(processes):
            ours, theirs = context.Pipe()
            share = replace(dataset, samples=dataset.samples[number::processes])
            where = Path(tempfile.mkdtemp(dir=folder))
            context.Process(target=label_when_told, args=(theirs, *setting, share, where), daemon=True).start()
            theirs.close()
            self.lines.append(ours)

    def label(self) -> None:
        """Label all photos once; the processes' mean counts, as one that ends early leaves a core idle."""
        for line in self.lines:
            line.send(True)
        self.milliseconds.append(sum(line.recv() for line in self.lines) / len(self.lines) / self.photos)

    def end(self) -> float:
        """End the processes; returns the median milliseconds a photo, without the first repetition."""
        for line in self.lines:
            line.close()
        return median(self.milliseconds[1:])


def label_when_told(
    line: Connection, backbone: str, checkpoint: Path | None, dataset: BoxDataset, folder: Path
) -> None:
    """In a process: label the photos on one thread for each message; answer the milliseconds."""
    torch.set_num_threads(1)
    labeller = make_labeller(backbone, checkpoint, dataset.classes, folder)
    with quiet(), suppress(EOFError):
        while line.recv():
            line.send(timed(lambda: label(labeller, dataset.samples)).wall)


def time_folder(options: argparse.Namespace, folder: Path) -> None:
    """Print the limit for a folder of photos, and how near boxseg is to it."""
    dataset = photos(options.data, options.folder, folder / "photos", options.smoke)
    rows = []
    for backbone in options.backbones:
        labeller = make_labeller(backbone, options.checkpoint, dataset.classes, folder)
        lone = SideBySide((backbone, options.checkpoint), dataset, folder, options.threads)
        parts = {
            "boxseg": functools.partial(label, labeller, dataset.samples),
            "alone": functools.partial(alone, labeller, dataset.samples),
            "side by side": lone.label,
        }
        cost = alternate(parts, options.repetitions, len(dataset))
        limit, ours = lone.end(), cost["boxseg"]
        busy = ours.cpu / (options.threads * ours.wall) if ours.wall else 0
        rows.append((backbone, cost["alone"].cpu, limit, ours.wall, ours.wall / limit, f"{busy:.0%}"))
    columns = ("backbone", "processor time on one thread", "limit", "boxseg", "boxseg / limit", "cores busy")
    print(f"A folder of {len(dataset)} photos on {options.threads} cores, milliseconds a photo.")
    print("limit: processes of one thread each, which share nothing.\n")
    print(table(columns, rows))


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    command = parser(__doc__)
    command.add_argument("--photos", type=int, default=4, help="photos in each repetition")
    command.add_argument("--checkpoint", type=Path, help="classifier; otherwise a random one")
    command.add_argument("--backbones", nargs="+", default=["efficientnet_lite0", "vgg16"])
    command.add_argument("--check", type=int, help="compare the labels of this many photos instead")
    command.add_argument(
        "--folder",
        type=int,
        help="time this many photos instead, beside processes that share nothing",
    )
    command.add_argument("--no-memory", dest="memory", action="store_false", help="leave that table out")
    options = command.parse_args(words)
    if options.smoke:
        options.photos, options.backbones = 1, options.backbones[:1]
    with settings(options), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.folder:
            time_folder(options, folder)
        elif options.check:
            dataset = photos(options.data, options.check, folder / "photos", options.smoke)
            labeller = make_labeller(options.backbones[0], options.checkpoint, dataset.classes, folder)
            print(check(labeller, dataset.samples))
        else:
            compare(options, folder)


if __name__ == "__main__":
    main()
