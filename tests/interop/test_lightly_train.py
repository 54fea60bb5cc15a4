"""What LightlyTrain's own data set makes of the mask folders of `format=masks`.

It needs torchvision; where that does not load, LightlyTrain does not, and this is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.interop.conftest import Labelled

from boxseg.formats.masks import write_grey

try:
    from lightly_train._data import mask_semantic_segmentation_dataset as theirs
except Exception as error:  # torchvision for another torch fails in many ways
    pytest.skip(f"LightlyTrain does not load: {error}", allow_module_level=True)


def described(root: Path) -> dict[str, Any]:
    """The argument `data` of lightly_train.train_semantic_segmentation, as docs/interoperability.md has it."""
    return {
        "train": {"images": f"{root}/images/train", "masks": f"{root}/masks/train"},
        "val": {"images": f"{root}/images/val", "masks": f"{root}/masks/val"},
        "classes": yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))["names"],
    }


def read(root: Path) -> dict[str, np.ndarray]:
    """The masks of the photos of val, before anything is cropped or turned."""
    data = theirs.MaskSemanticSegmentationDataArgs(**described(root))
    arguments = data.get_val_args()
    dataset = theirs.MaskSemanticSegmentationDataset(arguments, list(arguments.list_image_info()))
    dataset.image_mode = theirs.ImageMode.RGB

    def unchanged(item: dict[str, np.ndarray]) -> dict[str, Any]:
        torch = theirs.torch
        return {"image": torch.from_numpy(item["image"]), "mask": torch.from_numpy(item["mask"]).long()}

    dataset._transform = unchanged
    items = [dataset[place] for place in range(len(dataset))]
    assert all(item["image"].shape[:2] == item["mask"].shape for item in items)
    return {Path(item["image_path"]).stem: item["mask"].numpy() for item in items}


def test_masks(labelled: Callable[[str], Labelled], converted: Callable[[str], Path]) -> None:
    of = labelled("val")
    found = read(converted("masks"))
    assert set(found) == set(of.objects)
    for name, mask in found.items():
        assert np.array_equal(mask, of.labels(name))


def test_pixels_without_a_label_are_ignored(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255], [2, 255, 0]], dtype=np.uint8)
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        Image.new("RGB", (3, 2)).save(tmp_path / "images" / split / "a.png")
        write_grey(tmp_path / "masks" / split / "a.png", mask)
    (tmp_path / "data.yaml").write_text("names: {0: background, 1: cat, 2: dog}\n")
    found = read(tmp_path)["a"]
    assert np.array_equal(found == -100, mask == 255), "it ignores -100"
    assert np.array_equal(found[mask < 255], mask[mask < 255])
