"""Labels from a box classifier's activation maps: BAP and GAP.

Source: Oh et al., BANA, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import Label
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import CheckpointError
from boxseg.inference.devices import torch_device
from boxseg.inference.networks import Loaded, load_classifier
from boxseg.jobs import LabelJob
from boxseg.labelling.class_map import ClassWeights, map_file, match_classes, select_weights
from boxseg.labelling.method import Origin, Scored, pixel_boxes
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.field import UpsampledFeatures
from boxseg.nn.pseudo import class_scores, retrieve
from boxseg.runs.layout import checkpoint_file

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True, eq=False)
class FromClassifier:
    """BAP or GAP.

    Attributes:
        loaded: The classifier.
        weights: Its weights for the classes of the data.
        options: Options of stage 2.
        origin: The classifier's file, and the class map.
    """

    loaded: Loaded[BoxClassifier]
    weights: ClassWeights
    options: Label
    origin: Origin

    @property
    def device(self) -> torch.device:  # noqa: D102
        return self.loaded.device

    def on(self, device: torch.device) -> FromClassifier:  # noqa: D102
        return replace(self, loaded=self.loaded.on(device), weights=self.weights.on(device))

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored:
        """Probabilities from background attention and class activation maps, and retrieval for Y_ret."""
        loaded, options, weights = self.loaded, self.options, self.weights
        image = torch.from_numpy(photo).to(loaded.device)
        features = loaded.network.features(image.permute(2, 0, 1)[None])[0]
        field = UpsampledFeatures(features, (image.shape[0], image.shape[1]), loaded.network.stride)
        boxes = pixel_boxes(sample, loaded.device)
        probabilities = class_scores(
            field,
            weights.weight,
            boxes,
            background=options.background,
            grid=options.grid,
            known=weights.known,
        )
        return Scored(
            image=image,
            boxes=boxes,
            probabilities=probabilities,
            retrieve=lambda y_crf: retrieve(
                field, y_crf, weights.weight, boxes, grid=options.grid, known=weights.known
            ),
        )


def start(job: LabelJob, dataset: BoxDataset) -> FromClassifier:
    """Load the classifier, and match its classes with those of the data.

    Raises:
        CheckpointError: The checkpoint is no box classifier, or lacks classes that no class map accounts for.
        ConfigError: The class map cannot be used.
    """
    assert job.checkpoint is not None
    loaded = load_classifier(job.checkpoint, torch_device(job.trainer))
    matches = match_classes(job.label.class_map, loaded.classes, dataset.classes, job.checkpoint)
    trained = str(loaded.options.get("pooling"))
    if trained not in ("bap", "gap"):
        raise CheckpointError(f"{job.checkpoint} was trained with pooling={trained}, expected bap or gap")
    if job.label.method not in ("auto", trained):
        log.warning(
            f"label: {job.checkpoint} was trained with pooling={trained}; method={job.label.method} does not "
            "change its labels"
        )
    file, mapping = checkpoint_file(job.checkpoint, "box-classifier"), map_file(job.label.class_map)
    return FromClassifier(
        loaded=loaded,
        weights=select_weights(loaded.network.weight, loaded.classes, matches),
        options=job.label,
        origin=Origin(
            files={"checkpoint": file, **({"class_map": mapping} if mapping else {})},
            matches=matches,
            pair=True,
            source=trained,
        ),
    )
