"""Trainings over two machines, which here are two agents of torchrun, or two tasks of SLURM, on one.

There is no SLURM: its variables are set as srun sets them.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from boxseg.cli import execute

CLASSIFY = (
    "classify", "model.weights=none", "classify.iterations=4", "classify.batch=4", "classify.augment.crop=33",
    "checkpoint_every=2", "trainer.workers=0",
)  # fmt: skip

# Seconds within which all must have come to an end.
PATIENCE = 300

Starting = Callable[..., list["Process"]]
Command = Callable[..., subprocess.CompletedProcess[str]]


class Process(subprocess.Popen[bytes]):
    """A process that writes what it says to a file."""

    def __init__(self, words: list[str], said: Path, **environment: str) -> None:
        self.said = said
        with said.open("wb") as file:
            super().__init__(
                words, stdout=file, stderr=file, env={**os.environ, **environment}, start_new_session=True
            )

    def ours(self) -> list[str]:
        """The lines of boxseg, without those of torchrun."""
        return [
            line for line in self.said.read_text().splitlines() if line.startswith(("boxseg:", "classify:"))
        ]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Starting]:
    """Starts a command by torchrun or srun as on two machines; what is left at the end is killed."""
    started: list[Process] = []

    def start(by: str, *words: str) -> list[Process]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        python = [sys.executable, "-m"]
        for rank in (0, 1):
            said = tmp_path / f"said-{len(started)}"
            if by == "torchrun":
                agent = ["--nnodes=2", f"--node_rank={rank}", "--nproc_per_node=1", "--master_addr=127.0.0.1"]
                agent += [f"--master_port={port}", "-m", "boxseg"]
                started.append(Process([*python, "torch.distributed.run", *agent, *words], said))
            else:
                started.append(Process([*python, "boxseg", *words], said, **task_of_slurm(rank, port)))
        return started[-2:]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def task_of_slurm(rank: int, port: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NODELIST": "localhost", "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": "0", "SLURM_NODEID": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def ended(processes: list[Process]) -> list[int]:
    end = time.monotonic() + PATIENCE
    return [process.wait(max(1, end - time.monotonic())) for process in processes]


def rows(folder: Path) -> list[list[float]]:
    lines = (folder / "history.csv").read_text().splitlines()[1:]
    return [[float(value) for value in line.split(",")] for line in lines]


def assert_same_training(folder: Path, other: Path) -> None:
    """Equal up to the order of sums."""
    one, two = (load_file(place / "model.safetensors") for place in (folder, other))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-6, rtol=1e-4)
    assert len(rows(folder)) == len(rows(other)) == 4
    for row, same in zip(rows(folder), rows(other), strict=True):
        assert same == pytest.approx(row, rel=1e-4)


def set_back(folder: Path, copy: Path) -> Path:
    """A copy of a finished training, as it was after two of its four iterations."""
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").unlink()
    (copy / "checkpoints" / "before-last.ckpt").replace(copy / "checkpoints" / "last.ckpt")
    return copy


@pytest.fixture(scope="module")
def alone(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training of one process."""
    out = tmp_path_factory.mktemp("alone")
    assert execute([*CLASSIFY, f"data={toy}", f"out={out}"]) == 0
    return out


