"""The runs that tables are made from, each done once in a folder of its own.

The folder's name ends in a digest of all that determines the result: options, earlier steps, annotations and
weight files. So rows and tables share equal steps, and a changed option makes a new folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from boxseg.config import Data, Evaluate, Label, Model
from boxseg.dataset import BoxDataset
from boxseg.documents import read_record
from boxseg.formats.splits import Splits
from boxseg.inference.networks import weight_inputs
from boxseg.jobs import ClassifyJob, EvaluateJob, Job, LabelJob, PredictJob, ReproduceJob, SegmentJob, job_for
from boxseg.options import to_words
from boxseg.plugins import LossName
from boxseg.runs.folder import FREE, file_digest
from boxseg.runs.layout import METRICS
from boxseg.runs.stage_files import StageFiles, label_files, score_files, submission_files, training_files
from boxseg.shards.find import home_for
from boxseg.stages import classify, evaluate, label, predict, segment

StepJob = ClassifyJob | LabelJob | SegmentJob | EvaluateJob | PredictJob

_STAGES: dict[type[Any], tuple[str, Callable[[Any, Splits], Any]]] = {
    ClassifyJob: ("classify", classify.run),
    LabelJob: ("label", label.run),
    SegmentJob: ("segment", segment.run),
    EvaluateJob: ("evaluate", evaluate.run),
    PredictJob: ("predict", predict.run),
}

# Options that name an earlier step: that step's folder name goes into the digest instead.
_LINKS = ("checkpoint", "labels")


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One run of a stage.

    Attributes:
        about: What it is, in a few words.
        job: Its options; `out` is its folder.
        needs: Steps whose results it uses.
        files: The files it writes.
    """

    about: str
    job: StepJob
    needs: tuple[Step, ...]
    files: StageFiles

    @property
    def folder(self) -> Path:
        """Where its results are."""
        assert self.job.out is not None
        return self.job.out

    @property
    def done(self) -> bool:
        """Whether its results are all there."""
        return self.files.done

    def run(self, splits: Splits) -> None:
        """Make the missing results; `splits` are read once for all steps."""
        _STAGES[type(self.job)][1](self.job, splits)

    @cached_property
    def command(self) -> str:
        """The command line that does the same."""
        return command_line(_STAGES[type(self.job)][0], self.job)

    def scores(self) -> dict[str, Any]:
        """Its metrics.json; empty before there is one."""
        file = self.folder / METRICS
        if not file.is_file():
            return {}
        return read_record(dict[str, Any], file, "scores: remove it, and run the command again")

    def chain(self) -> list[Step]:
        """All steps it needs, in order, then itself; each once."""
        return list(dict.fromkeys([*(step for need in self.needs for step in need.chain()), self]))


def command_line(verb: str, job: Job) -> str:
    """The shell command of a job."""
    return shlex.join(["boxseg", *to_words(verb, job)])


class Shared:
    """What the tables of one call share: steps, splits and weight files, each read once.

    Attributes:
        splits: The splits read so far.
        steps: All steps by folder, each after those it needs.
    """

    def __init__(self) -> None:
        self.splits = Splits()
        self.steps: dict[Path, Step] = {}
        self._digests: dict[Any, str] = {}

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        """The photos of a split."""
        return self.splits.load(data, boxes=boxes)

    def fingerprint(self, data: Data, *, boxes: bool = True) -> str:
        """Digest of the annotations of a split: which photos, with which boxes of which classes."""
        if (data, boxes) not in self._digests:
            dataset = self.load(data, boxes=boxes)
            digest = hashlib.sha256(json.dumps(dataset.classes).encode())
            for sample in dataset.samples:
                digest.update(sample.id.encode(errors="surrogatepass"))
                digest.update(sample.boxes.tobytes() + sample.labels.tobytes())
            self._digests[data, boxes] = digest.hexdigest()
        return self._digests[data, boxes]

    def content(self, file: Path) -> str:
        """Digest of a weight file."""
        if file not in self._digests:
            self._digests[file] = file_digest(file)
        return self._digests[file]


