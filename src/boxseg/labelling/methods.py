"""Label methods by name, a file each; they share reading photos, the CRF and writing labels."""

from __future__ import annotations

from collections.abc import Callable

from boxseg import plugins
from boxseg.dataset import BoxDataset
from boxseg.errors import ConfigError
from boxseg.inference.devices import torch_devices
from boxseg.jobs import LabelJob
from boxseg.labelling import from_classifier, from_ellipse, from_grabcut, from_sam, from_whole_box
from boxseg.labelling.method import Method, Scored

METHODS: dict[str, Callable[[LabelJob, BoxDataset], Method]] = {
    "auto": from_classifier.start,
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
    if len(torch_devices(job.trainer)) > 1:
        plugins.require_sendable(type(method), f"label method {name!r}")
    return method
