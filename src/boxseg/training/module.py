"""Base of the LightningModules: a step is the same in parts, on several devices and after resuming."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, cast

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from boxseg.config import Adapt, Classify, Segment
from boxseg.data.loading import split_batch
from boxseg.errors import BoxsegError
from boxseg.inference.networks import Network
from boxseg.nn.mask_network import MaskNetwork
from boxseg.nn.weights.loading import LoadReport
from boxseg.training.checkpoints import OURS


class TrainingModule(L.LightningModule):
    """A network, its loss and its schedule.

    Subclasses give `counts`, `loss`, `save` and `configure_optimizers`.

    It steps its optimiser itself (`automatic_optimization` is off), so Lightning's gradient clipping and
    accumulation have no effect. Each step seeds torch's random generator, for dropout.

    Args:
        network: The network that is trained.
        weights: How the pretrained weights were loaded; names the parameters that start random.
        options: Options of the stage.
        schedule: Factor of the learning rate as a function of the step.
        iterations: Steps of the whole schedule.
        seed: Seed of dropout.
        accumulate: Parts that each batch is computed in.
    """

    stage: ClassVar[str]
    learning_rate: ClassVar[str] = "optimiser.lr"  # the option, for messages

    def __init__(
        self,
        network: Network | MaskNetwork,
        weights: LoadReport,
        *,
        options: Adapt | Classify | Segment,
        schedule: Callable[[int], float],
        iterations: int,
        seed: int,
        accumulate: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.weights = weights
        self.options = options
        self.schedule = schedule
        self.iterations = iterations
        self.seed = seed
        self.accumulate = accumulate
        self.automatic_optimization = False

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        """Number of terms of each mean in the loss, (n,); found without running the network."""
        raise NotImplementedError

    def loss(self, batch: dict[str, Tensor], totals: Tensor | None = None) -> Tensor:
        """Scalar loss of a batch.

        Args:
            batch: The batch, or a part of one.
            totals: (n,), what the sums of a part are divided by; None for the counts of the batch itself.
        """
        raise NotImplementedError

    def plugged_in(self) -> tuple[object, ...]:
        """What other processes must import for this training, besides boxseg."""
        return (type(self.network.backbone),)

    def before_step(self) -> None:
        """Called when the gradients of the whole batch are there, before the optimiser's step."""

    def after_step(self) -> None:
        """Called after the optimiser's step."""

    def configure_optimizers(self) -> Any:
        """The optimiser and the schedule of its learning rate, as Lightning takes them."""
        raise NotImplementedError

    def save(self, path: Path | str, classes: Sequence[str]) -> None:
        """Write what was trained as `model.safetensors` of a run."""
        raise NotImplementedError

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in Lightning's checkpoint which training it is of.

        Raises:
            BoxsegError: A weight is no number: nothing can be learned from there.
        """
        self.require_finite()
        checkpoint[OURS] = {"stage": self.stage}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One step on the mean loss of the whole batch, whatever the number of parts and processes.

        Each part's sums are divided by the counts of the whole batch, so that the gradients add up to the whole
        batch's. A mean of the parts' means would differ.
        """
        parts = split_batch(batch, self.accumulate)
        world = self.trainer.world_size
        totals: Tensor | None = None
        if len(parts) * world > 1:
            counts = torch.stack([self.counts(part) for part in parts]).sum(0).float()
            totals = self._sum_of_ranks(counts) / world  # the gradients of the ranks are averaged
        optimiser = cast(LightningOptimizer, self.optimizers())
        optimiser.zero_grad()
        losses = []
        for place, part in enumerate(parts):
            self._seed(place)
            with self._gradients_stay_here() if place < len(parts) - 1 else nullcontext():
                loss = self.loss(part, totals)
                self.manual_backward(loss)
            losses.append(loss.detach())
        mean = self._sum_of_ranks(torch.stack(losses).sum()) / world
        if not torch.isfinite(mean):
            raise BoxsegError(f"the loss is {mean.item()} at iteration {self.global_step}: {self._blame()}")
        self.log("loss", mean, prog_bar=True)
        self.before_step()
        optimiser.step()
        self.after_step()
        cast(LRScheduler, self.lr_schedulers()).step()
        return mean

    def require_finite(self) -> None:
        """Check that all weights are numbers.

        Raises:
            BoxsegError: One is not.
        """
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise BoxsegError(
                    f"the weights {name} are no numbers (NaN or infinite) after iteration {self.global_step}, "
                    f"and are not saved: try a lower {self.learning_rate}"
                )

    def _blame(self) -> str:
        """What to change when the loss is no number."""
        if self.global_step == 0 and self.weights.loaded:
            return (
                f"nothing was learned yet, so the weights {self.weights.source} do not fit the network or its "
                "preprocessing; start from others"
            )
        return f"try a lower {self.learning_rate}"

    def _seed(self, part: int) -> None:
        """Dropout draws from the step's own seed: a resumed run draws what an uninterrupted one does."""
        stream = part + self.accumulate * self.trainer.global_rank  # 0 with one part and one process
        torch.manual_seed(self.seed * 1_000_003 + self.global_step + 1_000_000_007 * stream)

    def _sum_of_ranks(self, value: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return value
        return cast(Tensor, self.trainer.strategy.reduce(value, reduce_op="sum"))

    def _gradients_stay_here(self) -> AbstractContextManager[None]:
        """Processes exchange gradients only after the last part."""
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()
