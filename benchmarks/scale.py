"""The cost of an image in data sets of 100 to 100,000, of a pixel in photos of 0.2 to 24 megapixels, of a box.

    python benchmarks/scale.py                           # 100, 1,000 and 10,000 images
    python benchmarks/scale.py --sizes 100 10000 100000  # minutes, and 2 GB of memory
    python benchmarks/scale.py --part pixels --threads 1                    # 0.2, 1, 3 and 6 megapixels
    python benchmarks/scale.py --part pixels --threads 1 --megapixels 24 --verbs label
    python benchmarks/scale.py --part boxes --threads 1                     # 1 to 500 boxes on a megapixel
    python benchmarks/scale.py --part processes --threads 1                 # 1 and 2, with a thread each
    python benchmarks/scale.py --part commands --threads 1 --sizes 10000 100000 1000000   # an hour, 6 GB

images: annotations are generated, three objects an image; photos are links to a few files, masks empty files.
`memory` is what the process holds after reading, `peak` the most it held. A run folder with two masks of every
image, Y_crf and Y_ret, is opened again, searched for missing labels, then for images to train on. Each size is
measured in a process of its own, in microseconds of processor time and kilobytes an image.

commands: COCO with outlines, generated as above; `doctor` of headers (decode=false) twice, with an index beside
its results, which `label` (ellipses) and `classify` then start from; until the first label and the first step.

pixels, boxes: one enlarged photo, from its JPEG to its PNGs, with EfficientNet-Lite0, each in a process of its
own; nanoseconds of processor time and peak bytes, beyond those of the loaded network, a pixel. `label` is with
a classifier, `masks` with the mask network; `once` is `predict tta=false crf=false`, `predict` has four scales,
the mirror image and the CRF; 21 classes.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from boxseg import formats
from boxseg.config import Classify, Crf, Data, Evaluate, Model, Segment, TrainerOptions
from boxseg.data.sampler import StreamSampler
from boxseg.data.toy import paint_scene
from boxseg.dataset import VOC_CLASSES, BoxDataset, Sample
from boxseg.inference.mask_networks import SHIPPED, load_mask_network
from boxseg.inference.networks import save_network, start_segmenter
from boxseg.jobs import LabelJob, PredictJob, SegmentJob
from boxseg.labelling.from_network import FromNetwork
from boxseg.labelling.labeller import label_photos
from boxseg.progress import quiet
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import PAIR, label_kinds
from boxseg.runs.stage_files import label_files
from boxseg.shards.home import FileHome
from boxseg.stages import predict
from boxseg.stages.doctor import DoctorResult
from boxseg.training.labels import training_labels
from boxseg.training.schedule import schedule_length
from generated import write_coco, write_voc
from label import make_labeller
from large_sets import costs_of_commands
from measure import Cost, in_child, memory_held, parser, photos, resident_growth, settings, table, timed

WRITERS: dict[str, Callable[[Path, int], None]] = {"VOC": write_voc, "COCO": write_coco}


def timed_result(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call, and its microseconds of processor time."""
    start = time.process_time()
    result = work()
    return result, 1e6 * (time.process_time() - start)


def cost_of_reading(root: Path) -> tuple[float, ...]:
    """Microseconds, kilobytes held and kilobytes at the peak, an image."""
    formats.load(Data(root=root, limit=1))  # imports first
    gc.collect()
    before, _ = memory_held()
    dataset, spent = timed_result(lambda: formats.load(Data(root=root)))
    held, peak = memory_held()
    return tuple(number / len(dataset) for number in (spent, held - before, peak - before))


def cost_of_using(root: Path, folder: Path) -> tuple[float, ...]:
    """Microseconds an image of each thing that every run does with a list of images."""
    dataset = formats.load(Data(root=root))
    job = LabelJob(data=Data(root=root), checkpoint=root, out=folder)
    segment = SegmentJob(data=job.data, labels=str(folder), out=folder)
    home = FileHome(folder)
    open_folder(job)
    for sample in dataset.samples:
        for path in home.own_files(sample.id, label_kinds(pair=True)):
            path.parent.mkdir(exist_ok=True)
            path.touch()
    works: list[Callable[[], object]] = [
        lambda: open_folder(job),
        label_files(home, dataset.samples, pair=True).missing,
        lambda: training_labels(dataset, segment),
        lambda: one_pass(dataset),
        lambda: DoctorResult(dataset=dataset, problems=()).tables(),
    ]
    return tuple(timed_result(work)[1] / len(dataset) for work in works)


