"""What `predict` may write to a folder that holds something already."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import boxseg
from boxseg.config import Model, Segment
from boxseg.errors import ConfigError
from boxseg.inference.networks import save_network, start_segmenter


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of random weights, of different classes."""
    options, found = Model(weights="none"), {}
    for classes in (("cat", "dog"), ("car", "bus")):
        network, _ = start_segmenter(options, 2, 0)
        found[classes[0]] = tmp_path_factory.mktemp(classes[0]) / "model.safetensors"
        save_network(found[classes[0]], network, classes=classes, model=options, options=Segment())
    return found


def predict(network: Path, photo: Path, out: Path) -> None:
    boxseg.predict(checkpoint=network, images=photo, out=out, evaluate={"tta": False}, trainer={"workers": 0})


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    for name in "ab":
        Image.new("RGB", (40, 30), "green").save(tmp_path / f"{name}.jpg")
    return [tmp_path / "a.jpg", tmp_path / "b.jpg"]


def test_networks_of_other_classes_do_not_share_a_folder(
    networks: dict[str, Path], photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(networks["cat"], photos[0], out)
    predict(networks["cat"], photos[1], out)  # more photos of the same
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {out / "labels/a.png", out / "labels/b.png"} <= set(before)
    with pytest.raises(ConfigError, match=r"holds labels of other classes \(cat, dog\): choose another out"):
        predict(networks["car"], photos[1], out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_another_photo_of_the_same_name_does_not_replace_the_first(
    networks: dict[str, Path], photos: list[Path], tmp_path: Path
) -> None:
    other = tmp_path / "more" / "a.jpg"
    other.parent.mkdir()
    predict(networks["cat"], photos[0], tmp_path / "out")
    predict(networks["cat"], photos[0], tmp_path / "out")
    other.write_bytes(photos[0].read_bytes())
    predict(networks["cat"], other, tmp_path / "out")  # a copy of it
    predict(networks["cat"], photos[0], tmp_path / "out")
    Image.new("RGB", (40, 30), "blue").save(other)
    before = (tmp_path / "out/labels/a.png").read_bytes()
    with pytest.raises(ConfigError, match=r"another photo called a: choose another out"):
        predict(networks["cat"], other, tmp_path / "out")
    assert (tmp_path / "out/labels/a.png").read_bytes() == before
    photos[0].rename(tmp_path / "more" / "moved.jpg")  # the photos were moved as a whole
    predict(networks["cat"], other, tmp_path / "out")


def test_masks_of_the_user_are_not_replaced(
    networks: dict[str, Path], photos: list[Path], tmp_path: Path
) -> None:
    mask = tmp_path / "data" / "labels" / "a.png"
    mask.parent.mkdir(parents=True)
    Image.new("L", (40, 30), 1).save(mask)
    before = mask.read_bytes()
    with pytest.raises(ConfigError, match=r"labels holds masks that boxseg did not write: choose another out"):
        predict(networks["cat"], photos[0], tmp_path / "data")
    assert mask.read_bytes() == before
    predict(networks["cat"], photos[0], tmp_path / "other")
