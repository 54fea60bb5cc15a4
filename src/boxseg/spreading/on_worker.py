"""What the workers of a cluster run: the check whether they can work on these photos, and the work.

A worker takes as many chunks at once as it has threads (`dask worker --nthreads`). On a CPU each of them is
worked on by one thread, on accelerators each has one of these for itself.
"""

from __future__ import annotations

import pickle
import platform
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar, overload

import torch

from boxseg.config import TrainerOptions
from boxseg.data.workers import cores, read_by_threads
from boxseg.dataset import Sample
from boxseg.errors import BoxsegError, ConfigError, one_line
from boxseg.inference.devices import torch_devices
from boxseg.progress import quiet
from boxseg.remote.address import as_path

T = TypeVar("T")

# Packages on which results or the messages of Dask depend.
PACKAGES = ("boxseg", "torch", "numpy", "distributed")
# Threads that read photos for an accelerator.
_READERS = 8
# Commands whose tools a worker keeps: more than one may use a cluster.
_COMMANDS = 2


class Revoked(BoxsegError):
    """Nobody waits for the chunk any more."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a worker must have.

    Attributes:
        python: Version, such as 3.11.
        packages: Versions of `PACKAGES`.
        files: Files that it must see, with their sizes.
        folders: Folders that it must see.
        probe: A file in the folder to write to, which the command has just made; None if nothing is written.
        photo: One of the photos, pickled, whose ground truth must be readable; empty for none.
        accelerator: Devices for the networks; None for work without any.
    """

    python: str
    packages: dict[str, str]
    files: tuple[tuple[str, int], ...]
    folders: tuple[str, ...]
    probe: str | None
    photo: bytes
    accelerator: str | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a worker says of itself.

    Attributes:
        lacks: What it lacks and what to do, or empty.
        accelerators: Number of its accelerators.
    """

    lacks: str = ""
    accelerators: int = 0


def installed() -> tuple[str, dict[str, str]]:
    """Versions of Python and of `PACKAGES`, without what follows a plus: builds of torch differ there."""
    return ".".join(platform.python_version_tuple()[:2]), {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def examine(wanted: Wanted) -> Found:
    """Whether this worker can do the work."""
    lacks = _other_version(wanted) or _unseen(wanted) or _unwritable(wanted) or _unreadable(wanted)
    if lacks or wanted.accelerator is None:
        return Found(lacks=lacks)
    try:
        devices = _devices(wanted.accelerator)
    except BoxsegError as error:
        return Found(lacks=f"{one_line(error)} (of the worker)")
    return Found(accelerators=0 if devices is None else devices.maxsize)


def _other_version(wanted: Wanted) -> str:
    python, packages = installed()
    pairs = [("Python", python, wanted.python)]
    pairs += [(name, packages[name], here) for name, here in wanted.packages.items()]
    for name, there, here in pairs:
        if there != here:
            return f"it has {name} {there}, this command {here}: install the same version on both"
    return ""


def _unseen(wanted: Wanted) -> str:
    for name, size in wanted.files:
        try:
            there = as_path(name).stat().st_size
        except OSError as error:
            return f"it does not see {name} ({error.strerror}): mount that folder at the same path there"
        except BoxsegError as error:  # of an address
            return f"it cannot read {one_line(error, 300)} (of the worker)"
        if there != size:
            return f"its {name} has {there} bytes, here {size}: mount the same folder at that path there"
    missing = next((name for name in wanted.folders if not as_path(name).exists()), None)
    return f"it does not see {missing}: mount that folder at the same path there" if missing else ""


def _unwritable(wanted: Wanted) -> str:
    if wanted.probe is None:
        return ""
    probe = Path(wanted.probe)
    if not probe.is_file():
        return f"it does not see out={probe.parent}: choose an out=… in a folder that is mounted there, too"
    own = probe.with_name(f".probe-{uuid.uuid4().hex}")
    try:
        own.touch()
        own.unlink()
    except OSError as error:
        return f"it may not write to out={probe.parent} ({error.strerror}): give its user the right to"
    return ""


def _unreadable(wanted: Wanted) -> str:
    """Ground truth is read by the formats' own ways: a mask that is not there would count as damaged."""
    if not wanted.photo:
        return ""
    try:
        pickle.loads(wanted.photo).ground_truth()
    except BoxsegError as error:
        reason = one_line(error, 300)
        return f"it cannot read ground truth ({reason}): mount that folder at the same path there"
    return ""