def test_two_agents_are_two_processes_of_one_machine(
    two: Starting, alone: Path, toy: Path, tmp_path: Path, boxseg: Command
) -> None:
    words = [*CLASSIFY, f"data={toy}"]
    agents = two("torchrun", *words, f"out={tmp_path}/two", "num_nodes=2")
    assert ended(agents) == [0, 0], agents[0].said.read_text()
    assert "classify: 2 processes on 2 machines, started by torchrun" in agents[0].ours()
    assert agents[1].ours() == []  # only the first process speaks
    subprocess.run(
        [sys.executable, "-m", "boxseg", *words, f"out={tmp_path}/devices", "devices=2"],
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("devices", "two"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert rows(tmp_path / "devices") == rows(tmp_path / "two")
    assert_same_training(alone, tmp_path / "two")
    # One machine goes on where two were.
    resumed = set_back(tmp_path / "two", tmp_path / "resumed")
    said = boxseg(*words, f"out={resumed}").stderr
    assert f"resuming from {resumed}" in said
    assert "3 of 4" in said
    assert_same_training(alone, resumed)


def test_two_tasks_of_slurm_go_on_where_one_process_was(
    two: Starting, alone: Path, toy: Path, tmp_path: Path
) -> None:
    resumed = set_back(alone, tmp_path / "resumed")
    tasks = two("srun", *CLASSIFY, f"data={toy}", f"out={resumed}")
    assert ended(tasks) == [0, 0], tasks[0].said.read_text()
    said = tasks[0].said.read_text()
    assert "2 processes on 2 machines, started by srun" in said
    assert f"resuming from {resumed}" in said
    assert "3 of 4" in said
    assert tasks[1].said.read_text() == ""
    assert_same_training(alone, resumed)


@pytest.mark.skipif(sys.platform != "linux", reason="the process of an agent is found in /proc")
def test_an_agent_is_killed(two: Starting, toy: Path, tmp_path: Path) -> None:
    """As where a machine is lost: its process ends, too, and the other machine says so."""
    words = [*CLASSIFY, f"data={toy}", f"out={tmp_path}/c", "classify.iterations=100000"]
    agents = two("torchrun", *words)
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "c" / "checkpoints" / "last.ckpt").exists() and time.monotonic() < end:
        assert [agent.poll() for agent in agents] == [None, None], agents[0].said.read_text()
        time.sleep(0.05)
    (worker,) = Path(f"/proc/{agents[1].pid}/task/{agents[1].pid}/children").read_text().split()
    agents[1].kill()
    statuses = ended(agents)
    assert statuses[0] > 0
    (line,) = [line for line in agents[0].ours() if line.startswith("boxseg:")]
    assert line.startswith("boxseg: process 2 of 2 on ")
    assert "is lost (killed, or its machine has gone): give the same command again" in line
    assert "Traceback" not in agents[0].said.read_text().partition("boxseg:")[0]
    assert not Path(f"/proc/{worker}").exists()


def test_a_damaged_mask_that_one_of_them_reads_ends_both(two: Starting, toy: Path, tmp_path: Path) -> None:
    """The other waits in torch for the one that cannot go on."""
    shutil.copytree(toy / "SegmentationClass", tmp_path / "masks")
    (tmp_path / "masks" / "train_0003.png").write_bytes(b"no picture")
    words = ["segment", "model.weights=none", "segment.iterations=100000", "segment.batch=2", "workers=0"]
    words += ["segment.augment.crop=33", f"labels={tmp_path}/masks", f"data={toy}", f"out={tmp_path}/s"]
    tasks = two("srun", *words)
    assert ended(tasks) == [2, 2], tasks[0].said.read_text()
    assert "train_0003.png" in tasks[0].ours()[-1]
    assert tasks[1].said.read_text() == ""


def test_a_job_of_slurm_without_srun_trains_alone(
    alone: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would wait for three others, or refuse the job."""
    for name, value in {"JOB_ID": "1", "NTASKS": "4", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert execute([*CLASSIFY, f"data={toy}", f"out={tmp_path}/c"]) == 0
    one, other = (load_file(folder / "model.safetensors") for folder in (alone, tmp_path / "c"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_plan_for_two_machines_needs_no_launcher(toy: Path, tmp_path: Path, boxseg: Command) -> None:
    words = [*CLASSIFY, f"data={toy}", f"out={tmp_path}/c", "num_nodes=2"]
    assert "shared by 2 machines" in boxseg(*words, "dry_run=true").stdout
    refused = boxseg(*words, check=False)
    assert refused.returncode == 2
    assert "trainer.num_nodes=2, but this process was started alone" in refused.stderr
    assert not (tmp_path / "c").exists()
