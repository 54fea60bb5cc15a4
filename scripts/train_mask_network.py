"""Train the mask network that comes with boxseg from the boxes of VOC 2012, and put it into the package.

    python scripts/train_mask_network.py VOC2012 VOC2012_AUG runs/mask-network

Both are VOC folders (JPEGImages, Annotations, ImageSets/Segmentation); the first gives its split `train`, the
second `train_aug`. Their masks are not read. A first network learns from ImageNet's weights, by the recipe
`mask_network`; two trainings go on from it, each with its own seed, and the mean of their weights is what is
kept: it is better than either. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

import boxseg
from boxseg.config import Adapt
from boxseg.inference.mask_networks import save_mask_network, start_mask_network
from boxseg.nn.mask_network import MaskNetwork

SHIPPED = Path(boxseg.__file__).parent / "nn" / "weights" / "mask_network.safetensors"
SPLITS = ("train", "train_aug")

# The later trainings, and how each refines its teacher's answers.
LATER = ("adapt.iterations=2000", "adapt.lr=3e-4", "adapt.average=0.995")
REFINED = (("adapt.colour=0.7", "adapt.smooth=3"), ("adapt.colour=1.0", "adapt.smooth=4"))


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


def adapt(data: Path, out: Path, *options: str) -> Path:
    """Train a mask network by `boxseg adapt`, or go on with it; returns its folder."""
    command = ["adapt", f"data={data}", f"out={out}", *options]
    subprocess.run([sys.executable, "-m", "boxseg", *command], check=True)
    return out


def mean(networks: list[Path]) -> MaskNetwork:
    """The network whose weights are the mean of several, which started from the same one.

    Source: Wortsman et al., "Model soups", ICML 2022.
    """
    device = torch.device("cpu")
    states = [start_mask_network(str(path), 0)[0].to(device).state_dict() for path in networks]
    network, _ = start_mask_network(str(networks[0]), 0)
    network.load_state_dict(
        {name: torch.stack([s[name].double() for s in states]).mean(0).to(t) for name, t in states[0].items()}
    )
    return network


def main() -> None:
    """Merge the data, train the first network, go on from it several times, and take the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voc", type=Path, help="folder with JPEGImages/ and Annotations/ of the split train")
    parser.add_argument("aug", type=Path, help="likewise of the split train_aug")
    parser.add_argument("out", type=Path, help="run folder")
    words = parser.parse_args()
    data = merge([words.voc, words.aug], words.out / "data")
    first = adapt(data, words.out / "first", "-c", "mask_network")
    later = [
        adapt(data, words.out / f"later-{seed}", f"adapt.weights={first}", f"trainer.seed={seed}", *LATER, *how)
        for seed, how in enumerate(REFINED, start=1)
    ]
    save_mask_network(SHIPPED, mean(later), Adapt())
    sys.stdout.write(f"{SHIPPED}: the mean of {len(later)} networks\n")


if __name__ == "__main__":
    main()
