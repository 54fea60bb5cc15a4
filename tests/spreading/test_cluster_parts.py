"""What work on a cluster is made of, without one: chunks, what is sent, the check of a worker, its devices."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boxseg.data.loading import photos
from boxseg.data.workers import read_by_threads, reading_threads
from boxseg.dataset import Sample
from boxseg.errors import BoxsegError, ConfigError
from boxseg.progress import Progress
from boxseg.spreading import cluster, on_worker
from boxseg.spreading.chunks import MOST_FOR_A_CORE, Cut
from boxseg.spreading.crew import Hand
from boxseg.spreading.on_worker import Wanted, examine, installed
from boxseg.spreading.sending import to_bytes


def sample(place: int, width: int = 500, height: int = 375, image: Path = Path()) -> Sample:
    none = np.zeros(0, np.int64)
    empty = {"boxes": np.zeros((0, 4)), "labels": none, "difficult": none > 0}
    return Sample(id=f"photo-{place}", image=image, width=width, height=height, **empty)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 4000), max_size=80), st.integers(1, 9))
def test_every_photo_is_in_one_chunk_and_none_is_too_dear(sides: list[int], slots: int) -> None:
    samples = [sample(place, side, side) for place, side in enumerate(sides)]
    cut, found, costs = Cut(samples), [], []
    while cut:
        place, chunk = cut.take(slots, MOST_FOR_A_CORE)
        assert place == len(found)
        found += chunk
        costs.append(sum(max(each.width * each.height, 100_000) for each in chunk))
        assert costs[-1] <= MOST_FOR_A_CORE or len(chunk) == 1
    assert found == samples


def test_chunks_become_smaller_and_what_is_given_back_comes_first() -> None:
    cut, sizes, first = Cut([sample(place) for place in range(200)]), [], None
    while cut:
        taken = cut.take(4, MOST_FOR_A_CORE)
        first = first or taken
        sizes.append(len(taken[1]))
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-2]) == (25, 4)  # an eighth of all; the least that pays
    assert first is not None
    cut.give_back(*first)
    assert cut.take(4, MOST_FOR_A_CORE) == first


def test_photos_that_are_written_together_are_a_chunk_of_any_size() -> None:
    """As long as there are many; at the end chunks become smaller, so that all workers end together."""
    samples = [sample(place) for place in range(1000)]
    cut, sizes, found = Cut(samples, together=100), [], []
    while cut:
        place, chunk = cut.take(2, MOST_FOR_A_CORE)
        assert place == len(found)
        found += chunk
        sizes.append(len(chunk))
    assert found == samples
    assert sizes[:6] == [100] * 6  # many times what a core gets
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-2] < 10


def shown(path: Path) -> str:
    return str(path)


def test_paths_are_sent_as_absolute_ones_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = to_bytes((partial(shown, Path("a/b.png")), [sample(1, image=Path("c.jpg"))], Path("/d")), "work")
    monkeypatch.chdir("/")
    work, (photo,), root = pickle.loads(sent)
    assert (work(), photo.image, root) == (str(tmp_path / "a/b.png"), tmp_path / "c.jpg", Path("/d"))


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(
        ConfigError, match=r"^label cannot be sent to the workers of the cluster \(.*lambda.*\)"
    ):
        to_bytes(lambda: None, "label")


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """What this process has."""
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".probe").touch()
    python, packages = installed()
    return Wanted(
        python=python,
        packages=packages,
        files=((str(tmp_path / "a.jpg"), 5),),
        folders=(str(tmp_path),),
        probe=str(tmp_path / "out" / ".probe"),
        photo=b"",
        accelerator="cpu",
    )


def test_a_worker_that_has_everything(wanted: Wanted, tmp_path: Path) -> None:
    assert examine(wanted) == on_worker.Found()
    assert [file.name for file in (tmp_path / "out").iterdir()] == [".probe"]


def truth() -> None:
    raise BoxsegError("mask.png is not there")


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"python": "2.7"}, "it has Python 3.{}, this command 2.7: install the same version on both"),
        ({"packages": {"torch": "1.0"}}, "it has torch {}, this command 1.0: install the same version on both"),
        (
            {"files": (("/x/a.jpg", 5),)},
            "it does not see /x/a.jpg (No such file or directory): mount that folder",
        ),
        ({"files": (("/dev/null", 5),)}, "its /dev/null has 0 bytes, here 5: mount the same folder"),
        ({"folders": ("/x",)}, "it does not see /x: mount that folder at the same path there"),
        (
            {"probe": "/x/.probe"},
            "it does not see out=/x: choose an out=… in a folder that is mounted there, too",
        ),
        ({"photo": b"truth"}, "it cannot read ground truth (mask.png is not there): mount that folder"),
        ({"accelerator": "abacus"}, "unknown trainer.accelerator=abacus; try auto, cpu or gpu (of the worker)"),
    ],
)
def test_what_a_worker_lacks(change: dict[str, Any], lacks: str, wanted: Wanted) -> None:
    if "photo" in change:
        change = {"photo": pickle.dumps(replace(sample(0), ground_truth=truth))}
    said = examine(replace(wanted, **change)).lacks
    before, _, after = lacks.partition("{}")
    assert said.startswith(before)
    assert after in said


@dataclass(frozen=True)
class Tools:
    """Tools that know where they are."""

    place: torch.device

    def on(self, device: torch.device) -> Tools:
        return Tools(device)


BUSY: dict[str, int] = {}


def look(tools: Tools, samples: Sequence[Sample]) -> tuple[str, int, int | None]:
    """On which device, how many are there at once, and how many threads read photos."""
    name = str(tools.place)
    BUSY[name] = BUSY.get(name, 0) + 1
    time.sleep(0.05)
    most = BUSY[name]
    BUSY[name] -= 1
    return name, most, reading_threads()


def test_each_gpu_has_one_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [torch.device("cuda", place) for place in range(2)]
    of_threads: list[tuple[int, torch.device]] = []
    monkeypatch.setattr(on_worker, "torch_devices", lambda trainer: gpus if trainer.devices == "auto" else [])
    monkeypatch.setattr(on_worker, "_still_wanted", lambda: lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda of: of_threads.append((threading.get_ident(), of)))
    monkeypatch.setattr(on_worker, "cores", lambda: 12)
    on_worker._devices.cache_clear()
    try:
        task, chunk = pickle.dumps((look, Tools(torch.device("cpu")))), pickle.dumps([sample(0)])
        with ThreadPoolExecutor(4) as pool:
            work = [pool.submit(on_worker.work_on, task, "gpus", chunk, "auto") for _ in range(8)]
            found = [future.result() for future in work]
        assert {name for name, _, _ in found} == {"cuda:0", "cuda:1"}
        assert {(most, readers) for _, most, readers in found} == {(1, 6)}
        assert len(of_threads) == 8
        wanted = Wanted(
            python=installed()[0],
            packages={},
            files=(),
            folders=(),
            probe=None,
            photo=b"",
            accelerator="auto",
        )
        assert examine(wanted).accelerators == 2
    finally:
        on_worker._devices.cache_clear()
        on_worker.close("gpus")


def test_a_chunk_ends_when_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(on_worker, "_still_wanted", lambda: lambda: len(seen) < 2)
    work = partial(_note, seen)
    monkeypatch.setattr(on_worker, "_loaded", lambda task: (work, None))
    with pytest.raises(on_worker.Revoked):
        on_worker.work_on(b"", "revoked", pickle.dumps([sample(place) for place in range(5)]), None)
    assert seen == ["photo-0", "photo-1"]


def _note(seen: list[str], samples: Sequence[Sample]) -> None:
    seen += (each.id for each in samples)


def test_threads_read_what_processes_would(tmp_path: Path) -> None:
    for place in range(9):
        Image.new("RGB", (8, 6), (place, 0, 0)).save(tmp_path / f"{place}.png")
    (tmp_path / "4.png").write_bytes(b"no photo")
    samples = [sample(place, 8, 6, tmp_path / f"{place}.png") for place in range(9)]
    here = list(photos(samples, workers=0))
    with read_by_threads(2):
        there = list(photos(samples, workers=2))
    assert [loaded.sample.id for loaded in there] == [f"photo-{place}" for place in range(9)]
    for one, other in zip(here, there, strict=True):
        assert one.error == other.error
        assert one.image is None if other.image is None else np.array_equal(one.image, other.image)
    assert there[4].image is None


class Crew:
    """Workers that die, one after another."""

    def __init__(self) -> None:
        self.count, self.slots, self.hands = 0, 1, {}  # type: ignore[var-annotated]

    def look(self) -> None:
        self.count += 1
        address = f"tcp://worker:{self.count}"
        self.hands = {address: Hand(address=address, executor=None, slots=1, most=MOST_FOR_A_CORE)}  # type: ignore[arg-type]


def test_a_chunk_that_ends_its_workers_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "LOOK", 0.01)
    client = type("Client", (), {"status": "running"})()
    with Progress("work", 3) as bar:
        cut = Cut([sample(place) for place in range(3)])
        run = cluster._Run("tcp://it:1", client, Crew(), cut, bar, None)  # type: ignore[arg-type]
        run.wait_for_workers()
        with pytest.raises(
            BoxsegError, match=r"^3 workers died while they worked on photos photo-0 to photo-2"
        ):
            run.results(lambda hand, chunk: Future())
    assert [record.message for record in caplog.records] == [
        f"cluster: worker tcp://worker:{number} is gone; others do photos photo-0 to photo-2 again"
        for number in (1, 2)
    ]
