"""Shared by the benchmarks: alternating clocks, peaks of memory, photos, Markdown tables."""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset
from boxseg.progress import quiet

SIZE = (375, 500)
MEGABYTE = 2**20

K = TypeVar("K")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Milliseconds elapsed, and of processor time, which other work on the machine disturbs less."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Cost:
    """What one call costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(wall=1e3 * (time.perf_counter() - wall), cpu=1e3 * (time.process_time() - cpu))


def rounds(works: Mapping[K, Callable[[], object]], repetitions: int) -> dict[K, list[Cost]]:
    """What each costs in each repetition, which calls all in turn; a first repetition is not counted.

    Every other repetition goes backwards: what one call leaves to the next must not always meet the same one.
    """
    costs: dict[K, list[Cost]] = {name: [] for name in works}
    with quiet():
        for work in works.values():
            work()
        for repetition in range(repetitions):
            for name in list(works)[:: 1 if repetition % 2 == 0 else -1]:
                costs[name].append(timed(works[name]))
    return costs


def alternate(works: Mapping[K, Callable[[], object]], repetitions: int, per: int = 1) -> dict[K, Cost]:
    """Medians of `rounds`.

    Args:
        works: What is measured, by name.
        repetitions: How often.
        per: Divisor of all costs, such as the number of photos of a call.
    """
    return {
        name: Cost(wall=median(c.wall for c in many) / per, cpu=median(c.cpu for c in many) / per)
        for name, many in rounds(works, repetitions).items()
    }


def more(costs: Sequence[float], than: Sequence[float]) -> tuple[float, float, float]:
    """Percent by which costs exceed others of the same rounds: median, and its 95 % interval (bootstrap)."""
    shares = [100 * (one / other - 1) for one, other in zip(costs, than, strict=True)]
    draws = random.Random(0)
    medians = sorted(median(draws.choices(shares, k=len(shares))) for _ in range(2000))
    return median(shares), medians[50], medians[-51]


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a new process, where no earlier memory hides what it takes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def resident_growth(work: Callable[[], object]) -> float:
    """Megabytes by which a call raises the memory of this process at its peak (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    with quiet():
        work()
    return (_status("VmHWM") - before) / 1024


def memory_held() -> tuple[float, float]:
    """Kilobytes that this process holds now, and the most it ever held (Linux)."""
    return float(_status("VmRSS")), float(_status("VmHWM"))


def allocated(work: Callable[[], object]) -> float:
    """Megabytes of tensors that a call adds at its peak."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    held = peak = 0
    for event in events:
        if event.get("name") == "[memory]":
            held += event["args"]["Bytes"]
            peak = max(peak, held)
    return peak / MEGABYTE


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers to three digits."""
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options of every benchmark."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--data", type=Path, help="VOCdevkit/VOC2012; otherwise the generated demo photos")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--repetitions", type=int, default=5)
    made.add_argument("--smoke", action="store_true", help="tiny sizes, each command once: whether it runs")
    return made


@contextmanager
def settings(options: argparse.Namespace) -> Iterator[None]:
    """Set the options' number of threads until the block ends, and print what the tables were measured with."""
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    if options.smoke:
        options.repetitions = 1
    print(f"\ntorch {torch.__version__}, {options.threads} threads, medians of {options.repetitions}\n")
    try:
        yield
    finally:
        torch.set_num_threads(before)


def photos(data: Path | None, count: int, folder: Path, smoke: bool) -> BoxDataset:
    """`count` photos with boxes: the first of 500 x 375 pixels, or generated ones in a folder.

    Args:
        data: VOC folder, or None.
        count: How many photos.
        folder: Where photos are generated.
        smoke: Small photos.
    """
    if data is None:
        write_toy(folder, train=max(count, 12), val=1, size=64 if smoke else 500)  # enough to show every class
        dataset = formats.load(Data(root=folder))
        fitting = list(dataset.samples)
    else:
        dataset = formats.load(Data(root=data))
        fitting = [s for s in dataset.samples if (s.height, s.width) == SIZE and len(s.labels)]
    if len(fitting) < count:
        sys.exit(f"{data} has {len(fitting)} photos of 500 x 375 pixels with boxes, expected {count}")
    return dataclasses.replace(dataset, samples=tuple(fitting[:count]))


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _status(name: str) -> int:
    """Kilobytes, from Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
