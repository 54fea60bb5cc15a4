"""Label methods by name, a file each; they share reading photos, the CRF and writing labels."""

from __future__ import annotations

from collections.abc import Callable

from boxseg import plugins
from boxseg.dataset import BoxDataset
from boxseg.errors import CheckpointError, ConfigError
from boxseg.inference.devices import torch_devices
from boxseg.jobs import LabelJob
from boxseg.labelling import (
    from_classifier,
    from_ellipse,
    from_grabcut,
    from_network,
    from_sam,
    from_whole_box,
)
from boxseg.labelling.method import Method, Scored
from boxseg.nn import checkpoint
from boxseg.runs.layout import checkpoint_file


def _by_checkpoint(job: LabelJob, dataset: BoxDataset) -> Method:
    """What the checkpoint is for; without one the mask network that comes with boxseg."""
    if job.checkpoint is None:
        return from_network.start(job, dataset)
    classifier = checkpoint_file(job.checkpoint, "box-classifier")
    file = classifier if classifier.is_file() else checkpoint_file(job.checkpoint, "mask-network")
    kind = checkpoint.read_meta(file)["kind"]
    if kind == "segmenter":
        raise CheckpointError(
            f"checkpoint {file} holds a segmentation network: `boxseg predict` uses it; label takes a mask "
            "network of adapt, a classifier of classify, or no checkpoint"
        )
    return from_network.start(job, dataset) if kind == "mask-network" else from_classifier.start(job, dataset)


METHODS: dict[str, Callable[[LabelJob, BoxDataset], Method]] = {
    "auto": _by_checkpoint,
    "network": from_network.start,
    "bap": from_classifier.start,
    "gap": from_classifier.start,
    "box": from_whole_box.start,
    "ellipse": from_ellipse.start,
    "grabcut": from_grabcut.start,
    "sam": from_sam.start,
}

__all__ = ["METHODS", "Method", "Scored", "start_method"]


def start_method(job: LabelJob, dataset: BoxDataset) -> Method:
    """The method `label.method`, ready to label these photos.

    Raises:
        BoxsegError: It cannot start; or its plug-in cannot be imported, returns something else, or cannot be
            sent to the processes of several devices.
    """
    name = job.label.method
    if name in METHODS:
        return METHODS[name](job, dataset)
    method: Method = plugins.find("label_method", name)(job, dataset)
    lacking = [part for part in ("origin", "device", "on", "score") if not hasattr(method, part)]
    if lacking:
        raise ConfigError(
            f"label method {name!r} gave a {type(method).__name__} without {', '.join(lacking)}; expected a "
            "boxseg.labelling.method.Method"
        )
    if job.cluster or len(torch_devices(job.trainer)) > 1:
        plugins.require_sendable(type(method), f"label method {name!r}", job.cluster)
    return method
