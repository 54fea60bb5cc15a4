"""Photos as tensors: augmented batches for the two trainings, whole photos in order for the rest."""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from boxseg.config import Augment
from boxseg.data.geometry import background_map
from boxseg.data.labels import GROUND_TRUTH, Source, read_labels
from boxseg.data.sampler import StreamSampler, repeat_factors
from boxseg.data.transforms import Item, augment, is_sliver
from boxseg.data.workers import LoadingError, choose_workers, cores, reading_threads, start_worker
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.images import sample_image, sample_picture
from boxseg.remote.hooks import ahead, fetch_together, is_remote
from boxseg.wording import counted


class BoxBatch(TypedDict):
    """B training images of stage 1, S x S pixels each, with R boxes in all, in the order of the images."""

    images: Tensor  # (B, 3, S, S) uint8 RGB
    boxes: Tensor  # (R, 4) float32, x1 y1 x2 y2 in pixels of the crop
    batch_index: Tensor  # (R,) int64, the image of each box
    labels: Tensor  # (R,) int64, 1..L
    background: Tensor  # (B, S, S) bool, outside every box; False on padding
    valid: Tensor  # (B, S, S) bool, False on padding


class LabelBatch(TypedDict):
    """B training images of stage 3, S x S pixels each."""

    images: Tensor  # (B, 3, S, S) uint8 RGB
    y_crf: Tensor  # (B, S, S) uint8, 0..L or 255; 255 on padding
    y_ret: Tensor  # (B, S, S) uint8, likewise


Tensors = dict[str, Tensor]

# The entries of a BoxBatch with one row per box, not per image.
PER_BOX = frozenset({"boxes", "batch_index", "labels"})


