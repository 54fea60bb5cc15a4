"""What torchrun and SLURM say in the environment, and options that contradict it. There is no SLURM here."""

from __future__ import annotations

import pytest

from boxseg.config import TrainerOptions
from boxseg.errors import ConfigError
from boxseg.training.launch import check_launch, launched
from boxseg.training.step_time import machines

# The sixth of six processes on three machines.
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "1",
    "RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "2",
    "GROUP_WORLD_SIZE": "3", "MASTER_ADDR": "node1", "MASTER_PORT": "29500",
}  # fmt: skip
# The same as a step of a larger job.
SRUN = {
    "SLURM_JOB_ID": "1234567", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "8", "SLURM_NNODES": "4",
    "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3)", "SLURM_STEP_NODELIST": "gpu[03-05]", "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "2",
}  # fmt: skip


@pytest.mark.parametrize("environment", [TORCHRUN, SRUN, SRUN | TORCHRUN], ids=["torchrun", "srun", "both"])
def test_the_place_of_a_process_is_read(environment: dict[str, str]) -> None:
    found = launched(environment)
    assert found is not None
    assert (found.rank, found.world, found.local_rank, found.local_world) == (5, 6, 1, 2)
    assert (found.node, found.nodes, found.hosts) == (2, 3, False)
    assert found.by == ("torchrun" if "RANK" in environment else "srun")


def test_the_port_is_opened_by_the_first_process_unless_torchrun_has() -> None:
    first = TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    found = [
        launched(first),
        launched(first | {"TORCHELASTIC_USE_AGENT_STORE": "False"}),
        launched(SRUN | {"SLURM_PROCID": "0"}),
    ]
    assert [launch.hosts for launch in found if launch] == [False, True, True]


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("gpu[03-05]", "gpu03"),
        ("gpu[3,7-9],other", "gpu3"),
        ("gpu7", "gpu7"),
        ("a,b", "a"),
        ("rack[1-2]n[04,06]", "rack1n04"),
    ],
)
def test_the_first_machine_of_a_list_of_slurm(hosts: str, first: str) -> None:
    found = launched(SRUN | {"SLURM_STEP_NODELIST": hosts})
    assert found is not None
    assert found.address == first


def test_ports_under_slurm() -> None:
    def port(**changed: str) -> int:
        found = launched(SRUN | changed)
        assert found is not None
        return found.port

    assert 15_000 <= port() < 25_000
    assert len({port(), port(SLURM_STEP_ID="3"), port(SLURM_JOB_ID="1234568")}) == 3
    assert port(MASTER_PORT="4711") == 4711


@pytest.mark.parametrize(
    "environment",
    [
        {},
        # A batch script without srun, whatever the job was given.
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "train"},
        # A shell of salloc, and shells that srun has started.
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_JOB_NAME": "interactive"},
        SRUN | {"SLURM_JOB_NAME": "bash"},
        SRUN | {"SLURM_PTY_PORT": "40001"},
        SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_TASKS_PER_NODE": "1"},
        TORCHRUN | {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "1", "RANK": "0"},
    ],
)
def test_a_process_that_is_alone(environment: dict[str, str]) -> None:
    assert launched(environment) is None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (SRUN | {"SLURM_STEP_TASKS_PER_NODE": "3,2,1"}, "equally many on each, give --ntasks-per-node"),
        (TORCHRUN | {"WORLD_SIZE": "5"}, "torchrun started 5 processes on 3 machines"),
        ({name: value for name, value in TORCHRUN.items() if name != "MASTER_PORT"}, "'MASTER_PORT'"),
        (SRUN | {"SLURM_NODEID": ""}, "lacks what it sets"),
    ],
)
def test_a_start_that_cannot_train(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        launched(environment)


@pytest.mark.parametrize(
    ("verb", "trainer", "environment", "message"),
    [
        ("segment", TrainerOptions(num_nodes=2), TORCHRUN, "on 3 machines: change --nnodes"),
        ("segment", TrainerOptions(devices=3), SRUN, "2 processes on each machine: change --ntasks-per-node"),
        ("segment", TrainerOptions(num_nodes=2), {}, "torchrun --nnodes=2"),
        ("label", TrainerOptions(), TORCHRUN, "torchrun started boxseg label in 6 processes, which only"),
        ("doctor", None, SRUN, "start it once, without srun"),
    ],
)
def test_contradictions(
    verb: str, trainer: TrainerOptions | None, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_launch(verb, trainer, launched(environment))


def test_what_fits_is_taken() -> None:
    for trainer in (TrainerOptions(), TrainerOptions(devices="auto"), TrainerOptions(devices=2, num_nodes=3)):
        check_launch("run", trainer, launched(SRUN))
    check_launch("segment", TrainerOptions(num_nodes=1, devices=4), None)
    check_launch("segment", TrainerOptions(num_nodes=8), None, planned=True)
    check_launch("label", TrainerOptions(num_nodes=8), None)  # of options in a file for all verbs


def test_a_plan_is_of_as_many_machines_as_it_says() -> None:
    assert machines(TrainerOptions(accelerator="cpu", num_nodes=4, devices=2)) == (4, 2)
    assert machines(TrainerOptions(accelerator="cpu", devices=3)) == (1, 3)
