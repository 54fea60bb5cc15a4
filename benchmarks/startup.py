"""Time from a command to its first answer: help, the check of a data set, the first step of a training.

    python benchmarks/startup.py                        # 10,000 generated images
    python benchmarks/startup.py --images 1000

Commands run in processes of their own, as a user's do; `cpu` is their processor time, which other work on the
machine disturbs less than `wall`. Photos are links to one of 500 x 375 pixels, with three objects each;
`doctor` decodes every photo, and with COCO paints and compares every mask. The first step is one of stage 1,
20 crops of 321 pixels with EfficientNet-Lite0, on all images and on a tenth of them, up to its loss.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from generated import write_coco, write_voc
from measure import Cost, parser, settings, table

# Run in a fresh interpreter: wall and processor time at the end of each part of a first step.
FIRST_STEP = """
import json, sys, time
marks = []
def mark(name):
    marks.append((name, time.perf_counter() - start, time.process_time()))
start = time.perf_counter()
from pathlib import Path
from boxseg import formats, options
words = ["data.root=" + sys.argv[1], "out=" + sys.argv[2], "classify.iterations=1"]
job = options.build_job("classify", options.parse_words(words + sys.argv[3:], "classify"))
mark("options")
from boxseg.collector import collector_paused
with collector_paused():  # as a command does
    import torch
    mark("import torch")
    import lightning
    mark("import lightning")
    from boxseg.stages import classify
    from boxseg.training import box_classifier, loop
    mark("import the rest")
load, begin, fit = formats.load, box_classifier.start_classifier, loop.L.Trainer.fit
def marking(name, work):
    def call(*arguments, **named):
        result = work(*arguments, **named)
        mark(name)
        return result
    return call
formats.load = marking("read the data set", load)
box_classifier.start_classifier = marking("build the network", begin)
class Marked(classify.BoxClassifierModule):
    def on_train_batch_start(self, *arguments):
        mark("start Lightning, load the first batch")
    def on_train_batch_end(self, *arguments):
        mark("forward, backward, update")
classify.BoxClassifierModule = Marked
classify.run(job)
print(json.dumps(marks))
"""


def command(words: Sequence[str]) -> Cost:
    """What a command costs; its output and exit status are ignored."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL, env=os.environ | {"BOXSEG_QUIET": "1"})
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall=wall, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def repeated(words: Sequence[str], repetitions: int) -> Cost:
    """Medians, after one run that is not measured, unless there is but one."""
    costs = [command(words) for _ in range(repetitions + (repetitions > 1))][-repetitions:]
    return Cost(wall=median(cost.wall for cost in costs), cpu=median(cost.cpu for cost in costs))


def first_step(root: Path, folder: Path, threads: int, words: Sequence[str]) -> list[tuple[str, float, float]]:
    """Parts of a first step, with wall and processor seconds of each."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP, str(root), str(folder), *words],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"BOXSEG_QUIET": "1", "OMP_NUM_THREADS": str(threads)},
    )
    marks = json.loads(done.stdout.splitlines()[-1])
    before = [(None, 0.0, 0.0), *marks[:-1]]
    parts = [(mark[0], mark[1] - last[1], mark[2] - last[2]) for last, mark in zip(before, marks, strict=True)]
    return [*parts, ("all", marks[-1][1], marks[-1][2])]


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=10_000, help="of the generated data sets")
    options = made.parse_args(words)
    small: list[str] = []
    if options.smoke:
        options.images = 4
        small = ["batch=2", "crop=33", "classify.augment.scale=[0.1,0.2]"]
    boxseg = [sys.executable, "-m", "boxseg"]
    with settings(options), tempfile.TemporaryDirectory() as name:
        voc, coco = Path(name) / "voc", Path(name) / "coco"
        write_voc(voc, options.images)
        write_coco(coco, options.images)
        found = {
            "python -c 'import boxseg'": repeated([sys.executable, "-c", "import boxseg"], options.repetitions),
            "boxseg --help": repeated([*boxseg, "--help"], options.repetitions),
            "boxseg run --help": repeated([*boxseg, "run", "--help"], options.repetitions),
            f"boxseg doctor, VOC, {options.images} images": command([*boxseg, "doctor", f"data.root={voc}"]),
            f"boxseg doctor, COCO, {options.images} images": command([*boxseg, "doctor", f"data.root={coco}"]),
        }
        print("Seconds:\n")
        print(table(("command", "wall", "cpu"), [(name, cost.wall, cost.cpu) for name, cost in found.items()]))
        sizes = [options.images] if options.smoke else [max(1, options.images // 10), options.images]
        steps = [
            first_step(voc, Path(name) / f"run{size}", options.threads, [*small, f"data.limit={size}"])
            for size in sizes
        ]
        print("\nSeconds to the first step of `boxseg classify`:\n")
        columns = [f"{clock}, {size} images" for size in sizes for clock in ("wall", "cpu")]
        rows = [
            (parts[0][0], *(cost for part in parts for cost in part[1:])) for parts in zip(*steps, strict=True)
        ]
        print(table(("part", *columns), rows))


if __name__ == "__main__":
    main()