def split_batch(batch: Tensors, parts: int) -> list[Tensors]:
    """Split a batch, in order, into `parts` with about equally many images.

    Only a BoxBatch, which says by `batch_index` whose a box is, has several boxes an image.
    """
    if parts == 1:
        return [batch]
    images = len(batch["images"])
    edges = [images * place // parts for place in range(parts + 1)]
    owner = batch.get("batch_index")
    found = []
    for first, last in itertools.pairwise(edges):
        part = {
            name: tensor[first:last] for name, tensor in batch.items() if owner is None or name not in PER_BOX
        }
        if owner is not None:
            mine = (owner >= first) & (owner < last)
            part |= {name: batch[name][mine] for name in PER_BOX}
            part["batch_index"] = part["batch_index"] - first
        found.append(part)
    return found


class TrainingPhotos(Dataset[Any]):
    """Reads the photo that a sampler asks for or, if it is unreadable, the next one in the data set."""

    _sources: tuple[Source, ...] = ()  # of labels
    repeats: NDArray[np.float64] | None = None
    """Repeat factors of the photos, for a `StreamSampler`."""

    def __init__(self, dataset: BoxDataset, seed: int) -> None:
        if not dataset.samples:
            raise DataError(f"split {dataset.split!r} of {dataset.root} has no photos to train on")
        self._samples = dataset.samples
        self._seed = seed
        # Shared, so that every process knows which photos are unreadable.
        self._unreadable = torch.zeros(len(dataset), dtype=torch.bool)
        self._unreadable.share_memory_()  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._unreadable.share_memory_()  # type: ignore[no-untyped-call]  # it came from another machine

    def __len__(self) -> int:
        return len(self._samples)

    def some_files(self) -> list[Path]:
        """A few photos, and a mask of each folder of labels: another machine must find them, too."""
        few = dict.fromkeys((0, len(self._samples) // 2, len(self._samples) - 1))
        masks = [
            next((source.stored_in(sample.id) for sample in self._samples if source.has(sample.id)), None)
            for source in self._sources
            if source != GROUND_TRUTH
        ]
        found = [*(self._samples[place].image for place in few), *masks]
        return [file for file in found if file is not None and file.is_file()]

    @property
    def unreadable(self) -> tuple[str, ...]:
        """IDs of the photos found unreadable so far, in the order of the data set."""
        return tuple(self._samples[int(index)].id for index in self._unreadable.nonzero())

    def _read(self, index: int) -> tuple[Sample, Image.Image]:
        for step in range(len(self._samples)):
            place = (index + step) % len(self._samples)
            sample = self._samples[place]
            if self._unreadable[place]:
                continue
            try:
                return sample, sample_picture(sample)
            except DataError as error:
                self._unreadable[place] = True
                warnings.warn(f"{error}; training uses the next photo instead", stacklevel=2)
        raise LoadingError(
            f"none of the {counted(len(self._samples), 'photo')} can be read, the first is "
            f"{self._samples[0].image}"
        )

    def __getitem__(self, key: tuple[int, int]) -> Tensors:
        """An item of a batch, for an (index, position) pair of a `StreamSampler`."""
        raise NotImplementedError

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Tensors]:
        """The items of a batch; photos in a store are fetched together."""
        fetch_together(self._photo(index).image for index, _ in keys)
        return [self[key] for key in keys]

    def _photo(self, index: int) -> Sample:
        """The photo that an index of the sampler names."""
        return self._samples[index]

    @property
    def remote(self) -> bool:
        """Whether photos lie in a store."""
        return is_remote(self._samples[0].image)

    @staticmethod
    def collate(items: list[Tensors]) -> Any:
        """Put items into a batch."""
        raise NotImplementedError


class _AugmentedPhotos(TrainingPhotos):
    def __init__(self, dataset: BoxDataset, augment: Augment, seed: int, repeat_threshold: float = 0) -> None:
        super().__init__(dataset, seed)
        self._augment = augment
        self.repeats = repeat_factors([sample.labels for sample in dataset.samples], repeat_threshold)

    def _augmented(self, item: Item, position: int) -> Item:
        return augment(item, self._augment, np.random.default_rng([self._seed, position]))


class BoxTraining(_AugmentedPhotos):
    """Training images of stage 1, with all their boxes (difficult ones, too) but without their crowds.

    Indexed by the (index, position) pairs of a `StreamSampler`: index names the photo; position and the seed
    determine its augmentation. An item is one image of a `BoxBatch`.

    Raises:
        DataError: There are no photos; when indexed, no photo can be read.
    """

    def __getitem__(self, key: tuple[int, int]) -> Tensors:
        index, position = key
        sample, image = self._read(index)
        # Crowds are added as boxes of class 0: they are neither examples of a class nor background.
        boxes = np.concatenate([sample.boxes, sample.crowds])
        labels = np.concatenate([sample.labels, np.zeros(len(sample.crowds), np.int64)])
        item = self._augmented(Item.of(image, boxes, labels), position)
        kept = ~is_sliver(item) & (item.labels > 0)
        # The pixels of a sliver are not background, so the map is drawn from all boxes.
        background = item.valid & background_map(item.boxes, *item.valid.shape)
        return {
            "image": _tensor(np.asarray(item.image).transpose(2, 0, 1)),
            "boxes": torch.from_numpy(item.boxes[kept].astype(np.float32)),
            "labels": torch.from_numpy(item.labels[kept]),
            "background": torch.from_numpy(background),
            "valid": _tensor(item.valid),
        }

    @staticmethod
    def collate(items: list[Tensors]) -> BoxBatch:
        """Make a batch of images of one size."""
        counts = torch.tensor([len(item["labels"]) for item in items])
        return {
            "images": _stack("image", items),
            "boxes": torch.cat([item["boxes"] for item in items]),
            "batch_index": torch.arange(len(items)).repeat_interleave(counts),
            "labels": torch.cat([item["labels"] for item in items]),
            "background": _stack("background", items),
            "valid": _stack("valid", items),
        }


class LabelTraining(_AugmentedPhotos):
    """Training images of stage 3, with both their labels; an item is one image of a `LabelBatch`.

    Indexed like `BoxTraining`; boxes are not used. `sources` are as for `read_labels`; the ground truth of the
    photos with the IDs `strong` replaces them. An unreadable photo is replaced; a missing or wrong mask is an
    error, because it was made for this photo.

    Raises:
        DataError: There are no photos; when indexed, no photo can be read, or labels cannot be used.
    """

    def __init__(
        self,
        dataset: BoxDataset,
        augment: Augment,
        seed: int,
        sources: Sequence[Source],
        strong: Collection[str] = (),
        repeat_threshold: float = 0,
    ) -> None:
        super().__init__(dataset, augment, seed, repeat_threshold)
        self._sources = tuple(sources)
        self._strong = frozenset(strong)
        self._classes = len(dataset.classes)

    def __getitem__(self, key: tuple[int, int]) -> Tensors:
        index, position = key
        sample, image = self._read(index)
        sources = (GROUND_TRUTH,) if sample.id in self._strong else self._sources
        try:
            y_crf, y_ret = read_labels(sample, sources, self._classes)
        except DataError as error:
            raise LoadingError(str(error)) from error
        whole = Item.of(image, np.zeros((0, 4)), np.zeros(0, np.int64), {"y_crf": y_crf, "y_ret": y_ret})
        item = self._augmented(whole, position)
        maps = {name: _tensor(values) for name, values in item.maps.items()}
        return {"image": _tensor(np.asarray(item.image).transpose(2, 0, 1)), **maps}

    @staticmethod
    def collate(items: list[Tensors]) -> LabelBatch:
        """Make a batch of images of one size."""
        return {
            "images": _stack("image", items),
            "y_crf": _stack("y_crf", items),
            "y_ret": _stack("y_ret", items),
        }


class StreamLoader(DataLoader[Any]):
    """A DataLoader that asks its sampler for indices at the first batch, not when iteration starts.

    Lightning iterates a loader before it tells the sampler at which epoch a training is resumed; loading
    processes would then begin with the first chunk. There is no upstream issue; remove this class when
    Lightning's fit loop calls `set_epoch` before it makes the iterator.
    """

    def __iter__(self) -> Any:
        yield from super().__iter__()


def make_loader(dataset: TrainingPhotos, sampler: StreamSampler, *, workers: int = -1) -> StreamLoader:
    """Batches of a training, the same for any number of workers (-1: `choose_workers` chooses).

    With several ranks, `sampler` is this rank's `shard`.
    """
    if workers < 0:
        # A process of its own asks a store for the next batches while this one computes.
        workers = max(choose_workers(len(dataset)), int(dataset.remote))
    return StreamLoader(
        dataset,
        batch_size=sampler.rank_batch,
        sampler=sampler,
        collate_fn=dataset.collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=start_worker,
        pin_memory=torch.cuda.is_available(),
        # DataLoader draws a number per epoch: it must not come from the generator that dropout uses.
        generator=torch.Generator(),
    )


class LoadedPhoto(NamedTuple):
    """A whole photo, (H, W, 3) uint8 RGB, in the frame of its boxes; or None and why it cannot be read."""

    sample: Sample
    image: NDArray[np.uint8] | None
    error: str | None


class Photos(Dataset[tuple[NDArray[np.uint8] | None, str | None]]):
    """Image and error of each `LoadedPhoto`."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8] | None, str | None]:
        try:
            return sample_image(self._samples[index]), None
        except DataError as error:
            return None, str(error)


def photos(samples: Sequence[Sample], *, workers: int = -1) -> Iterator[LoadedPhoto]:
    """Whole photos in order; loading processes (-1 chooses their number) read the next ones ahead.

    In a block of `read_by_threads`, threads do.
    """
    threads = reading_threads()
    if threads is None and samples and is_remote(samples[0].image):
        threads = cores()  # processes would wait for the store, one photo after another
    if threads:
        yield from _read_ahead(samples, threads)
        return
    workers = workers if threads is None else 0
    loader = DataLoader(
        Photos(samples),
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=choose_workers(len(samples)) if workers < 0 else workers,
        worker_init_fn=start_worker,
        generator=torch.Generator(),
    )
    for sample, (image, error) in zip(samples, loader, strict=True):
        yield LoadedPhoto(sample, image, error)


def _read_ahead(samples: Sequence[Sample], threads: int) -> Iterator[LoadedPhoto]:
    read, waiting = Photos(samples), deque[tuple[Sample, Future[Any]]]()
    with ThreadPoolExecutor(threads, "boxseg-read") as pool:
        try:
            for place, sample in enumerate(ahead(samples, lambda sample: [sample.image])):
                waiting.append((sample, pool.submit(read.__getitem__, place)))
                if len(waiting) > 2 * threads:
                    first, future = waiting.popleft()
                    yield LoadedPhoto(first, *future.result())
            for first, future in waiting:
                yield LoadedPhoto(first, *future.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _stack(name: str, items: list[Tensors]) -> Tensor:
    return torch.stack([item[name] for item in items])


def _unchanged(item: Any) -> Any:
    return item
