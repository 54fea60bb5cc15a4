"""What `label` pays for recording what each photo's results were made from, and for waiting for the disk.

    python benchmarks/provenance.py --data DIR --photos 20 --repetitions 36       # DIR: VOCdevkit/VOC2012

Photos are labelled by the mask network with and without it, in turn, and the two runs of each repetition are
compared: a run takes 10 % more or less than another of its kind, so it takes many short ones. Its own part is
counted, too: processor time of the thread that syncs files and digests photos, and the time for which labelling
waited for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import Mock, patch

import torch

from boxseg.config import Label, TrainerOptions
from boxseg.dataset import BoxDataset
from boxseg.inference.mask_networks import SHIPPED, load_mask_network
from boxseg.labelling import labeller as labelling
from boxseg.labelling.from_network import FromNetwork
from boxseg.runs import provenance
from boxseg.shards.home import FileHome
from measure import more, parser, photos, rounds, settings, table

KINDS = ("wall", "cpu")


class Counted:
    """Seconds that recording takes."""

    def __init__(self) -> None:
        self.cpu = self.waited = 0.0
        self._record, self._recording = provenance._record, labelling.recording

    def record(self, *arguments: Any) -> None:
        """The work of the thread."""
        start = time.thread_time()
        self._record(*arguments)
        self.cpu += time.thread_time() - start

    @contextmanager
    def recording(self, *arguments: Any) -> Iterator[provenance.Recorder]:
        """As the labelling calls it."""
        context = self._recording(*arguments)
        recorder = context.__enter__()
        kept = recorder.kept

        def timed(*arguments: Any) -> None:
            start = time.perf_counter()
            kept(*arguments)
            self.waited += time.perf_counter() - start

        with patch.object(recorder, "kept", timed):
            yield recorder
        start = time.perf_counter()
        context.__exit__(None, None, None)
        self.waited += time.perf_counter() - start


@contextmanager
def nothing(*_: Any) -> Iterator[Mock]:
    """Records nothing."""
    yield Mock()


def label_once(labeller: labelling.Labeller, dataset: BoxDataset, threads: int) -> None:
    """Label all photos, into a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        there = replace(labeller, home=FileHome(Path(folder)))
        labelling.label_photos(there, dataset.samples, TrainerOptions(workers=threads))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    arguments_of = parser(__doc__)
    arguments_of.add_argument("--photos", type=int, default=100)
    options = arguments_of.parse_args(arguments)
    count = 4 if options.smoke else options.photos
    counted = Counted()

    def label(recording: Callable[..., Any]) -> None:
        with (
            patch.object(labelling, "recording", recording),
            patch.object(provenance, "_record", counted.record),
        ):
            label_once(labeller, dataset, options.threads)

    with settings(options), tempfile.TemporaryDirectory() as folder:
        dataset = photos(options.data, count, Path(folder), options.smoke)
        method = FromNetwork(loaded=load_mask_network(SHIPPED, torch.device("cpu")))
        labeller = labelling.Labeller(
            method=method, options=Label(), home=FileHome(Path(folder)), classes=dataset.classes
        )
        costs = rounds(
            {"recorded": partial(label, counted.recording), "not recorded": partial(label, nothing)},
            options.repetitions,
        )
    photos_run = (options.repetitions + 1) * count
    walls, cpus = ({name: [getattr(c, kind) for c in many] for name, many in costs.items()} for kind in KINDS)
    own = 1e3 * counted.waited / photos_run, 1e3 * counted.cpu / photos_run
    whole = [median(kind["recorded"]) / count for kind in (walls, cpus)]
    differences = [more(kind["recorded"], kind["not recorded"]) for kind in (walls, cpus)]
    print(
        table(
            ("ms a photo", "wall", "processor"),
            [
                *((name, median(walls[name]) / count, median(cpus[name]) / count) for name in costs),
                ("recording itself", *own),
                ("its share, %", *(100 * part / all_ for part, all_ in zip(own, whole, strict=True))),
                (
                    "more where recorded, % (95 % of such medians)",
                    *(f"{middle:.1f} ({low:.1f} to {high:.1f})" for middle, low, high in differences),
                ),
            ],
        )
    )


if __name__ == "__main__":
    main()
