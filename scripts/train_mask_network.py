"""Train the mask network that comes with boxseg from the boxes of VOC 2012, and put it into the package.

    python scripts/train_mask_network.py VOC2012 VOC2012_AUG runs/mask-network

Both are VOC folders (JPEGImages, Annotations, ImageSets/Segmentation); the first gives its split `train`, the
second `train_aug`. Their masks are not read. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import boxseg

SHIPPED = Path(boxseg.__file__).parent / "nn" / "weights" / "mask_network.safetensors"
SPLITS = ("train", "train_aug")


def merge(sources: list[Path], out: Path) -> Path:
    """One VOC folder of links to the photos and boxes of several, with all of them as the split `train`."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (out / name).mkdir(parents=True, exist_ok=True)
    ids: list[str] = []
    for source, split in zip(sources, SPLITS, strict=True):
        own = (source / "ImageSets/Segmentation" / f"{split}.txt").read_text(encoding="utf-8").split()
        for name in own:
            for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
                link = out / folder / f"{name}{suffix}"
                if not link.is_symlink():
                    link.symlink_to((source / folder / link.name).resolve())
        ids += own
    (out / "ImageSets/Segmentation/train.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    return out


def main() -> None:
    """Merge, train, copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voc", type=Path, help="folder with JPEGImages/ and Annotations/ of the split train")
    parser.add_argument("aug", type=Path, help="likewise of the split train_aug")
    parser.add_argument("out", type=Path, help="run folder")
    words = parser.parse_args()
    data = merge([words.voc, words.aug], words.out / "data")
    trained = words.out / "adapt"
    command = ["adapt", "-c", "mask_network", f"data={data}", f"out={trained}"]
    subprocess.run([sys.executable, "-m", "boxseg", *command], check=True)
    shutil.copyfile(trained / "model.safetensors", SHIPPED)


if __name__ == "__main__":
    main()
