"""The places where photos are worked on. Stages hand their work to one, and do not know which it is.

Nothing here imports torch or Dask before it is needed: `doctor` and `convert` start without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from boxseg.config import TrainerOptions
from boxseg.dataset import Sample
from boxseg.errors import ConfigError

if TYPE_CHECKING:
    from boxseg.spreading.processes import Tools

T = TypeVar("T")
ToolsT = TypeVar("ToolsT", bound="Tools")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What work needs, beside the photos; other machines must see it.

    Attributes:
        reads: Files and folders.
        writes: Folder that results are written to.
        truth: Whether ground truth of the photos is read.
        together: Photos of a chunk where there are many: their results are written together.
    """

    reads: tuple[Path, ...] = ()
    writes: Path | None = None
    truth: bool = False
    together: int | None = None


NOTHING = Needs()


class Place(Protocol):
    """Where photos are worked on."""

    @property
    def here(self) -> bool:
        """Whether all is done on this machine."""

    def at_home(self, trainer: TrainerOptions) -> TrainerOptions:
        """Options by which tools are loaded in this process, before they are sent anywhere."""

    def wait_for(self, files: Sequence[Path]) -> None:
        """Wait until files that were written are seen by this process.

        Raises:
            DataError: One is not, after a while.
        """

    def spread(
        self,
        work: Callable[[ToolsT, Sequence[Sample]], T],
        tools: ToolsT,
        samples: Sequence[Sample],
        description: str,
        *,
        needs: Needs = NOTHING,
        arrived: Callable[[T], None] | None = None,
    ) -> list[T]:
        """Results of `work(tools, chunk)` for chunks of the photos, in the order of the photos.

        How photos are cut into chunks must not change the sum of the results, and a chunk done twice must do
        no harm. `work` and `tools` can be pickled; results are small and hold no tensors. `arrived` is called
        with each result in this process. The bar shows `description`.

        Raises:
            BoxsegError: A chunk raised it, or a process or the cluster failed.
        """

    def share(
        self,
        work: Callable[[Sequence[Sample]], T],
        samples: Sequence[Sample],
        description: str,
        *,
        needs: Needs = NOTHING,
    ) -> list[T]:
        """The same for work that needs no network and no device; here, all photos are one chunk."""


@dataclass(frozen=True)
class Here:
    """This machine: this process, or one for each of several devices.

    Attributes:
        trainer: Says which devices.
    """

    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    @property
    def here(self) -> bool:  # noqa: D102
        return True

    def at_home(self, trainer: TrainerOptions) -> TrainerOptions:  # noqa: D102
        return trainer

    def wait_for(self, files: Sequence[Path]) -> None:
        """As of `Place`: what processes of this machine write is seen at once."""

    def spread(
        self,
        work: Callable[[ToolsT, Sequence[Sample]], T],
        tools: ToolsT,
        samples: Sequence[Sample],
        description: str,
        *,
        needs: Needs = NOTHING,
        arrived: Callable[[T], None] | None = None,
    ) -> list[T]:
        """As of `Place`."""
        from boxseg.inference.devices import torch_devices
        from boxseg.spreading.processes import spread

        devices = torch_devices(self.trainer)
        results = spread(work, tools, samples, devices, description, together=needs.together)
        if arrived is not None:
            for result in results:
                arrived(result)
        return results

    def share(
        self,
        work: Callable[[Sequence[Sample]], T],
        samples: Sequence[Sample],
        description: str,
        *,
        needs: Needs = NOTHING,
    ) -> list[T]:
        """As of `Place`."""
        return [work(samples)]


@dataclass(frozen=True)
class OnCluster:
    """The workers of a Dask scheduler.

    Attributes:
        address: Of the scheduler.
        accelerator: What the workers use, as `trainer.accelerator`.
    """

    address: str
    accelerator: str = "auto"

    @property
    def here(self) -> bool:  # noqa: D102
        return False

    def at_home(self, trainer: TrainerOptions) -> TrainerOptions:
        """This machine need not have the accelerator of the workers."""
        return replace(trainer, accelerator="cpu", devices=1)

    def wait_for(self, files: Sequence[Path]) -> None:
        """As of `Place`."""
        from boxseg.spreading.cluster import wait_until_seen

        wait_until_seen(files)

    def spread(
        self,
        work: Callable[[ToolsT, Sequence[Sample]], T],
        tools: ToolsT,
        samples: Sequence[Sample],
        description: str,
        *,
        needs: Needs = NOTHING,
        arrived: Callable[[T], None] | None = None,
    ) -> list[T]:
        """As of `Place`."""
        from boxseg.spreading.cluster import spread

        task = (work, tools)
        return spread(self.address, task, samples, description, needs, arrived, self.accelerator)

    def share(
        self,
        work: Callable[[Sequence[Sample]], T],
        samples: Sequence[Sample],
        description: str,
        *,
        needs: Needs = NOTHING,
    ) -> list[T]:
        """As of `Place`."""
        from boxseg.spreading.cluster import spread

        return spread(self.address, (work, None), samples, description, needs, None, None)


def place_of(cluster: str | None, trainer: TrainerOptions | None = None) -> Place:
    """Where a job's photos are worked on. Of a cluster, the scheduler was asked whether it is there.

    Raises:
        ConfigError: No scheduler answers, or several devices of this machine are asked for as well.
        MissingExtraError: Dask is not installed.
    """
    trainer = trainer or TrainerOptions()
    if cluster is None:
        return Here(trainer)
    if trainer.devices not in (1, "auto"):
        raise ConfigError(
            f"trainer.devices={trainer.devices} is for this machine, cluster={cluster} for its workers, which "
            "use every device they have: give one of the two"
        )
    from boxseg.spreading.cluster import connected

    with connected(cluster):
        return OnCluster(cluster, trainer.accelerator)
