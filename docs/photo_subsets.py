"""Put two VOC data sets into one folder, with the lists of photos of "How much data do I need?" in docs/training.md.

python docs/photo_subsets.py voc2012/VOCdevkit/VOC2012 voc2012_aug/VOCdevkit/VOC2012 OUT

The first has the splits `train` and `val`, the second `train_aug`. OUT gets links to their files, and the lists
t20, t40, t80 and t160 (photos of train that show each class once before any twice), t1000 and t3357 (all of train,
and others), `all` and `val`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from boxseg import formats
from boxseg.config import Data
from boxseg.errors import BoxsegError

FOLDERS = ("JPEGImages", "Annotations", "SegmentationClassAug")


def main(words: Sequence[str] | None = None) -> None:
    """Check the folders, and write OUT."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("first", type=Path, help="VOC folder with the splits train and val")
    command.add_argument("second", type=Path, help="VOC folder with the split train_aug")
    command.add_argument("out", type=Path, help="new folder")
    given = command.parse_args(words)
    lists = ((given.first, "train"), (given.first, "val"), (given.second, "train_aug"))
    needed = [root / folder for root in (given.first, given.second) for folder in FOLDERS]
    needed += [_list(root, split) for root, split in lists]
    if missing := [str(path) for path in needed if not path.exists()]:
        command.error(f"{missing[0]} is not there: expected folders with {', '.join(FOLDERS)} and ImageSets")
    try:
        join(given.first, given.second, given.out)
    except (BoxsegError, OSError) as error:
        sys.exit(f"{command.prog}: {error}")


def join(first: Path, second: Path, out: Path) -> None:
    """Write `out`: links to the files of both, and the lists."""
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
        for file in (*(first / folder).iterdir(), *(second / folder).iterdir()):
            if not (out / folder / file.name).exists():
                (out / folder / file.name).symlink_to(file.resolve())
    train, val = _names(first, "train"), _names(first, "val")
    more = _names(second, "train_aug")
    order = spread(_classes(first))
    others = _shuffled(more)
    lists = {f"t{count}": order[:count] for count in (20, 40, 80, 160)}
    lists |= {"t1000": order + others[: 1000 - len(order)], f"t{len(train) + len(more)}": order + others}
    for name, photos in (lists | {"train": train, "val": val, "all": train + more}).items():
        file = _list(out, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{photo}\n" for photo in photos))


def spread(classes: Mapping[str, frozenset[str]]) -> list[str]:
    """Photos in an order whose every beginning shows all classes about as often, as far as that can be.

    Next is the photo with the class that was shown least so far; among equals the order is random, seed 0.
    """
    left = _shuffled(sorted(classes))
    shown: Counter[str] = Counter()
    found = []
    while left:
        photo = min(left, key=lambda name: min((shown[label] for label in classes[name]), default=0))
        left.remove(photo)
        found.append(photo)
        shown.update(classes[photo])
    return found


def _shuffled(names: list[str]) -> list[str]:
    found = names.copy()
    random.Random(0).shuffle(found)
    return found


def _names(root: Path, split: str) -> list[str]:
    return _list(root, split).read_text().split()


def _list(root: Path, split: str) -> Path:
    return root / "ImageSets" / "Segmentation" / f"{split}.txt"


def _classes(root: Path) -> dict[str, frozenset[str]]:
    """Classes of the boxes of each photo of `train`."""
    dataset = formats.load(Data(root=root, split="train"))
    return {
        sample.id: frozenset(dataset.classes[label - 1] for label in sample.labels.tolist())
        for sample in dataset.samples
    }


if __name__ == "__main__":
    main()
