"""The training images as LightningDataModules: one fixed stream, of which each process loads its share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L

from boxseg import formats
from boxseg.config import Augment, Classify, Data, Segment
from boxseg.data.loading import BoxTraining, LabelTraining, StreamLoader, TrainingPhotos, make_loader
from boxseg.data.sampler import StreamSampler
from boxseg.errors import ConfigError
from boxseg.jobs import ClassifyJob, SegmentJob
from boxseg.options import from_python
from boxseg.training.labels import training_labels, with_boxes

AnyData = Data | Mapping[str, Any] | str | Path

# Steps of a stream that the Trainer ends: more than any training takes.
_ENDLESS = 2**40


class StreamDataModule(L.LightningDataModule):
    """Training images in the order of a sampler, for all processes of a training.

    Args:
        images: Training images.
        sampler: Their order.
        workers: Loading processes of each process; -1 chooses by the number of cores.
    """

    def __init__(self, images: TrainingPhotos, sampler: StreamSampler, workers: int) -> None:
        super().__init__()
        self.images = images
        self.sampler = sampler
        self.workers = workers

    def train_dataloader(self) -> StreamLoader:
        """The share of this process.

        Raises:
            ConfigError: Lightning would split the share again, or the batch cannot be split.
        """
        assert self.trainer is not None
        world = self.trainer.world_size
        if world > 1 and self.trainer._accelerator_connector.use_distributed_sampler:
            raise ConfigError(
                "each process loads its own share already: give lightning.Trainer use_distributed_sampler=False"
            )
        part = self.sampler.shard(self.trainer.global_rank, world)
        return make_loader(self.images, part, workers=self.workers)


class BoxDataModule(StreamDataModule):
    """Photos with boxes for a `BoxClassifierModule`, in the order and with the changes of `boxseg classify`.

    The same seed gives the same batches. An epoch is a pass over the photos, rounded up to whole batches; the
    next one continues the same stream. Photos without a box are left out.

    Args:
        data: The data set: its folder, `{"root": DIR, "split": "train", …}`, or a `boxseg.config.Data`.
        batch: Images a step, over all processes together.
        crop: Side of the training crop, pixels, instead of that of `augment`.
        augment: Random changes.
        seed: Seed of order and changes; 0 is a seed.
        workers: Loading processes; -1 chooses by the number of cores.

    Attributes:
        classes: Names of classes 1..L.

    Raises:
        ConfigError: An option of the data set is unknown.
        DataError: The data cannot be used.
    """

    def __init__(
        self,
        data: AnyData,
        *,
        batch: int = Classify.batch,
        crop: int | None = None,
        augment: Augment | None = None,
        seed: int = 0,
        workers: int = -1,
    ) -> None:
        dataset = with_boxes(formats.load(_read_data(data)))
        images = BoxTraining(dataset, _cropped(augment, crop), seed)
        super().__init__(images, _passes(len(dataset), batch, seed), workers)
        self.classes = dataset.classes


class LabelDataModule(StreamDataModule):
    """Photos with labels for a `SegmenterModule`, in the order and with the changes of `boxseg segment`.

    An epoch is a pass over the photos, as in `BoxDataModule`. Photos without labels are left out.

    Args:
        data: The data set: its folder, `{"root": DIR, "split": "train", …}`, or a `boxseg.config.Data`.
        labels: A folder made by `boxseg label`, a folder of masks, `ground-truth`, or a list of these.
        batch: Images a step, over all processes together.
        crop: Side of the training crop, pixels, instead of that of `augment`.
        augment: Random changes.
        strong: True masks that take the place of labels: a folder, or `ground-truth`.
        seed: Seed of order and changes; 0 is a seed.
        workers: Loading processes; -1 chooses by the number of cores.

    Attributes:
        classes: Names of classes 1..L.

    Raises:
        ConfigError: An option of the data set is unknown.
        DataError: The data or the labels cannot be used.
    """

    def __init__(
        self,
        data: AnyData,
        labels: str | list[str],
        *,
        batch: int = Segment.batch,
        crop: int | None = None,
        augment: Augment | None = None,
        strong: str | None = None,
        seed: int = 0,
        workers: int = -1,
    ) -> None:
        read = _read_data(data)
        found = training_labels(
            formats.load(read), SegmentJob(data=read, labels=labels, strong=strong, out=Path())
        )
        images = LabelTraining(found.dataset, _cropped(augment, crop), seed, found.sources, found.strong)
        super().__init__(images, _passes(len(found.dataset), batch, seed), workers)
        self.classes = found.dataset.classes


def _read_data(data: AnyData) -> Data:
    if isinstance(data, Data):
        return data
    return from_python("classify", ClassifyJob, {"data": data, "out": "."}).data


def _cropped(augment: Augment | None, crop: int | None) -> Augment:
    augment = augment or Augment()
    return augment if crop is None else replace(augment, crop=crop)


def _passes(images: int, batch: int, seed: int) -> StreamSampler:
    """An endless stream; an epoch is a pass over the images."""
    return StreamSampler(images, batch=batch, iterations=_ENDLESS, seed=seed, chunk=-(-images // batch))
