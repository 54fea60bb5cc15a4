"""Photos spread over processes: whose they are, what comes back, and how it ends when a process does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
from boxseg.inference.processes import in_order, spread
from boxseg.progress import track

CPU = torch.device("cpu")


def photos(count: int) -> list[Sample]:
    none = np.zeros(0, np.int64)
    empty = {"image": Path(), "width": 1, "height": 1, "boxes": np.zeros((0, 4)), "labels": none}
    return [Sample(id=f"photo-{place}", **empty, difficult=none > 0) for place in range(count)]  # type: ignore[arg-type]


@dataclass(frozen=True)
class Weight:
    """What the photos are worked on with: a tensor that knows where it is."""

    value: torch.Tensor

    def on(self, device: torch.device) -> Weight:
        return Weight(self.value.to(device))


def names_of(weight: Weight, samples: Sequence[Sample], trouble: str = "") -> tuple[list[str], float, int, int]:
    """Some work: the names of the photos, the weight, the process and its threads; or trouble at photo 5."""
    names = []
    for sample in track(samples, "work"):
        names.append(sample.id)
        if trouble and sample.id == "photo-5":
            if trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise DataError("photo-5 is broken") if trouble == "data" else ZeroDivisionError("of photo-5")
    return names, float(weight.value), os.getpid(), torch.get_num_threads()


def test_every_photo_belongs_to_one_process_by_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    found = spread(names_of, Weight(torch.tensor(2.5)), photos(7), [CPU, CPU], "work")
    assert [names for names, *_ in found] == [
        ["photo-0", "photo-2", "photo-4", "photo-6"],
        ["photo-1", "photo-3", "photo-5"],
    ]
    assert {weight for _, weight, *_ in found} == {2.5}
    assert len({os.getpid(), *(process for _, _, process, _ in found)}) == 3
    assert {number for *_, number in found} == {max(1, threads // 2)}
    assert torch.get_num_threads() == threads
    shown = capfd.readouterr().err.splitlines()
    assert shown[0].startswith("work: 0/7")
    assert shown[-1].startswith("work: 7/7")
    assert all(line.startswith("work: ") for line in shown)


def circumstances(weight: Weight, samples: Sequence[Sample]) -> tuple[bool, bool, bool]:
    """Whether work runs in Lightning's predict loop, in a process group, and where Ctrl-C is never heard."""
    callers = [frame.filename for frame in traceback.extract_stack()]
    loop = any(Path(name).match("lightning/pytorch/loops/prediction_loop.py") for name in callers)
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return loop, torch.distributed.is_initialized(), blocked


def test_processes_are_those_of_lightnings_predict_loop() -> None:
    found = spread(circumstances, Weight(torch.tensor(1.0)), photos(3), [CPU, CPU], "work")
    assert found == [(True, False, True)] * 2
    assert spread(circumstances, Weight(torch.tensor(1.0)), photos(3), [CPU], "work") == [(False, False, False)]


def test_lightning_is_imported_for_several_devices_only() -> None:
    code = """
import sys, torch
from boxseg.stages import evaluate, label
from boxseg.inference.processes import spread
class Nothing:
    def on(self, device):
        return self
print(spread(lambda *_: "lightning" in sys.modules, Nothing(), [], [torch.device("cpu")], ""))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[False]\n"


@pytest.mark.parametrize("count", [0, 1])
def test_one_photo_or_none_needs_no_other_process(count: int) -> None:
    [(names, _, process, _)] = spread(names_of, Weight(torch.tensor(1.0)), photos(count), [CPU, CPU], "work")
    assert len(names) == count
    assert process == os.getpid()


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("data", r"^photo-5 is broken$"),
        ("bug", r"^process 2 failed \(ZeroDivisionError: of photo-5\), at photo photo-5 or one of the few"),
        ("kill", r"^process 2 was killed \(memory may have run out.*\), at photo photo-5 or one of the few"),
    ],
)  # fmt: skip
def test_trouble_in_a_process_is_one_line_that_names_the_photo(trouble: str, said: str) -> None:
    work = partial(names_of, trouble=trouble)
    with pytest.raises(BoxsegError, match=said) as caught:
        spread(work, Weight(torch.tensor(1.0)), photos(30), [CPU, CPU], "work")
    assert isinstance(caught.value, DataError) == (trouble == "data")
    if trouble == "bug":  # where it came from, for --debug
        assert "in names_of" in str(caught.value.__cause__)


def test_what_is_wrong_with_photos_is_listed_in_their_order() -> None:
    parts = [{"photo-4": "d", "photo-0": "a"}, {"photo-3": "c", "photo-1": "b"}]
    assert list(in_order(photos(6), parts).items()) == [
        ("photo-0", "a"), ("photo-1", "b"), ("photo-3", "c"), ("photo-4", "d"),
    ]  # fmt: skip


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
