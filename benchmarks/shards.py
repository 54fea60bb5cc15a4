"""What label.store=shards costs and saves, beside files: time, files, bytes, and reading labels for training.

    python benchmarks/shards.py                      # 2,000 photos of 32 x 32 pixels
    python benchmarks/shards.py --images 20000

Labels are ellipses, without the CRF, so that little but reading and writing is left. `label` and `nothing left`
(the same command again) are whole commands, in processes of their own; `cpu` is their processor time, which
other work on the machine disturbs less. `read` is what a training reads of a photo: its labels and what is
reliable of them, in one thread, in the order of the data and at random, with the files in the system's cache,
by a second of processor time. `on the disk` counts the blocks of files, and no folders.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from boxseg import formats
from boxseg.config import Data
from boxseg.data.labels import read_labels
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.masks import MaskFolder
from boxseg.runs.label_source import label_sources
from boxseg.shards.shard_index import forget_shards
from measure import alternate, parser, settings, table
from memory import write_photos

STORES = ("files", "shards")
COMMAND = "import sys; from boxseg.cli import execute; sys.exit(execute(sys.argv[1:]))"


def label(data: Path, out: Path, store: str) -> tuple[float, float]:
    """Seconds of a command that labels all photos, and of its processor time."""
    words = ["label", f"data={data}", f"out={out}", "label.method=ellipse", "label.crf.iterations=0"]
    start, before = time.perf_counter(), used()
    command = [sys.executable, "-c", COMMAND, *words, f"label.store={store}", "scores=false"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start, used() - before


def used() -> float:
    """Seconds of processor time of all commands so far."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def weigh(folder: Path) -> tuple[int, float, float]:
    """Files in a folder, their megabytes, and those that they take of the disk."""
    states = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return len(states), sum(s.st_size for s in states) / 1e6, sum(512 * s.st_blocks for s in states) / 1e6


def reading(folder: Path, samples: Sequence[Sample], classes: int) -> Callable[[], None]:
    """Reads the labels of photos as a training does; the index of shards is read, too."""

    def read() -> None:
        forget_shards()
        sources: tuple[MaskFolder, ...] = tuple(label_sources(folder).values())
        for sample in samples:
            read_labels(sample, sources, classes)

    return read


def read_costs(folder: Path, dataset: BoxDataset, repetitions: int) -> list[tuple[str, float, float]]:
    """Photos a second of each store, in order and at random."""
    mixed = list(dataset.samples)
    random.Random(0).shuffle(mixed)
    classes = len(dataset.classes)
    works = {
        (name, store): reading(folder / store, samples, classes)
        for name, samples in (("in order", dataset.samples), ("at random", mixed))
        for store in STORES
    }
    costs = alternate(works, repetitions, per=len(dataset))
    speeds = {key: 1e3 / cost.cpu for key, cost in costs.items()}
    orders = dict.fromkeys(name for name, _ in works)
    return [(f"read {name}, photos a second", *(speeds[name, store] for store in STORES)) for name in orders]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    command = parser(__doc__)
    command.add_argument("--images", type=int, default=2000)
    options = command.parse_args(arguments)
    count = 12 if options.smoke else options.images
    with settings(options), tempfile.TemporaryDirectory(prefix="boxseg-shards-") as name:
        folder = Path(name)
        write_photos(folder / "data", count)
        dataset = formats.load(Data(root=folder / "data"))
        first = {store: label(folder / "data", folder / store, store) for store in STORES}
        again = first if options.smoke else {s: label(folder / "data", folder / s, s) for s in STORES}
        weights = [weigh(folder / store) for store in STORES]
        rows = [
            *zip(("label, s", "label, s of cpu"), *first.values(), strict=True),
            *zip(("nothing left, s", "nothing left, s of cpu"), *again.values(), strict=True),
            *zip(("files", "MB", "MB on the disk"), *weights, strict=True),
            *read_costs(folder, dataset, options.repetitions),
        ]
        print(table((f"{count} photos", *STORES), rows))


if __name__ == "__main__":
    main()
