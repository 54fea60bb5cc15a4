"""Base of the trainings of networks with classes: the papers' SGD, and checkpoints with class names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from boxseg.config import Classify, Model, Segment
from boxseg.errors import ConfigError
from boxseg.inference.networks import Network, save_network
from boxseg.nn.weights.loading import parameter_groups
from boxseg.training.module import TrainingModule
from boxseg.wording import counted


class ClassModule(TrainingModule):
    """A `TrainingModule` of a box classifier or a segmentation network.

    Args:
        model: Options of the network.
        network: The network that is trained.
        others: As for `TrainingModule`.
    """

    network: Network
    options: Classify | Segment

    def __init__(self, network: Network, *args: Any, model: Model, **others: Any) -> None:
        super().__init__(network, *args, **others)
        self.model = model

    def save(self, path: Path | str, classes: Sequence[str]) -> None:
        """Write a checkpoint as `model.safetensors` of a run, for `boxseg.load` and the verbs.

        Args:
            path: The file.
            classes: Names of classes 1..L, as a data module has them.

        Raises:
            ConfigError: The network has another number of classes.
        """
        known = self.network.classes
        if len(classes) != known:
            raise ConfigError(
                f"{counted(len(classes), 'class name')} for a network of {counted(known, 'class')}: "
                "give one for each"
            )
        save_network(Path(path), self.network, classes=tuple(classes), model=self.model, options=self.options)

    def configure_optimizers(self) -> Any:  # noqa: D102
        optimiser = self.options.optimiser
        groups = parameter_groups(self.network, set(self.weights.new), optimiser, self.weights.rates)
        sgd = torch.optim.SGD(groups, lr=optimiser.lr, momentum=optimiser.momentum)
        schedule = torch.optim.lr_scheduler.LambdaLR(sgd, self.schedule)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
