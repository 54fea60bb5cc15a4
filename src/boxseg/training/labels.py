"""Which photos a segmentation network is trained on, and where their labels come from."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boxseg.data.labels import GROUND_TRUTH, Source, has_labels, labels_digest
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.object_counts import rare_classes
from boxseg.formats.problems import check_boxes
from boxseg.formats.sample_counts import box_counts
from boxseg.formats.samples import chosen, held
from boxseg.jobs import SegmentJob
from boxseg.runs.label_source import check_classes, label_sources, wrong_photos
from boxseg.training.strong import strong_photos
from boxseg.wording import counted, counted_of, listed

log = logging.getLogger("boxseg")

# Losses that use only the first sources of labels: the others tell only which pixels are reliable.
_LOOKED_AT = {"ce_crf": 1, "ce_ret": 2}


@dataclass(frozen=True, kw_only=True)
class TrainingLabels:
    """Photos with labels.

    Attributes:
        dataset: The photos; the ground truth of those in `strong` is their true mask.
        sources: Where the labels of the others are; the first takes the role of Y_crf.
        strong: Ids of photos with true masks, which take the place of all sources.
    """

    dataset: BoxDataset
    sources: tuple[Source, ...]
    strong: frozenset[str]

    def digest(self, sample: Sample) -> str:
        """Digest of a photo's labels: its true mask if it has one."""
        return labels_digest(sample, (GROUND_TRUTH,) if sample.id in self.strong else self.sources)


def training_labels(dataset: BoxDataset, job: SegmentJob) -> TrainingLabels:
    """The photos of a data set that have labels of every source, and those with true masks.

    Raises:
        DataError: No photo has labels, or a source cannot be used.
    """
    sources = sources_of(job.labels, dataset)
    if GROUND_TRUTH not in sources:
        check_boxes(dataset)  # labels from boxes would be background alone
    strong = {sample.id: sample for sample in strong_photos(dataset, job)}
    weak = [all(has_labels(s, source) for source in sources) for s in dataset.samples]
    called_wrong = frozenset().union(*(source.left_out for source in sources if source != GROUND_TRUTH))
    wrong = [s.id for s in dataset.samples if s.id in called_wrong and s.id not in strong]
    if not any(weak):
        if wrong:
            raise DataError(
                f"labels={job.labels}: corrections call {counted_of(len(wrong), len(dataset), 'image')} of "
                f"split {dataset.split} wrong, and no other has labels: label again with fewer corrections"
            )
        both = " of all sources" if len(sources) > 1 else ""
        raise DataError(
            f"labels={job.labels}: no image of split {dataset.split} in {dataset.root} has labels{both}"
        )
    samples, kept = _with_strong(dataset.samples, weak, strong)
    if wrong:
        log.info(f"segment: left out: {counted(len(wrong), 'image')}, wrong by corrections")
    left_out = len(dataset) - kept - len(wrong)
    if left_out:
        log.info(f"segment: left out: {counted(left_out, 'image')} without labels")
    if strong:
        log.info(
            f"segment: {counted(len(strong), 'image')} with true masks, "
            f"{len(samples) - len(strong)} with labels"
        )
    return TrainingLabels(
        dataset=dataclasses.replace(dataset, samples=samples),
        sources=sources[: _LOOKED_AT.get(job.segment.loss)],
        strong=frozenset(strong),
    )


def _with_strong(
    samples: Sequence[Sample], weak: Sequence[bool], strong: dict[str, Sample]
) -> tuple[Sequence[Sample], int]:
    """The photos that have labels or true masks, and how many of `samples` are among them.

    They are in the order of the data set; then come photos that only the split of true masks has.
    """
    if not strong:
        return chosen(samples, weak), sum(weak)
    kept = {s.id: s for s, has in zip(samples, weak, strict=True) if has or s.id in strong}
    return held((kept | strong).values()), len(kept)


def sources_of(labels: str | Sequence[str], dataset: BoxDataset) -> tuple[Source, ...]:
    """Folders of masks, each once, that `labels` names; a folder made by `label` holds two.

    Photos that corrections of the labels call wrong have none.

    Raises:
        DataError: A folder has no masks, or they have other classes than the data set.
    """
    found: list[Source] = []
    for name in [labels] if isinstance(labels, str) else labels:
        if name == GROUND_TRUTH:
            found.append(GROUND_TRUTH)
        else:
            wrong = wrong_photos(Path(name))
            found += [
                dataclasses.replace(masks, left_out=wrong) for masks in label_sources(Path(name)).values()
            ]
            check_classes(Path(name), dataset)
    return tuple(dict.fromkeys(found))


def with_boxes(dataset: BoxDataset, stage: str = "classify") -> BoxDataset:
    """The images that have a box; the others teach nothing.

    Raises:
        DataError: No image has a box.
    """
    check_boxes(dataset)
    samples = chosen(dataset.samples, box_counts(dataset.samples))
    if len(samples) < len(dataset):
        log.info(f"{stage}: left out: {counted(len(dataset) - len(samples), 'image')} without a box")
    return dataclasses.replace(dataset, samples=samples)


def warn_of_rare_classes(dataset: BoxDataset, stage: str, shown: int = 8) -> None:
    """Say which classes have hardly a box to learn from: a network will not find them."""
    rare = [f"{count.name} {count.boxes}" for count in rare_classes(dataset)]
    if rare:
        log.warning(
            f"{stage}: {counted(len(rare), 'class')} with hardly a box to learn from ({listed(rare, shown)}): "
            f"add photos of them, see theirs more often by {stage}.repeat_threshold=0.3, or leave them out by "
            "data.classes=[…]"
        )
