"""What the processes of a launch tell one another; here they are threads, and train nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from boxseg.errors import BoxsegError, ConfigError, DataError
from boxseg.training import crew
from boxseg.training.launch import Launch

Start = Callable[[], Future[crew.Outcome]]


@dataclass(frozen=True)
class Photos:
    """In place of a training's photos."""

    files: tuple[Path, ...] = ()
    unreadable: tuple[str, ...] = ("a",)

    def some_files(self) -> list[Path]:
        return list(self.files)


@dataclass(frozen=True)
class Task:
    """In place of a training: writes down the checkpoint that it got, and raises what a rank has to raise."""

    folder: Path
    images: Any = Photos()
    errors: tuple[tuple[int, Exception], ...] = ()

    def launched(self, launch: Launch, store: object, loggers: object = ()) -> Callable[[Path | None], None]:
        def fit(checkpoint: Path | None) -> None:
            for rank, error in self.errors:
                if rank == launch.rank:
                    raise error
            content = checkpoint.read_bytes() if checkpoint else b""
            (self.folder / str(launch.rank)).write_bytes(content)

        return fit


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Launch:
    """The first of two processes."""
    monkeypatch.setattr(crew, "EXPLAINING", 1.0)
    monkeypatch.setattr(crew, "LEAVING", 5.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Launch(
        by="srun", rank=0, world=2, local_rank=0, local_world=1, nodes=2, node=0, address="127.0.0.1",
        port=port, hosts=True,
    )  # fmt: skip


@pytest.fixture
def second(first: Launch) -> Iterator[Start]:
    """Starts the second, which the test must let end."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(crew.follow, replace(first, rank=1, node=1, hosts=False))


def test_all_get_the_trainings_their_checkpoint_and_the_result(
    first: Launch, second: Start, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(bytes(9 * 2**20))  # more than the store takes at once
    with crew.leading(first) as leader:
        other = second()
        assert crew.current() is leader
        assert leader.train(Task(tmp_path), checkpoint, ()) == ["a"]
        assert [(tmp_path / rank).stat().st_size for rank in "01"] == [9 * 2**20] * 2
        assert leader.train(Task(tmp_path, Photos(unreadable=("b", "a"))), None, ()) == ["a", "b"]
        assert [(tmp_path / rank).stat().st_size for rank in "01"] == [0, 0]
        leader.result = "all is well"
    assert crew.current() is None
    assert other.result(timeout=20).given() == "all is well"


def test_an_error_of_the_first_ends_the_other(first: Launch, second: Start) -> None:
    other = second()
    with pytest.raises(ConfigError, match="no such option"), crew.leading(first):
        raise ConfigError("no such option")
    outcome = other.result(timeout=20)
    assert outcome.status == 2
    with pytest.raises(ConfigError, match="no such option"):
        outcome.given()


def test_an_error_of_the_other_is_raised_in_the_first(first: Launch, second: Start, tmp_path: Path) -> None:
    other, task = second(), Task(tmp_path, errors=((1, DataError("b.png: no such mask")),))
    with (
        pytest.raises(DataError, match=r"^process 2 of 2 on .+: b\.png: no such mask$"),
        crew.leading(first) as leader,
    ):
        leader.train(task, None, ())
    assert other.result(timeout=20).status == 2


def test_a_photo_that_only_the_first_sees(first: Launch, second: Start, tmp_path: Path) -> None:
    task = Task(tmp_path, Photos((tmp_path / "a.jpg",)))
    other = second()
    with (
        pytest.raises(DataError, match=r"process 2 of 2 on .+a\.jpg is not there: all machines"),
        crew.leading(first) as leader,
    ):
        leader.train(task, None, ())
    assert other.result(timeout=20).status == 2
    assert not (tmp_path / "0").exists()  # nothing was trained


def test_one_that_reports_nothing_is_lost(first: Launch, second: Start, tmp_path: Path) -> None:
    gone = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")
    other, task = second(), Task(tmp_path, errors=((0, gone),))
    with (
        pytest.raises(BoxsegError, match=r"^process 2 of 2 on .+ is lost .*give the same command"),
        crew.leading(first) as leader,
    ):
        leader.train(task, None, ())
    assert other.result(timeout=20).status == 2


def test_the_port_of_another_program_is_named(first: Launch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.port))
        taken.listen()
        with pytest.raises(ConfigError, match=f"port {first.port} of 127.0.0.1.*cannot be opened.*MASTER_PORT"):
            crew.leading(first).__enter__()


def test_ctrl_c_in_the_first_ends_the_other_as_well(first: Launch, second: Start) -> None:
    other = second()
    with pytest.raises(KeyboardInterrupt), crew.leading(first):
        raise KeyboardInterrupt
    assert other.result(timeout=20).status == 130
