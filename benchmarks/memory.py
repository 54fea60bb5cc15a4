"""Peak memory and time of doctor, label and report with 2,000 and 20,000 photos: it should hardly grow.

    python benchmarks/memory.py                                  # an hour on two cores, 2 GB of disk
    python benchmarks/memory.py --sizes 200 2000 --network 20 200

Photos are generated, 32 x 32 pixels with one to three boxes, as VOC; each is a file of its own. Every command
is a process of its own, as users start it; its peak is what the system counted. `label` makes ellipses for all
photos, and uses the mask network for a part of them. What a photo adds is what lists and annotations take.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from boxseg.dataset import VOC_CLASSES
from generated import ANNOTATION, OBJECT
from measure import parser, table

SIDE = 32
KINDS = 50  # different photos


def write_photos(root: Path, count: int) -> None:
    """A VOC data set of `count` tiny photos, split `train`."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(KINDS):
        noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        content = io.BytesIO()
        noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(content, format="JPEG")
        kinds.append(content.getvalue())
    for number in range(count):
        (root / f"JPEGImages/{number:06}.jpg").write_bytes(kinds[number % KINDS])
        objects = "".join(_object(rng) for _ in range(1 + number % 3))
        (root / f"Annotations/{number:06}.xml").write_text(ANNOTATION.format(SIDE, SIDE, objects))
    (root / "ImageSets/Segmentation/train.txt").write_text("".join(f"{n:06}\n" for n in range(count)))


def _object(rng: np.random.Generator) -> str:
    left, top = rng.integers(1, SIDE // 2, 2).tolist()
    width, height = rng.integers(6, SIDE // 2, 2).tolist()
    return OBJECT.format(VOC_CLASSES[int(rng.integers(20))], left, top, left + width, top + height)


# The system counts what a process held before it became another program: it is started by a small one.
LAUNCHER = """
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "boxseg", *sys.argv[1:]])
_, status, used = os.wait4(pid, 0)
print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def cost(*words: object) -> tuple[float, float]:
    """Megabytes that a command held at its peak, and its seconds of processor time."""
    command = [sys.executable, "-c", LAUNCHER, *map(str, words)]
    quiet = {**os.environ, "BOXSEG_QUIET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        sys.exit(f"{' '.join(command[3:])}: {done.stderr}")
    megabytes, seconds = map(float, done.stdout.splitlines()[-1].split())
    return megabytes, seconds


def costs(folder: Path, count: int, network: int, smoke: bool) -> dict[str, tuple[int, float, float]]:
    """Photos, megabytes and seconds of each command, with this many photos; one of them will do for smoke."""
    data = folder / f"data{count}"
    write_photos(data, count)
    by_ellipse, by_network = folder / f"ellipse{count}", folder / f"network{count}"
    limit = f"data.limit={network}"
    label = ("label", "method=ellipse", f"data={data}", f"out={by_ellipse}")
    commands: dict[str, tuple[int, tuple[object, ...]]] = {
        "doctor": (count, ("doctor", f"data={data}")),
        "label method=ellipse": (count, label),
        "label again, all there": (count, label),
        "report": (count, ("report", by_ellipse)),
        "convert format=coco": (count, ("convert", by_ellipse, folder / f"coco{count}", "format=coco")),
        "label": (network, ("label", f"data={data}", f"out={by_network}", limit)),
    }
    names = ("label method=ellipse",) if smoke else tuple(commands)
    return {name: (commands[name][0], *cost(*commands[name][1])) for name in names}


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the table."""
    command: argparse.ArgumentParser = parser(__doc__)
    command.add_argument("--sizes", type=int, nargs=2, default=[2_000, 20_000], help="photos")
    command.add_argument("--network", type=int, nargs=2, default=[100, 1_000], help="of them by the network")
    options = command.parse_args(words)
    if options.smoke:
        options.sizes, options.network = [3, 4], [1, 2]
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        few, many = (
            costs(Path(place), *sizes, options.smoke)
            for sizes in zip(options.sizes, options.network, strict=True)
        )
    rows = []
    for name, (count, megabytes, seconds) in few.items():
        more, megabytes_more, seconds_more = many[name]
        growth = 1024 * (megabytes_more - megabytes) / (more - count)
        rows.append((name, count, megabytes, seconds, more, megabytes_more, seconds_more, growth))
    columns = ("photos", "peak, MB", "s", "photos", "peak, MB", "s", "more, KB a photo")
    print(table(("command", *columns), rows))
    print(f"\n{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
