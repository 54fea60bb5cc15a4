"""Score a segmentation network, a folder of labels or masks of single objects against ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boxseg import formats
from boxseg.config import Evaluate, Trainer
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import ConfigError
from boxseg.formats.masks import write_mask
from boxseg.jobs import EvaluateJob
from boxseg.metrics import ConfusionMatrix, Scores
from boxseg.nn.deeplab import Segmenter
from boxseg.report.tables import Table
from boxseg.stages.device_counts import count_pixels
from boxseg.stages.devices import torch_device, torch_devices
from boxseg.stages.doctor import report_problems
from boxseg.stages.folder import check_folder, write_json
from boxseg.stages.inference import label_group
from boxseg.stages.instance_scores import (
    InstanceScores,
    class_precision_table,
    precision_table,
    result_files,
    score_instances,
)
from boxseg.stages.networks import Loaded, check_classes, load_segmenter
from boxseg.stages.photo_loop import Readable, photo_loop
from boxseg.stages.scoring import Labels, LabelScores, label_table, no_truth, read_truth, score_labels
from boxseg.stages.spread import in_order, spread


@dataclass(frozen=True, kw_only=True)
class NetworkScores:
    """Scores of a network on a split.

    Attributes:
        images: Images scored.
        skipped: Photos that could not be read, with the reason.
        before_crf: Scores of the network alone.
        after_crf: Scores after the dense CRF; None where it is off.
    """

    images: int
    skipped: dict[str, str]
    before_crf: Scores
    after_crf: Scores | None

    @property
    def best(self) -> Scores:
        """The scores of the final prediction."""
        return self.after_crf or self.before_crf

    @classmethod
    def from_dict(cls, scores: dict[str, Any]) -> NetworkScores:
        """Scores as `as_dict` gave them."""
        before, after = scores["before_crf"], scores["after_crf"]
        return cls(
            images=scores["images"],
            skipped=scores["skipped"],
            before_crf=Scores(**before),
            after_crf=Scores(**after) if after else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            "before_crf": self.before_crf.as_dict(),
            "after_crf": self.after_crf.as_dict() if self.after_crf else None,
        }


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Scores, and where they were written.

    Attributes:
        title: What was scored.
        scores: Of a network, of a label folder, or of masks of single objects.
        file: metrics.json.
    """

    title: str
    scores: NetworkScores | LabelScores | InstanceScores
    file: Path

    def tables(self) -> list[Table]:
        """Means, then every class."""
        if isinstance(self.scores, LabelScores):
            return [label_table(self.title, self.scores), class_table(self.scores.labels)]
        if isinstance(self.scores, InstanceScores):
            title = f"Masks of single objects, {self.title}: AP"
            return [precision_table(title, self.scores), class_precision_table(self.scores)]
        parts = {"before CRF": self.scores.before_crf}
        if self.scores.after_crf:
            parts["after CRF"] = self.scores.after_crf
        return [network_table(self.title, self.scores), class_table(parts)]

    def notes(self) -> list[str]:
        """Where the scores are."""
        return [f"Scores: {self.file}"]


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """Pixels of a share of the photos, counted by class."""

    before: ConfusionMatrix
    after: ConfusionMatrix
    skipped: dict[str, str]


def run(job: EvaluateJob) -> Evaluated:
    """Score what the job names.

    Raises:
        ConfigError: Not exactly one of checkpoint, labels and instances was given, or `out` cannot be written.
        DataError: There is nothing to score against.
    """
    if sum(path is not None for path in (job.checkpoint, job.labels, job.instances)) != 1:
        raise ConfigError(
            "give one of checkpoint=FILE (network), labels=FOLDER (label masks), instances=FILE (COCO results)"
        )
    dataset = formats.load(job.data)
    report_problems(dataset)
    home = _home(job)
    # A folder of its own: the stages keep their own scores in metrics.json, of another split perhaps.
    folder = job.out or home / f"evaluate-{dataset.split}"
    if job.out is not None or home.is_dir():
        check_folder(folder)
    scores: NetworkScores | LabelScores | InstanceScores
    if job.instances is not None:
        scores = score_instances(result_files(job.instances), dataset, dataset.samples)
    elif not dataset.has_ground_truth:
        raise no_truth(dataset)
    elif job.checkpoint is not None:
        loaded = load_segmenter(job.checkpoint, torch_device(job.trainer))
        check_classes(loaded.classes, dataset, job.checkpoint)
        scores = score_network(loaded, dataset, job.evaluate, job.trainer)
    else:
        assert job.labels is not None
        scores = score_labels(job.labels, dataset)
    file = folder / "metrics.json"
    write_json(file, {"split": dataset.split, **scores.as_dict()})
    return Evaluated(title=f"{dataset.split}, {scores.images} images", scores=scores, file=file)


