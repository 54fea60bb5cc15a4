"""What an image costs in data sets of 100 to 100,000: is it the same?

    python benchmarks/scale.py                           # 100, 1,000 and 10,000 images
    python benchmarks/scale.py --sizes 100 10000 100000  # minutes, and 2 GB of memory

Annotations are generated, three objects an image; photos are links to a few files, masks are empty files.
`memory` is what the process holds after reading, `peak` the most it held. A run folder with a mask of every
image twice, Y_crf and Y_ret, is opened again, then searched for what is missing, then for what can train.
Every size is measured in a process of its own, in microseconds of the processor and kilobytes an image.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from boxseg import formats
from boxseg.config import Classify, Data
from boxseg.data.sampler import StreamSampler
from boxseg.dataset import BoxDataset
from boxseg.jobs import LabelJob, SegmentJob
from boxseg.stages.doctor import Diagnosis
from boxseg.stages.folder import open_folder
from boxseg.stages.label import paths
from boxseg.stages.training import iterations_of
from boxseg.stages.training_labels import training_labels
from generated import write_coco, write_voc
from measure import in_child, memory_held, parser, settings, table

WRITERS: dict[str, Callable[[Path, int], None]] = {"VOC": write_voc, "COCO": write_coco}


def timed_result(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the microseconds of the processor that it takes."""
    start = time.process_time()
    result = work()
    return result, 1e6 * (time.process_time() - start)


def cost_of_reading(root: Path) -> tuple[float, ...]:
    """Microseconds, kilobytes held and kilobytes at the peak, an image."""
    formats.load(Data(root=root, limit=1))  # what the first call imports
    gc.collect()
    before, _ = memory_held()
    dataset, spent = timed_result(lambda: formats.load(Data(root=root)))
    held, peak = memory_held()
    return tuple(number / len(dataset) for number in (spent, held - before, peak - before))


def cost_of_using(root: Path, folder: Path) -> tuple[float, ...]:
    """Microseconds an image of what every run does with a list of images."""
    dataset = formats.load(Data(root=root))
    job = LabelJob(data=Data(root=root), checkpoint=root, out=folder)
    segment = SegmentJob(data=job.data, labels=str(folder), out=folder)
    open_folder(job)
    for path in (path for sample in dataset.samples for path in paths(folder, sample)):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    works: list[Callable[[], object]] = [
        lambda: open_folder(job),
        lambda: [s for s in dataset.samples if not all(path.is_file() for path in paths(folder, s))],
        lambda: training_labels(dataset, segment),
        lambda: one_pass(dataset),
        lambda: Diagnosis(dataset=dataset, problems=()).tables(),
    ]
    return tuple(timed_result(work)[1] / len(dataset) for work in works)


def one_pass(dataset: BoxDataset) -> list[tuple[int, int]]:
    """Draw the order of one pass over all images."""
    batch = Classify().batch
    iterations = iterations_of(len(dataset), batch=batch, epochs=1, iterations=None)
    return list(StreamSampler(len(dataset), batch=batch, iterations=iterations, seed=0))


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    command = parser(__doc__)
    command.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    options = command.parse_args(words)
    if options.smoke:
        options.sizes = [5]
    reading, using = [], []
    with settings(options):
        for size in options.sizes:
            costs: list[float] = []
            for name, write in WRITERS.items():
                with tempfile.TemporaryDirectory() as place:
                    root = Path(place) / name
                    write(root, size)
                    costs += in_child(cost_of_reading, root)
                    if name == "VOC":
                        using.append((size, *in_child(cost_of_using, root, Path(place) / "run")))
            reading.append((size, *costs))
    print("Reading a data set, an image:\n")
    columns = [f"{name}, {what}" for name in WRITERS for what in ("µs", "memory, KB", "peak, KB")]
    print(table(("images", *columns), reading))
    print("\nUsing it, µs an image:\n")
    columns = ["open a run folder", "find what is missing", "find labels", "draw the order", "count"]
    print(table(("images", *columns), using))


if __name__ == "__main__":
    main()
