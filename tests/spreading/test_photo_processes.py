"""Photos spread over processes: who works on which, what comes back, and how it ends when a process does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from boxseg.config import TrainerOptions
from boxseg.dataset import Sample
from boxseg.errors import BoxsegError, ConfigError, DataError
from boxseg.inference.devices import torch_devices
from boxseg.progress import track
from boxseg.spreading.processes import chunk_size, spread

CPU = torch.device("cpu")


def photos(count: int) -> list[Sample]:
    none = np.zeros(0, np.int64)
    empty = {"image": Path(), "width": 1, "height": 1, "boxes": np.zeros((0, 4)), "labels": none}
    return [Sample(id=f"photo-{place}", **empty, difficult=none > 0) for place in range(count)]  # type: ignore[arg-type]


# Weights that this process was sent.
RECEIVED: list[Weight] = []


@dataclass(frozen=True)
class Weight:
    """What the photos are worked on with: a tensor that knows where it is."""

    value: torch.Tensor

    def on(self, device: torch.device) -> Weight:
        return Weight(self.value.to(device))

    def __setstate__(self, state: dict[str, torch.Tensor]) -> None:
        self.__dict__.update(state)
        RECEIVED.append(self)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a process says of itself and of its chunk."""

    names: list[str]
    weight: float
    received: int
    process: int
    threads: int
    deaf: bool
    lightning: bool


def look(weight: Weight, samples: Sequence[Sample]) -> Found:
    """Some work; that of the first photo takes the longest."""
    names = [sample.id for sample in track(samples, "work")]
    if "photo-0" in names:
        time.sleep(0.5)
    return Found(
        names=names,
        weight=float(weight.value),
        received=len(RECEIVED),
        process=os.getpid(),
        threads=torch.get_num_threads(),
        deaf=signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []),
        lightning="lightning" in sys.modules,
    )


def test_chunks_come_back_in_order_from_processes_that_were_told_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    threads = torch.get_num_threads()
    found = spread(look, Weight(torch.tensor(2.5)), photos(30), [CPU, CPU], "work")
    assert [name for part in found for name in part.names] == [f"photo-{place}" for place in range(30)]
    assert len(found) >= 4
    assert len({os.getpid(), *(part.process for part in found)}) == 3
    assert {part.weight for part in found} == {2.5}
    assert {part.received for part in found} == {1}
    assert {part.threads for part in found} == {max(1, threads // 2)}
    assert {(part.deaf, part.lightning) for part in found} == {(True, False)}
    assert torch.get_num_threads() == threads
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    shown = capfd.readouterr().err.splitlines()
    assert shown[0].startswith("work: 0 of 30")
    assert shown[-1].startswith("work: 30 of 30")
    assert all(line.startswith("work: ") for line in shown)


@pytest.mark.parametrize("count", [0, 1])
def test_one_photo_or_none_needs_no_other_process(count: int) -> None:
    (found,) = spread(look, Weight(torch.tensor(1.0)), photos(count), [CPU, CPU], "work")
    assert len(found.names) == count
    assert found.process == os.getpid()


@pytest.mark.parametrize(
    ("count", "devices", "threads", "size"),
    [
        (10_000, [CPU] * 2, 8, 64),  # eight for each thread
        (100, [CPU] * 2, 8, 13),  # four chunks for each process
        (20, [CPU] * 2, 8, 8),  # not fewer than threads
        (10, [CPU] * 2, 8, 5),  # nobody is left out
        (10_000, [torch.device("cuda", 0), torch.device("cuda", 1)], 8, 256),
    ],
)
def test_chunks_keep_a_process_busy(count: int, devices: list[torch.device], threads: int, size: int) -> None:
    assert chunk_size(count, devices, threads) == size


@pytest.mark.parametrize(
    ("count", "size"), [(100_000, 1000), (8000, 1000), (4000, 500), (2000, 250), (10, 2), (2, 1)]
)
def test_of_many_photos_those_that_are_written_together_are_a_chunk(count: int, size: int) -> None:
    assert chunk_size(count, [CPU, CPU], 1, together=1000) == size


def trouble(weight: Weight, samples: Sequence[Sample], kind: str) -> None:
    """At photo 5."""
    if any(sample.id == "photo-5" for sample in samples):
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise DataError("photo-5 is broken") if kind == "data" else ZeroDivisionError("of photo-5")


WHERE = r" while it worked on photos photo-4 to photo-7$"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("data", r"^photo-5 is broken$"),
        ("bug", r"^process \d failed \(ZeroDivisionError: of photo-5\)" + WHERE),
        ("kill", r"^process \d was killed \(memory may have run out: try fewer devices\)" + WHERE),
    ],
)
def test_trouble_in_a_process_is_one_line_that_names_the_photos(kind: str, said: str) -> None:
    work = partial(trouble, kind=kind)
    with pytest.raises(BoxsegError, match=said) as caught:
        spread(work, Weight(torch.tensor(1.0)), photos(32), [CPU, CPU], "work")
    assert isinstance(caught.value, DataError) == (kind == "data")
    if kind == "bug":  # where it came from, for --debug
        assert "in trouble" in "".join(traceback.format_exception(caught.value))


SCRIPT = """
import os, sys, time
from pathlib import Path
import torch
from boxseg.dataset import Sample
from boxseg.spreading.processes import spread
from test_photo_processes import Weight, photos

def linger(weight, samples):
    half = Path(f"half-{os.getpid()}")
    half.touch()
    try:
        time.sleep(300)
    finally:
        half.unlink()

IF_MAIN
    spread(linger, Weight(torch.tensor(1.0)), photos(8), [torch.device("cpu")] * 2, "work")
"""


def start_script(folder: Path, guard: str) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(SCRIPT.replace("IF_MAIN", guard))
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_script_that_every_process_would_run_again_is_told_so(tmp_path: Path) -> None:
    script = start_script(tmp_path, "if True:")
    _, errors = script.communicate(timeout=300)
    assert script.returncode == 1
    assert errors.splitlines()[-1] == (
        "boxseg.errors.BoxsegError: process 1 ended with status 1 before its first photo; a script that asks "
        'for several devices must do so under `if __name__ == "__main__":`'
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    script = start_script(tmp_path, 'if __name__ == "__main__":')
    while len(list(tmp_path.glob("half-*"))) < 2:
        assert script.poll() is None
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(script.pid, number)  # as a terminal does
    else:
        script.send_signal(number)
    _, errors = script.communicate(timeout=60)
    assert script.returncode == -number
    wait_for_end(script.pid)
    assert not list(tmp_path.glob("half-*"))
    if number == signal.SIGINT:
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1  # none of the processes


def wait_for_end(group: int) -> None:
    """Until no process of a group is left."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("a process is left")


def test_devices_as_asked_for() -> None:
    assert torch_devices(TrainerOptions(accelerator="cpu", devices=3)) == [CPU] * 3
    assert torch_devices(TrainerOptions(accelerator="cpu", devices="auto")) == [CPU]
    with pytest.raises(ConfigError, match=r"trainer\.devices must be 1 or more, got 0"):
        TrainerOptions(devices=0)
    with pytest.raises(ConfigError, match="try auto, cpu or gpu"):
        torch_devices(TrainerOptions(accelerator="abacus"))


def test_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_devices(TrainerOptions(devices="auto")) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert torch_devices(TrainerOptions(accelerator="gpu")) == [torch.device("cuda")]
    with pytest.raises(ConfigError, match=r"trainer\.devices=3, but there are 2"):
        torch_devices(TrainerOptions(devices=3))