class Plan:
    """Makes the steps of one job of `reproduce`; equal steps are one object.

    Args:
        job: Options of all steps.
        own_classifier: Whether classifier=auto takes the network's backbone even for ResNet-101, not VGG-16.
        shared: Steps and data shared with other plans; new steps are added.
    """

    def __init__(self, job: ReproduceJob, *, own_classifier: bool, shared: Shared) -> None:
        self.job = replace(job, dry_run=False)
        self.own_classifier = own_classifier
        self.shared = shared

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs."""
        return self.job.seeds or (self.job.trainer.seed,)

    @property
    def train(self) -> Data:
        """The photos that networks are trained on."""
        return replace(self.job.data, val_split=Data(root=Path()).val_split)

    @property
    def val(self) -> Data:
        """The photos that are scored."""
        return self.train.with_split(self.job.data.val_split)

    @property
    def test(self) -> Data:
        """The photos of VOC's test split, whose masks only its server has."""
        return replace(self.val, split="test", format="voc", limit=None, masks=None)

    @property
    def coco(self) -> Data:
        """The photos of COCO that the classifier labels."""
        assert self.job.coco is not None  # checked by the job
        return Data(root=self.job.coco, format="coco", split=self.job.coco_split, limit=self.job.data.limit)

    @property
    def classifier_model(self) -> Model:
        """The box classifier's network, without the options that only segmentation has."""
        model, backbone = self.job.model, str(self.job.classifier)
        if backbone == "auto":
            backbone = "vgg16" if model.backbone == "resnet101" and not self.own_classifier else model.backbone
        if backbone != model.backbone:
            weights = self.job.classifier_weights
            return Model(backbone=backbone, weights=weights, batch_norm=model.batch_norm)
        return replace(model, head=Model().head, temperature=Model().temperature)

    def classify(self, seed: int, **options: Any) -> Step:
        """A box classifier; `options` are the row's own options of stage 1."""
        model, stage = self.classifier_model, replace(self.job.classify, **options)
        name = f"{stage.pooling}-n{stage.grid}-{_word(model.backbone)}-seed{seed}"
        changes = {"data": self.train, "model": model, "classify": stage}
        return self._step(ClassifyJob, name, None, training_files, seed=seed, **changes)

    def label(self, classifier: Step, data: Data, **options: Any) -> Step:
        """Labels of a split; `options` are the row's own options of stage 2."""
        # What the classifier was trained with decides: a table has rows of both poolings.
        stage: Label = replace(self.job.label, method="auto", **options)
        name = f"{data.split}-{stage.background}-n{stage.grid}-{_words(classifier)}"
        samples = self.shared.load(data).samples
        return self._step(
            LabelJob,
            name,
            classifier,
            lambda folder: label_files(home_for(folder, stage), samples, pair=True, instances=stage.instances),
            checkpoint=classifier.folder,
            data=data,
            label=stage,
        )

    def segment(self, labels: Step, seed: int, loss: LossName) -> Step:
        """A segmentation network from these labels; scoring is a separate step: its options train nothing."""
        return self._step(
            SegmentJob,
            f"{loss}-{_word(self.job.model.backbone)}-seed{seed}",
            labels,
            training_files,
            seed=seed,
            labels=str(labels.folder),
            data=replace(self.train, val_split=""),
            segment=replace(self.job.segment, loss=loss),
            evaluate=Evaluate(),
        )

    def evaluate(self, network: Step) -> Step:
        """The scores of a network on the validation photos."""
        name = f"{self.val.split}-{_words(network)}"
        return self._step(EvaluateJob, name, network, score_files, checkpoint=network.folder, data=self.val)

    def submit(self, network: Step) -> Step:
        """An archive of predictions for VOC's server."""
        test, competition = self.test, PredictJob.comp
        samples = self.shared.load(test, boxes=False).samples
        return self._step(
            PredictJob,
            f"{test.split}-{_words(network)}",
            network,
            lambda folder: submission_files(folder, competition, test.split, samples),
            checkpoint=network.folder,
            data=test,
            submission="voc2012",
        )

    def _step(
        self,
        kind: type[StepJob],
        name: str,
        need: Step | None,
        files: Callable[[Path], StageFiles],
        *,
        seed: int = 0,
        **changes: Any,
    ) -> Step:
        """A step with the job's options and these changes; stages without randomness have seed 0."""
        verb, needs = _STAGES[kind][0], (need,) if need else ()
        trainer = replace(self.job.trainer, seed=seed)
        job = job_for(kind, self.job, trainer=trainer, **changes)
        folder = self.job.out / verb / f"{name}-{self._digest(verb, job, needs)}"
        if folder not in self.shared.steps:
            job = replace(job, out=folder)
            self.shared.steps[folder] = Step(about=f"{verb} {name}", job=job, needs=needs, files=files(folder))
        return self.shared.steps[folder]

    def _digest(self, verb: str, job: StepJob, needs: tuple[Step, ...]) -> str:
        """Eight hex digits that identify the step; weight files count by content, not by name."""
        assert job.data is not None
        inputs = weight_inputs(job.model) if isinstance(job, (ClassifyJob, SegmentJob)) else {}
        fixed = tuple(f"{key}=" for key in (*FREE, *_LINKS, *inputs))
        words = [word for word in to_words(verb, job) if not word.startswith(fixed)]
        files = [self.shared.content(file) for file in inputs.values()]
        annotations = self.shared.fingerprint(job.data, boxes=not isinstance(job, PredictJob))
        content = [words, [need.folder.name for need in needs], annotations, *files]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def _word(backbone: str) -> str:
    """A backbone as part of a folder name: hf:facebook/dinov2-small -> hf-facebook-dinov2-small."""
    return re.sub(r"[^\w.]+", "-", backbone)


def _words(step: Step) -> str:
    """The name of a step without its digest."""
    return step.folder.name.rpartition("-")[0]