def one_pass(dataset: BoxDataset) -> list[tuple[int, int]]:
    """Draw the order of one pass over all images."""
    options = Classify(epochs=1)
    iterations = schedule_length(options, len(dataset))
    return list(StreamSampler(len(dataset), batch=options.batch, iterations=iterations, seed=0))


def photo_with_boxes(folder: Path, megapixels: float, boxes: int) -> Sample:
    """A 3:2 photo with boxes of a tenth to a half of its sides, of all classes in turn."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    rng = np.random.default_rng(0)
    path = folder / "photo.jpg"
    Image.fromarray(paint_scene(rng, 160).image).resize((width, height)).save(path)
    sides = rng.uniform(0.1, 0.5, (boxes, 2)) * (width, height)
    corners = rng.uniform(0, 1, (boxes, 2)) * ((width, height) - sides)
    return Sample(
        id="photo",
        image=path,
        width=width,
        height=height,
        boxes=np.concatenate([corners, corners + sides], 1),
        labels=np.arange(boxes) % len(VOC_CLASSES) + 1,
        difficult=np.zeros(boxes, dtype=bool),
    )


def cost_of_photo(verb: str, megapixels: float, boxes: int, folder: Path, threads: int) -> tuple[float, float]:
    """Nanoseconds of processor time and peak bytes, a pixel."""
    torch.set_num_threads(threads)
    here = Path(tempfile.mkdtemp(dir=folder))
    sample = photo_with_boxes(here, megapixels, boxes)
    trainer = TrainerOptions(workers=0)
    if verb in ("label", "masks"):
        labeller = make_labeller("efficientnet_lite0", None, VOC_CLASSES, here)
        if verb == "masks":
            method = FromNetwork(loaded=load_mask_network(SHIPPED, torch.device("cpu")))
            labeller = replace(labeller, method=method)
        works: list[Callable[[Sample], object]] = [lambda s: label_photos(labeller, [s], trainer)]
    else:
        network, _ = start_segmenter(Model(), len(VOC_CLASSES), 0)
        file = here / "model.safetensors"
        save_network(file, network, classes=VOC_CLASSES, model=Model(), options=Segment())
        options = Evaluate(tta=False, crf=Crf(enabled=False)) if verb == "once" else Evaluate()
        job = {"checkpoint": file, "evaluate": options, "trainer": trainer}
        works = [lambda s: predict.run(PredictJob(images=str(s.image), out=s.image.parent / "out", **job))]
    small = here / "small"
    small.mkdir()
    costs: list[Cost] = []
    with quiet():
        works[0](photo_with_boxes(small, 0.01, 1))  # loads libraries first
        megabytes = resident_growth(lambda: costs.append(timed(lambda: works[0](sample))))
    pixels = sample.width * sample.height
    return 1e6 * costs[0].cpu / pixels, megabytes * 2**20 / pixels


def in_processes(folder: Path, count: int, smoke: bool) -> list[tuple[object, ...]]:
    """Seconds of `label` in one process and in two, and whether they write the same bytes."""
    dataset = photos(None, count, folder / "photos", smoke)
    rows, written = [], []
    for devices in (1,) if smoke else (1, 2):
        (folder / str(devices)).mkdir()
        labeller = make_labeller("efficientnet_lite0", None, dataset.classes, folder / str(devices))
        trainer = TrainerOptions(workers=0, devices=devices, accelerator="cpu")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with quiet():
            cost = timed(partial(label_photos, labeller, dataset.samples, trainer))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = cost.cpu / 1e3 + after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        files = [path for sample in dataset.samples for path in labeller.home.own_files(sample.id, PAIR)]
        written.append([path.read_bytes() for path in files])
        rows.append((devices, cost.wall / 1e3, cpu, "yes" if written[0] == written[-1] else "NO"))
    return rows


def runner(options: argparse.Namespace) -> Callable[..., Any]:
    """Calls a function with its arguments, in a process of its own unless it is only to run."""
    return (lambda function, *given: function(*given)) if options.smoke else in_child


def scale_of_images(options: argparse.Namespace) -> None:
    """Print the cost of an image."""
    reading, using = [], []
    run = runner(options)
    for size in options.sizes:
        costs: list[float] = []
        for name, write in WRITERS.items():
            with tempfile.TemporaryDirectory() as place:
                root = Path(place) / name
                write(root, size)
                costs += run(cost_of_reading, root)
                if name == "VOC":
                    using.append((size, *run(cost_of_using, root, Path(place) / "run")))
        reading.append((size, *costs))
    print("Reading a data set, an image:\n")
    columns = [f"{name}, {what}" for name in WRITERS for what in ("µs", "memory, KB", "peak, KB")]
    print(table(("images", *columns), reading))
    print("\nUsing it, µs an image:\n")
    columns = ["open a run folder", "find what is missing", "find labels", "draw the order", "count"]
    print(table(("images", *columns), using))


def scale_of_commands(options: argparse.Namespace, folder: Path) -> None:
    """Print what commands cost that start on data sets of several sizes."""
    rows: list[tuple[object, ...]] = []
    for size in options.sizes:
        root = folder / f"commands{size}"
        write_coco(root / "data", size)
        rows += [(size, *row) for row in costs_of_commands(root / "data", root / "run", options.smoke)]
        shutil.rmtree(root)
    print("\nCommands, by the clock, of the processor, and their memory:\n")
    print(table(("images", "command", "s", "cpu s", "peak, MB"), rows))


def scale_of_photos(options: argparse.Namespace, folder: Path) -> None:
    """Print the cost of a pixel and of a box, and the time of two processes."""
    run = partial(runner(options), cost_of_photo)
    if "pixels" in options.part:
        rows = []
        for megapixels in options.megapixels:
            costs = [run(verb, megapixels, 3, folder, options.threads) for verb in options.verbs]
            rows.append((megapixels, *(number for cost in costs for number in cost)))
        columns = [f"{verb}, {what}" for verb in options.verbs for what in ("ns", "bytes")]
        print("\nA photo, a pixel:\n")
        print(table(("megapixels", *columns), rows))
    if "boxes" in options.part:
        rows = []
        for boxes in options.boxes:
            cost = run("label", options.box_megapixels, boxes, folder, options.threads)
            rows.append((boxes, min(boxes, len(VOC_CLASSES)), *cost))
        print(f"\nLabelling a photo of {options.box_megapixels:g} megapixels, a pixel:\n")
        print(table(("boxes", "classes", "ns", "bytes"), rows))
    if "processes" in options.part:
        print(f"\nLabelling {options.photos} generated photos of 500 pixels, seconds:\n")
        rows = in_processes(folder, options.photos, options.smoke)
        print(table(("processes", "wall", "cpu", "same bytes"), rows))


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    command = parser(__doc__)
    parts, verbs = ("images", "pixels", "boxes", "processes", "commands"), ("label", "masks", "once", "predict")
    command.add_argument("--part", nargs="+", choices=parts, default=["images"])
    command.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000], help="images")
    command.add_argument("--megapixels", type=float, nargs="+", default=[0.2, 1, 3, 6])
    command.add_argument("--verbs", nargs="+", choices=verbs, default=["label", "once"])
    command.add_argument("--boxes", type=int, nargs="+", default=[1, 20, 100, 500])
    command.add_argument("--photos", type=int, default=24, help="of the processes")
    options = command.parse_args(words)
    options.box_megapixels = 1.0
    if options.smoke:
        options.part, options.sizes, options.megapixels, options.verbs = parts, [5], [0.01], verbs
        options.boxes, options.photos, options.box_megapixels = [2, 30], 2, 0.01
    with settings(options), tempfile.TemporaryDirectory() as name:
        if "images" in options.part:
            scale_of_images(options)
        if "commands" in options.part:
            os.environ["OMP_NUM_THREADS"] = str(options.threads)
            scale_of_commands(options, Path(name))
        scale_of_photos(options, Path(name))


if __name__ == "__main__":
    main()
