"""Training of the mask network as a LightningModule: from boxes alone, with an averaged teacher.

Source: Lan et al., "Vision transformers are good mask auto-labelers", CVPR 2023 (an averaged teacher whose
    answers after a mean field are the targets); Tian et al., BoxInst, CVPR 2021 (projection, pairwise colours).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from boxseg.config import Adapt
from boxseg.data.object_training import OBJECT, UNKNOWN
from boxseg.inference.mask_networks import save_mask_network, start_mask_network
from boxseg.nn.mask_losses import agreement_loss, outside_loss, pairwise_loss, projection_loss
from boxseg.nn.mask_network import MOST_OTHERS, SIDE, MaskNetwork, guide_maps, inside_box
from boxseg.nn.mask_targets import Refinement, ellipse_prior, grid_colours, refined, sureness
from boxseg.training.module import TrainingModule
from boxseg.training.schedule import OneCycle

# The weight of the pairwise loss rises over this share of a training that starts from ImageNet.
_PAIRWISE_RISES = 0.2
# Gradients longer than this are shortened.
_LONGEST_GRADIENT = 5.0


class MaskNetworkModule(TrainingModule):
    """The mask network and its training.

    The student sees crops in other colours and of few pixels, its teacher, the running average of its weights,
    sees them as they are. The teacher's answers, refined by what colours and neighbours say, are the student's
    targets inside the box, as far as the teacher is sure; outside the box is background. What is saved is the
    teacher.

    Args:
        iterations: Steps of the whole schedule.
        adapt: Options of the training; batch, epochs, iterations and how crops are drawn have no effect here.
        seed: Seed of a new decoder.
        accumulate: Parts that each batch is computed in, one after the other, for less memory.

    Raises:
        CheckpointError: The weights to start from cannot be read.
    """

    network: MaskNetwork
    options: Adapt
    stage: ClassVar[str] = "adapt"
    learning_rate: ClassVar[str] = "adapt.lr"

    def __init__(
        self, *, iterations: int, adapt: Adapt | None = None, seed: int = 0, accumulate: int = 1
    ) -> None:
        options = adapt or Adapt()
        network, weights = start_mask_network(options.weights, seed)
        super().__init__(
            network,
            weights,
            options=options,
            schedule=OneCycle(iterations, options.warm_up),
            iterations=iterations,
            seed=seed,
            accumulate=accumulate,
        )
        self.teacher = copy.deepcopy(network).eval()
        self.teacher.requires_grad_(False)
        self.from_scratch = options.weights == "imagenet"

    def train(self, mode: bool = True) -> MaskNetworkModule:
        """Training mode, but for the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    def counts(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        return batch["boxes"].new_tensor([len(batch["boxes"])])

    def loss(self, batch: dict[str, Tensor], totals: Tensor | None = None) -> Tensor:  # noqa: D102
        options, boxes = self.options, batch["boxes"]
        guides, inside = guide_maps(boxes, batch["others"]), inside_box(boxes)
        with torch.autocast(boxes.device.type, enabled=False):  # only networks compute in half precision
            colours = grid_colours(batch["clean"])
            targets, known = self.targets(batch["clean"], boxes, guides, colours), batch["known"]
        logits = self.network(batch["images"], guides).float()
        with torch.autocast(boxes.device.type, enabled=False):
            of_each: Tensor = (
                options.outside * outside_loss(logits, inside)
                + options.projection * projection_loss(logits, inside)
                + options.pairwise * self._pairwise_share() * pairwise_loss(logits, colours, inside)
                + options.agreement * agreement_loss(logits, targets, sureness(targets) * inside)
                + options.labelled
                * agreement_loss(logits, (known == OBJECT).float(), (known != UNKNOWN) * inside)
            )
        return of_each.sum() / (len(boxes) if totals is None else totals[0])

    @torch.no_grad()
    def targets(self, clean: Tensor, boxes: Tensor, guides: Tensor, colours: Tensor) -> Tensor:
        """What the student is told of the inside of the boxes, (B, GRID, GRID)."""
        if self.from_scratch and self.progress < self.options.prior:
            answers = ellipse_prior(boxes)
        else:
            answers = self._answers(clean, boxes, guides)
        how = Refinement(colour=self.options.colour, smooth=self.options.smooth)
        return refined(answers, colours, inside_box(boxes), how)

    def _answers(self, clean: Tensor, boxes: Tensor, guides: Tensor) -> Tensor:
        """The teacher's, the mean of a crop and its mirror image; half precision is enough for targets."""
        others = guides[:, -1].flip(-1) * MOST_OTHERS
        mirrored = torch.stack([SIDE - boxes[:, 2], boxes[:, 1], SIDE - boxes[:, 0], boxes[:, 3]], 1)
        with torch.autocast(clean.device.type, torch.bfloat16, enabled=_fast_in_half(clean.device)):
            plain = self.teacher(clean, guides)
            flipped = self.teacher(clean.flip(-1), guide_maps(mirrored, others))
        both: Tensor = plain.float().sigmoid() + flipped.float().sigmoid().flip(-1)
        return both / 2

    @property
    def progress(self) -> float:
        """Share of the schedule that is done."""
        return self.global_step / self.iterations

    def _pairwise_share(self) -> float:
        return min(1.0, self.progress / _PAIRWISE_RISES) if self.from_scratch else 1.0

    def before_step(self) -> None:  # noqa: D102
        # Of 16-mixed, gradients are multiplied by the scale until Lightning's step of the optimiser.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = scaler.get_scale() if scaler is not None else 1.0
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LONGEST_GRADIENT * scale)

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows; faster at first, while its weights are hardly better than random."""
        kept = self.options.average
        if self.from_scratch:
            kept = min(kept, (1 + self.global_step) / (10 + self.global_step))
        for mine, new in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(new, 1 - kept)

    def save(self, path: Path | str, classes: Sequence[str] = ()) -> None:
        """Write the teacher as `model.safetensors` of a run, for `boxseg label` and `boxseg.Masker`.

        Args:
            path: The file.
            classes: Has no effect: the network knows no classes.
        """
        save_mask_network(Path(path), self.teacher, self.options)

    def configure_optimizers(self) -> Any:  # noqa: D102
        options = self.options
        encoder = {id(parameter) for parameter in self.network.backbone.parameters()}
        learning = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in learning if id(p) in encoder], "lr": options.lr},
            {"params": [p for p in learning if id(p) not in encoder], "lr": options.lr * options.decoder_lr},
        ]
        adam = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self.schedule)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _fast_in_half(device: torch.device) -> bool:
    """Whether a device computes with bfloat16 itself; where it does not, that would be slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Without oneDNN torch lacks the operator.
    there = device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
