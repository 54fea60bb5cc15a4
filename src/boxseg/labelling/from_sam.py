"""Masks of a SAM (Segment Anything) network, prompted with each box.

Photos are prepared here, as SAM 2's processor in transformers needs torchvision. No issue found; remove
`prepare` when it no longer does.

Source: Kirillov et al., "Segment anything", ICCV 2023; Ravi et al., "SAM 2", 2024.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from boxseg.data.box_masks import object_windows
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import CheckpointError, one_line
from boxseg.extras import import_extra
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import Origin, Scored, pixel_boxes
from boxseg.labelling.objects import ObjectMask
from boxseg.nn.backbones.from_transformers import quiet_transformers
from boxseg.nn.mask_scores import mask_scores

# Classes of transformers by `model_type` of config.json. SAM 2's checkpoints are of its video network, which
# contains this one.
NETWORKS = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}

# Boxes that are decoded together; the photo is encoded once for all.
_BATCH = 32

# ImageNet's, 0..255: those of all these networks.
_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sam:
    """A SAM network.

    Attributes:
        network: From transformers, in evaluation mode.
        stretched: Whether photos are stretched to a square, as for SAM 2, or keep their shape and are padded.
        origin: Its weight file, if it was loaded from a folder.
    """

    network: Any
    stretched: bool
    device: torch.device
    origin: Origin

    def on(self, device: torch.device) -> Sam:  # noqa: D102
        if device == self.device:
            return self
        return replace(self, network=copy.deepcopy(self.network).to(device), device=device)

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored:
        """Probabilities from the network's soft mask of each box."""
        boxes = pixel_boxes(sample, self.device)
        image = torch.from_numpy(photo).to(self.device)
        edges = torch.from_numpy(sample.boxes).to(self.device, torch.float32)
        windows = object_windows(sample.boxes, sample.height, sample.width)
        masks = (mask for logits in self.mask_logits(image, edges) for mask in logits.sigmoid())
        inside = [
            mask[top:bottom, left:right].clone()
            for mask, (left, top, right, bottom) in zip(masks, windows, strict=True)
        ]
        return Scored(
            image=image,
            boxes=boxes,
            probabilities=mask_scores(inside, boxes),
            objects=tuple(_object(mask) for mask in inside),
        )

    def mask_logits(self, image: Tensor, boxes: Tensor) -> Iterator[Tensor]:
        """Logits (b, H, W) of the masks of boxes (n, 4) xyxy, pixels, a batch of boxes at a time, in order."""
        if len(boxes) == 0:
            return
        height, width = image.shape[:2]
        size = self.network.config.prompt_encoder_config.image_size
        side = int(size if isinstance(size, int) else size[0])
        pixels, (new_height, new_width) = prepare(image, side, self.stretched)
        scale = boxes.new_tensor([new_width / width, new_height / height] * 2)
        embeddings = self.network.get_image_embeddings(pixels)
        for some in torch.split(boxes * scale, _BATCH):
            # transformers itself repeats the photo's embeddings for the boxes.
            logits = self.network(
                image_embeddings=embeddings, input_boxes=some[None], multimask_output=False
            ).pred_masks[0, :, :1]
            if not self.stretched:
                padded = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
                logits = padded[..., :new_height, :new_width]
            yield F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)[:, 0]


def _object(probabilities: Tensor) -> ObjectMask:
    """The mask of a box from probabilities (h, w); its score is their mean over the mask."""
    mask = probabilities > 0.5
    score = float(probabilities[mask].mean()) if mask.any() else 0.0
    return ObjectMask(mask=mask.cpu().numpy(), score=score, source="sam")


def prepare(image: Tensor, side: int, stretched: bool) -> tuple[Tensor, tuple[int, int]]:
    """Resize, normalise and pad a photo (H, W, 3) uint8 RGB as the networks expect.

    A `stretched` photo fills the square of `side` pixels; others keep their shape and are padded with zeros.
    Returns (1, 3, side, side), and the height and width of the photo in it.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    new = (side, side)
    if not stretched:
        new = (max(1, int(height * side / longer + 0.5)), max(1, int(width * side / longer + 0.5)))
    photo = image.permute(2, 0, 1)[None].float()
    small = F.interpolate(photo, new, mode="bilinear", align_corners=False, antialias=True)
    mean, deviation = (small.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
    normal = (small - mean) / deviation
    return F.pad(normal, (0, side - new[1], 0, side - new[0])), new


def start(job: LabelJob, dataset: BoxDataset) -> Sam:
    """Load the network `label.sam` from its folder, or from the Hugging Face hub.

    Raises:
        MissingExtraError: transformers is not installed.
        CheckpointError: There is no such network, or it is of another kind.
    """
    name, device = str(job.label.sam), torch_device(job.trainer)
    transformers = import_extra("transformers", extra="sam", purpose="label.method=sam")
    try:
        with quiet_transformers():
            kind = transformers.AutoConfig.from_pretrained(name).model_type
            if kind not in NETWORKS:
                known = ", ".join(NETWORKS)
                raise CheckpointError(f"label.sam={name} is a model of type {kind}; expected one of {known}")
            network = getattr(transformers, NETWORKS[kind]).from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"label.sam={name}: not a folder with a SAM checkpoint (config.json, model.safetensors), and it "
            f"cannot be fetched from the Hugging Face hub: {one_line(error, 200)}"
        ) from error
    weights = Path(name) / "model.safetensors"
    origin = Origin(files={"sam": weights} if weights.is_file() else {})
    return Sam(network=network.eval().to(device), stretched=kind != "sam", device=device, origin=origin)
