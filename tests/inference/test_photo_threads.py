"""Photos in a stage's hands: their order, their threads, and how it ends when one of them goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from boxseg.config import TrainerOptions
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.inference import threads as module
from boxseg.inference.threads import Readable, Skipped, photo_loop

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Three threads, whatever the machine has; as many as before when the test ends."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Twelve photos, each a pixel wider than the last; photo 4 is damaged."""
    found = []
    for place in range(12):
        path = tmp_path / f"{place}.png"
        Image.new("RGB", (10 + place, 8)).save(path)
        if place == 4:
            path.write_bytes(b"no photo")
        none = np.zeros(0, np.int64)
        found.append(
            Sample(
                id=str(place),
                image=path,
                width=10 + place,
                height=8,
                boxes=np.zeros((0, 4), np.float32),
                labels=none,
                difficult=none > 0,
            )
        )
    return found


def loop(work: Callable[[Readable], Any], samples: Sequence[Sample]) -> Iterator[tuple[Sample, Any]]:
    """The loop of a CPU, with work on one photo."""
    trainer = TrainerOptions(workers=0)

    def work_on(group: Sequence[Readable]) -> list[Any]:
        return [work(photo) for photo in group]

    return photo_loop(work_on, samples, description="test", trainer=trainer, device=CPU)


def results(seen: Iterator[tuple[Sample, Any]]) -> list[Any]:
    return [result for _, result in seen if not isinstance(result, Skipped)]


def test_results_come_in_order_from_threads_that_have_one_thread_each(samples: list[Sample]) -> None:
    meeting = threading.Barrier(3, timeout=60)  # nobody passes unless three photos are at work

    def work(photo: Readable) -> tuple[str, int, int]:
        sample, image = photo
        if int(sample.id) < 3:
            meeting.wait()
        time.sleep(0.02 * (int(sample.id) % 3 == 0))
        return sample.id, image.shape[1], torch.get_num_threads()

    found = list(loop(work, samples))
    assert [sample.id for sample, _ in found] == [str(place) for place in range(12)]
    sample, damaged = found.pop(4)
    assert isinstance(damaged, Skipped)
    assert str(sample.image) in damaged.reason
    assert [result for _, result in found] == [(str(place), 10 + place, 1) for place in range(12) if place != 4]
    assert torch.get_num_threads() == 3
    started: list[int] = []
    later = threading.Thread(target=lambda: started.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert started == [3]


def test_few_photos_are_in_memory_at_once(samples: list[Sample]) -> None:
    begun: list[str] = []
    seen = loop(lambda photo: begun.append(photo[0].id), samples)
    next(seen)
    assert len(begun) <= 7
    seen.close()  # type: ignore[attr-defined]
    assert len(begun) < 11
    assert torch.get_num_threads() == 3


def test_a_large_photo_has_all_threads_and_no_company(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 8 * 16)  # photo 7 and those after it
    active: list[str] = []

    def work(photo: Readable) -> tuple[int, int, bool]:
        name = photo[0].id
        active.append(name)
        time.sleep(0.01)
        company = len(active)
        active.remove(name)
        return int(name), company, torch.get_num_threads() == 3

    for place, company, all_threads in results(loop(work, samples)):
        assert all_threads == (place >= 7)
        assert company == 1 or place < 7


def test_an_error_in_a_thread_is_the_callers(samples: list[Sample]) -> None:
    done: list[str] = []

    def work(photo: Readable) -> str:
        name = photo[0].id
        if name == "5":
            raise DataError("photo 5 is broken")
        done.append(name)
        return name

    seen = loop(work, samples)
    assert [next(seen)[1] for _ in range(4)] == ["0", "1", "2", "3"]
    with pytest.raises(DataError, match="photo 5 is broken"):
        list(seen)
    assert "11" not in done
    assert torch.get_num_threads() == 3


def test_an_accelerator_has_small_photos_together_and_large_ones_alone(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "PIXELS", 8 * (16 + 17))  # photos 6 and 7 just fit, 8 and 9 do not
    here = threading.get_ident()

    def work(group: Sequence[Readable]) -> list[list[str]]:
        assert threading.get_ident() == here
        return [[sample.id for sample, _ in group]] * len(group)

    trainer, device = TrainerOptions(workers=0), torch.device("cuda")
    found = results(photo_loop(work, samples, description="test", trainer=trainer, device=device))
    pairs = [["0", "1"]] * 2 + [["2", "3"]] * 2 + [["5"]] + [["6", "7"]] * 2
    assert found == [*pairs, ["8"], ["9"], ["10"], ["11"]]