def _home(job: EvaluateJob) -> Path:
    """The folder of what is scored."""
    given = job.checkpoint or job.instances or job.labels
    assert given is not None
    return given if given.is_dir() or given == job.labels else given.parent


def score_network(
    loaded: Loaded[Segmenter],
    dataset: BoxDataset,
    options: Evaluate,
    trainer: Trainer,
    keep: Path | None = None,
) -> NetworkScores:
    """Predict every image that has ground truth, and score it before and after the CRF.

    Args:
        loaded: The network.
        dataset: Images.
        options: Scales, flip and CRF.
        trainer: Loading processes.
        keep: Folder for the final predictions, ID.png; None to keep none.
    """
    samples = [sample for sample in dataset.samples if sample.ground_truth is not None]
    work = partial(_score_share, classes=dataset.classes, options=options, trainer=trainer, keep=keep)
    parts = spread(work, loaded, samples, torch_devices(trainer), "evaluate")
    skipped = in_order(samples, [part.skipped for part in parts])
    nothing = ConfusionMatrix(dataset.classes)
    before = sum((part.before for part in parts), start=nothing).scores()
    after = sum((part.after for part in parts), start=nothing).scores()
    return NetworkScores(
        images=len(samples) - len(skipped),
        skipped=skipped,
        before_crf=before,
        after_crf=after if options.crf.active else None,
    )


def _score_share(
    loaded: Loaded[Segmenter],
    samples: Sequence[Sample],
    classes: Sequence[str],
    options: Evaluate,
    trainer: Trainer,
    keep: Path | None,
) -> _Counted:
    before, after = ConfusionMatrix(classes), ConfusionMatrix(classes)
    skipped: dict[str, str] = {}
    work = partial(_count_group, loaded, options, before.check, keep)
    device = loaded.device
    total = torch.zeros(2, *before.counts.shape, dtype=torch.int64, device=device)
    for counts in photo_loop(work, samples, skipped, description="evaluate", trainer=trainer, device=device):
        total += counts
    before.counts, after.counts = total.cpu().numpy()
    return _Counted(before=before, after=after, skipped=skipped)


def _count_group(
    loaded: Loaded[Segmenter],
    options: Evaluate,
    check: Callable[[str, Labels], None],
    keep: Path | None,
    group: Sequence[Readable],
) -> Tensor:
    """Pixels (2, L + 1, L + 2) of the photos before and after the CRF; predictions are written to `keep`."""
    counts = []
    answers = label_group(loaded, [image for _, image in group], options)
    for (sample, _), answer in zip(group, answers, strict=True):
        if keep is not None:
            write_mask(keep / f"{sample.id}.png", answer.labels.cpu().numpy())
        labels = read_truth(sample)
        check("ground truth", labels)
        truth, size = torch.from_numpy(labels).to(loaded.device), len(loaded.classes) + 1
        counts.append(torch.stack([count_pixels(p, truth, size) for p in (answer.before, answer.labels)]))
    return torch.stack(counts).sum(0)


def network_table(title: str, scores: NetworkScores) -> Table:
    """mIoU and accuracies before and after the CRF."""
    rows = [("before CRF", scores.before_crf)]
    if scores.after_crf:
        rows.append(("after CRF", scores.after_crf))
    return Table(
        title=f"Network on {title}",
        columns=("", "mIoU", "mean accuracy", "pixel accuracy"),
        rows=tuple((name, s.miou, s.mean_accuracy, s.pixel_accuracy) for name, s in rows),
    )


def class_table(parts: dict[str, Scores]) -> Table:
    """IoU of every class."""
    names = next(iter(parts.values())).iou
    return Table(
        title="IoU per class",
        columns=("class", *parts),
        rows=tuple((name, *(part.iou[name] for part in parts.values())) for name in names),
    )