def work_on(task: bytes, name: str, chunk: bytes, accelerator: str | None) -> Any:
    """Work on a chunk.

    Args:
        task: The work and its tools, pickled.
        name: Of the task: it is opened once.
        chunk: Photos, pickled.
        accelerator: As of `Wanted`.
    """
    samples = _Watched(pickle.loads(chunk), _still_wanted())
    if accelerator is None:
        torch.set_num_threads(1)
        with quiet(), read_by_threads(0):
            work, _ = _opened(task, name, None)
            return work(samples)
    with _one_device(accelerator) as device, quiet(), read_by_threads(_readers(accelerator)):
        work, tools = _opened(task, name, device)
        return work(tools, samples)


@contextmanager
def _one_device(accelerator: str) -> Iterator[torch.device]:
    """The CPU, for one thread; or an accelerator on which nothing else of boxseg runs in this process."""
    devices = _devices(accelerator)
    if devices is None:
        torch.set_num_threads(1)
        yield torch.device("cpu")
        return
    device = devices.get()
    try:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # of this thread
        yield device
    finally:
        devices.put(device)


def _readers(accelerator: str) -> int:
    """Threads that read photos ahead: Dask's processes may not start processes. A core reads for itself."""
    devices = _devices(accelerator)
    return 0 if devices is None else max(1, min(_READERS, cores() // devices.maxsize))


@lru_cache
def _devices(accelerator: str) -> Queue[torch.device] | None:
    """The accelerators of this worker that are free; None where the CPU does the work."""
    found = torch_devices(TrainerOptions(accelerator=accelerator, devices="auto"))
    if found[0].type == "cpu":
        return None
    free: Queue[torch.device] = Queue(len(found))
    for device in found:
        free.put(device)
    return free


_lock = threading.Lock()
_open: OrderedDict[str, dict[str, tuple[Callable[..., Any], Any]]] = OrderedDict()


def _opened(task: bytes, name: str, device: torch.device | None) -> tuple[Callable[..., Any], Any]:
    """Work and tools on a device. A thread unpickles them, and others wait."""
    with _lock:
        on = _open.setdefault(name, {})
        _open.move_to_end(name)
        while len(_open) > _COMMANDS:
            _open.popitem(last=False)
        if str(device) not in on:
            work, tools = _loaded(task)
            on[str(device)] = work, tools if device is None else tools.on(device)
        return on[str(device)]


def _loaded(task: bytes) -> tuple[Callable[..., Any], Any]:
    try:
        work, tools = pickle.loads(task)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"a worker cannot import what the work needs ({one_line(error, 300)}): install the package that "
            "has it there, too, or leave out cluster="
        ) from error
    return work, tools


def close(name: str) -> None:
    """Forget a task: its command has ended."""
    with _lock:
        _open.pop(name, None)


def _still_wanted() -> Callable[[], bool]:
    """Tells whether Dask still wants the result of the task that this thread runs."""
    from distributed import get_worker
    from distributed.worker import thread_state  # type: ignore[attr-defined]

    worker, key = get_worker(), thread_state.key

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        alive = worker.status.name in ("running", "paused", "closing_gracefully")
        return alive and task is not None and task.state in ("executing", "long-running")

    return wanted


class _Watched(Sequence[Sample]):
    """Photos of a chunk, until its command has ended: then none of them is worked on.

    Otherwise a chunk could write over what another command, with other options, writes by then.
    """

    def __init__(self, samples: Sequence[Sample], wanted: Callable[[], bool]) -> None:
        self._samples, self._wanted = samples, wanted

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, place: int) -> Sample: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Sample]: ...

    def __getitem__(self, place: int | slice) -> Sample | Sequence[Sample]:
        if not self._wanted():
            raise Revoked("the command that asked for these photos has ended")
        return self._samples[place]
