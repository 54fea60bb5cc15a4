"""Whether torchrun or SLURM has started this process as one of several, as the environment says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from boxseg.errors import ConfigError, require
from boxseg.wording import counted

if TYPE_CHECKING:  # every command looks who has started it
    from boxseg.config import TrainerOptions

# Verbs that share trainings among processes; what else they do, the first process does.
TRAINING_VERBS = ("adapt", "classify", "segment", "run", "demo", "reproduce")

# The options by which each launcher is told the number of machines, and of processes on each.
_NODES = {"torchrun": "--nnodes", "srun": "--nodes"}
_EACH = {"torchrun": "--nproc_per_node", "srun": "--ntasks-per-node"}

# SLURM's names of jobs that are shells, in which a command is typed.
_SHELLS = ("bash", "interactive")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The place of this process among those that a launcher has started for one command.

    Attributes:
        by: The launcher.
        rank: Number of this process among all, from 0.
        world: Number of all processes.
        local_rank: Number of this process among those of its machine, from 0.
        local_world: Processes on each machine.
        nodes: Machines.
        node: Number of this machine, from 0.
        address: Name or IP address of the first machine.
        port: Port there, at which the processes meet.
        hosts: Whether this process has to open that port; torchrun may have done so itself.
        attempt: How often torchrun has started these processes again.
    """

    by: Literal["torchrun", "srun"]
    rank: int
    world: int
    local_rank: int
    local_world: int
    nodes: int
    node: int
    address: str
    port: int
    hosts: bool
    attempt: int = 0

    def __str__(self) -> str:
        return f"{counted(self.world, 'process')} on {counted(self.nodes, 'machine')}, started by {self.by}"


def launched(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """The place of this process; None where it was started alone.

    Commands that are typed in a shell of SLURM, or stand in a batch script without srun, are alone, however
    many tasks SLURM has been asked for.

    Raises:
        ConfigError: The machines have different numbers of processes, or what the launcher says is incomplete.
    """
    by_torchrun = "TORCHELASTIC_RUN_ID" in environment
    if not by_torchrun and not _by_srun(environment):
        return None
    try:
        found = _torchrun(environment) if by_torchrun else _srun(environment)
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"the environment says that {'torchrun' if by_torchrun else 'srun'} started this process, but "
            f"lacks what it sets there ({error}): start it by torchrun or srun, or unset these variables"
        ) from error
    if found.world == 1:
        return None
    if found.world != found.nodes * found.local_world:
        raise ConfigError(
            f"{found.by} started {counted(found.world, 'process')} on {counted(found.nodes, 'machine')}: a "
            f"training needs equally many on each, give {_EACH[found.by]}"
        )
    return found


def check_launch(
    verb: str, trainer: TrainerOptions | None, launch: Launch | None, *, planned: bool = False
) -> None:
    """Check that a verb can run in the processes that were started, before it does anything.

    Args:
        verb: The verb.
        trainer: Its options, if it has any.
        launch: What started this process; None if it is alone.
        planned: Whether it is a dry run, for which nothing needs to be started.

    Raises:
        ConfigError: The verb trains nothing, or the options and the launcher contradict each other.
    """
    trains = verb in TRAINING_VERBS and trainer is not None
    if launch is None:
        nodes = trainer.num_nodes if trains and trainer is not None and not planned else 1
        require(
            nodes in ("auto", 1),
            f"trainer.num_nodes={nodes}, but this process was started alone: give the command on each machine "
            f"by `torchrun --nnodes={nodes} …`, or by srun (docs/training.md shows how)",
        )
        return
    if not trains or trainer is None:
        raise ConfigError(
            f"{launch.by} started boxseg {verb} in {counted(launch.world, 'process')}, which only trainings "
            f"share ({', '.join(TRAINING_VERBS)}): start it once, without {launch.by}"
        )
    require(
        trainer.num_nodes in ("auto", launch.nodes),
        f"trainer.num_nodes={trainer.num_nodes}, but {launch.by} started this on "
        f"{counted(launch.nodes, 'machine')}: change {_NODES[launch.by]}, or leave out trainer.num_nodes",
    )
    require(
        trainer.devices in ("auto", 1, launch.local_world),
        f"trainer.devices={trainer.devices}, but {launch.by} started {counted(launch.local_world, 'process')} "
        f"on each machine: change {_EACH[launch.by]}, or leave out trainer.devices",
    )


def _torchrun(environment: Mapping[str, str]) -> Launch:
    rank = int(environment["RANK"])
    return Launch(
        by="torchrun",
        rank=rank,
        world=int(environment["WORLD_SIZE"]),
        local_rank=int(environment["LOCAL_RANK"]),
        local_world=int(environment["LOCAL_WORLD_SIZE"]),
        nodes=int(environment["GROUP_WORLD_SIZE"]),
        node=int(environment["GROUP_RANK"]),
        address=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        hosts=rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        attempt=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
    )


def _by_srun(environment: Mapping[str, str]) -> bool:
    """Whether this is a task of srun's, and not a shell in one: only srun counts the tasks of a step."""
    shell = environment.get("SLURM_JOB_NAME") in _SHELLS or "SLURM_PTY_PORT" in environment
    return "SLURM_STEP_NUM_TASKS" in environment and "SLURM_PROCID" in environment and not shell


def _srun(environment: Mapping[str, str]) -> Launch:
    # Not SLURM_NTASKS and SLURM_NNODES, which may be the job's: a step can be smaller.
    rank, world = int(environment["SLURM_PROCID"]), int(environment["SLURM_STEP_NUM_TASKS"])
    return Launch(
        by="srun",
        rank=rank,
        world=world,
        local_rank=int(environment["SLURM_LOCALID"]),
        local_world=_on_each(environment["SLURM_STEP_TASKS_PER_NODE"]),
        nodes=int(environment["SLURM_STEP_NUM_NODES"]),
        node=int(environment["SLURM_NODEID"]),
        address=environment.get("MASTER_ADDR") or _first_host(environment["SLURM_STEP_NODELIST"]),
        port=int(environment.get("MASTER_PORT") or _port(environment)),
        hosts=rank == 0,
    )


def _on_each(counts: str) -> int:
    """Tasks on each machine, from `4` or `4(x2)`; 0 where they differ, as in `4,3`."""
    found = re.fullmatch(r"(\d+)(\(x\d+\))?", counts)
    return int(found[1]) if found else 0


def _first_host(hosts: str) -> str:
    """The first of SLURM's list, such as `gpu[03-05,9],other`.

    >>> _first_host("gpu[03-05,9],other")
    'gpu03'
    """
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", hosts).split(",")[0]


def _port(environment: Mapping[str, str]) -> int:
    """A port from 15000 to 24999 that all tasks find alike, and neighbouring jobs and steps otherwise."""
    job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID", 0))
    return 15_000 + (job + 101 * step) % 10_000
