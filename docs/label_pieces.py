"""Print what the labels of a classifier are made of, inside true objects and beside them: a table of docs/results.md.

python docs/label_pieces.py RUN VOC2012 60 [cat dog ...]

RUN is a folder of `boxseg classify`, VOC2012 a data set with masks, 60 the number of its photos (split `val`): the
first that show objects of these classes alone, or of any. Where labels are worse than hoped for, the row says which
part fails: the background's attention A, its threshold, the class activation maps, or the CRF.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boxseg import formats
from boxseg.config import Crf, Data
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.errors import BoxsegError, ConfigError
from boxseg.formats.images import read_image
from boxseg.inference.networks import Loaded, load_classifier
from boxseg.inference.refine import refine
from boxseg.labelling.method import pixel_boxes
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.field import UpsampledFeatures
from boxseg.nn.pseudo import background_attention, class_scores, confident_background, finish_crf


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Means over photos, of pixels inside boxes that the truth calls an object, or background.

    Attributes:
        attention: Median of A / max A.
        confident: Share of pixels whose A is at least 0.99 max A: there u_0 = A, elsewhere 0.
        before: Share of pixels where no class is more probable than the background, before the CRF.
        after: Share of pixels that are background in Y_crf.
    """

    attention: float
    confident: float
    before: float
    after: float


def pieces(loaded: Loaded[BoxClassifier], dataset: BoxDataset) -> dict[str, Pieces]:
    """The pieces on true objects and on true background in boxes."""
    found: dict[str, list[tuple[float, ...]]] = {"object": [], "background in a box": []}
    with torch.inference_mode():
        for sample in dataset.samples:
            for name, values in _pieces(loaded, sample):
                found[name].append(values)
    fields = ("attention", "confident", "before", "after")
    return {
        name: Pieces(**dict(zip(fields, np.mean(rows, axis=0).tolist(), strict=True)))
        for name, rows in found.items()
        if rows
    }


def _pieces(loaded: Loaded[BoxClassifier], sample: Sample) -> Iterator[tuple[str, tuple[float, ...]]]:
    assert sample.ground_truth is not None
    image, truth = torch.from_numpy(read_image(sample.image)), torch.from_numpy(sample.ground_truth())
    features = loaded.network.features(image.permute(2, 0, 1)[None])[0]
    field = UpsampledFeatures(features, (image.shape[0], image.shape[1]), loaded.network.stride)
    boxes = pixel_boxes(sample, loaded.device)
    attention = background_attention(field, boxes.background, 1)
    u_0 = confident_background(field, boxes, 1)
    scores = class_scores(field, loaded.network.weight, boxes, background="attention", grid=1)
    labels = finish_crf(refine(Crf(), [image], [scores])[0], boxes)
    maps = attention / attention.max(), u_0 > 0, scores[0] >= scores[1:].amax(0), labels == 0
    inside = ~boxes.outside & (truth != IGNORE)
    for name, where in (("object", inside & (truth > 0)), ("background in a box", inside & (truth == 0))):
        if where.any():
            yield name, (float(maps[0][where].median()), *(_share(part, where) for part in maps[1:]))


def _share(part: Tensor, where: Tensor) -> float:
    return float(part[where].float().mean())


def main(words: Sequence[str] | None = None) -> None:
    """Print the rows."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("run", type=Path, help="folder of boxseg classify")
    command.add_argument("root", type=Path, help="data set with masks and a split val")
    command.add_argument("photos", type=int, help="how many")
    command.add_argument("classes", nargs="*", help="photos of these classes alone; otherwise of any")
    given = command.parse_args(words)
    try:
        print_rows(given.run, given.root, given.photos, given.classes)
    except (BoxsegError, OSError) as error:
        sys.exit(f"{command.prog}: {error}")


def print_rows(run: Path, root: Path, photos: int, classes: Sequence[str]) -> None:
    """Print the means of the pieces, as rows of Markdown."""
    dataset = formats.load(Data(root=root, split="val"))
    if unknown := set(classes) - set(dataset.classes):
        raise ConfigError(f"{root} has no class {min(unknown)!r}; it has {', '.join(dataset.classes)}")
    wanted = {dataset.classes.index(name) + 1 for name in classes or dataset.classes}
    fitting = [sample for sample in dataset.samples if wanted.issuperset(sample.labels.tolist())]
    dataset = replace(dataset, samples=tuple(fitting[:photos]))
    for name, found in pieces(load_classifier(run, torch.device("cpu")), dataset).items():
        shares = (f"{100 * share:.1f} %" for share in (found.confident, found.before, found.after))
        print(f"| {name} | {found.attention:.2f} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
