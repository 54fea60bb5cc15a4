"""Bad input from a user's side: whole commands end in one line, single bad items are skipped and listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg.cli import execute
from boxseg.formats.masks import write_mask

TINY = (
    "classify.iterations=1",
    "classify.batch=1",
    "classify.augment.crop=33",
    "model.weights=none",
    "workers=0",
)


@pytest.fixture
def broken(toy: Path, tmp_path: Path) -> Path:
    """A copy of the demo set that a test may break."""
    return Path(shutil.copytree(toy, tmp_path / "data"))


@pytest.fixture(scope="module")
def classifier(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier")
    assert execute(["classify", *TINY, f"data={toy}", f"out={out}"]) == 0
    return out


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line with which a command refuses."""
    capsys.readouterr()
    assert execute(list(words)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("boxseg: ")]
    assert len(lines) == 1
    return lines[0]


def test_data_that_is_not_there(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "nowhere" in fails(capsys, "doctor", f"data={tmp_path}/nowhere")
    line = fails(capsys, "doctor", f"data={tmp_path}/empty")
    assert "VOC" in line or "voc" in line
    line = fails(capsys, "doctor", f"data={toy}", "data.split=trian")
    assert "did you mean 'train'" in line
    assert "format" in fails(capsys, "doctor", f"data={toy}", "data.format=kitti")


def test_an_empty_split(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken / "ImageSets" / "Segmentation" / "none.txt").write_text("\n")
    assert "none" in fails(capsys, "doctor", f"data={broken}", "data.split=none")


def test_a_mask_value_out_of_range(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "val_0001"
    with Image.open(broken / "JPEGImages" / f"{name}.jpg") as photo:
        labels = np.full((photo.height, photo.width), 77, np.uint8)
    write_mask(broken / "SegmentationClass" / f"{name}.png", labels)
    shutil.copytree(broken / "SegmentationClass", tmp_path / "labels")
    line = fails(capsys, "evaluate", f"labels={tmp_path}/labels", f"data={broken}", "data.split=val")
    assert "77" in line
    assert name in line


def test_a_checkpoint_that_is_something_else(
    toy: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"data={toy}"
    text = tmp_path / "model.safetensors"
    text.write_text("no checkpoint")
    assert "damaged" in fails(capsys, "label", f"checkpoint={text}", data, f"out={tmp_path}/l")
    line = fails(capsys, "evaluate", f"checkpoint={classifier}", data, "data.split=val", f"out={tmp_path}/e")
    assert "segmentation network" in line
    assert not (tmp_path / "l").exists()
    assert not (tmp_path / "e").exists()


def test_a_checkpoint_of_other_classes(
    broken: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (broken / "Annotations").glob("*.xml"):
        file.write_text(file.read_text().replace("<name>fish</name>", "<name>trout</name>"))
    line = fails(capsys, "label", f"checkpoint={classifier}", f"data={broken}", f"out={tmp_path}/l")
    assert "missing: trout" in line
    assert "class_map" in line


def test_labels_that_are_not_there(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels").mkdir()
    line = fails(capsys, "segment", f"labels={tmp_path}/labels", f"data={toy}", f"out={tmp_path}/s", *TINY[3:])
    assert "no labels" in line


def test_single_bad_items_are_skipped_counted_and_listed(
    broken: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = broken / "JPEGImages"
    truncated = (photos / "train_0000.jpg").read_bytes()
    (photos / "train_0000.jpg").write_bytes(truncated[: len(truncated) // 2])
    (photos / "train_0001.jpg").write_text("no photo")
    (photos / "train_0002.jpg").unlink()
    (broken / "Annotations" / "train_0003.xml").unlink()
    xml = broken / "Annotations" / "train_0004.xml"
    xml.write_text(xml.read_text().replace("<xmin>", "<xmin>9", 1))
    grey = photos / "train_0005.jpg"
    Image.open(grey).convert("L").save(grey)

    assert execute(["doctor", f"data={broken}"]) == 1
    listed = capsys.readouterr().out
    for number in range(5):
        assert f"train_000{number}" in listed
    assert "train_0005" not in listed

    assert execute(["label", f"checkpoint={classifier}", f"data={broken}", f"out={tmp_path}/l"]) == 0
    seen = capsys.readouterr()
    assert "problems" in seen.err
    written = {file.stem for file in (tmp_path / "l" / "y_crf").iterdir()}
    assert written == {f"train_000{number}" for number in range(4, 10)}
    assert set(json.loads((tmp_path / "l" / "metrics.json").read_text())["skipped"]) == {"train_0000"}

    assert execute(["classify", *TINY, "classify.iterations=8", f"data={broken}", f"out={tmp_path}/c"]) == 0
    assert "train_0000" in capsys.readouterr().err
    hidden = [file for file in tmp_path.rglob(".*") if file.is_file()]
    assert not hidden


def test_photos_to_predict(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word.replace("classify", "segment") for word in TINY]
    assert (
        execute(["segment", "labels=ground-truth", *words, f"data={toy}", "val_split=", f"out={tmp_path}/s"])
        == 0
    )
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, mode in (("a.png", "RGB"), ("b.png", "L"), ("c.png", "P"), ("sub/a.jpg", "CMYK")):
        noise = Image.fromarray(rng.integers(0, 256, (31, 45, 3), np.uint8))
        noise.convert(mode).save(photos / name)
    Image.fromarray(rng.integers(0, 65536, (20, 30), np.uint16)).save(photos / "d.png")
    (photos / "e.jpg").write_text("no photo")
    predict = ("predict", f"checkpoint={tmp_path}/s", "scales=[1]", "crf.iterations=1", "workers=0")
    assert execute([*predict, f"images={photos}", f"out={tmp_path}/p"]) == 0
    assert "e.jpg" in capsys.readouterr().out
    sizes = {f.stem: Image.open(f).size for f in (tmp_path / "p" / "labels").iterdir()}
    assert sizes == {"a": (45, 31), "b": (45, 31), "c": (45, 31), "d": (30, 20), "sub_a": (45, 31)}
    assert len(list((tmp_path / "p" / "overlays").iterdir())) == 5
    assert "no such file" in fails(capsys, *predict, f"images={tmp_path}/nowhere", f"out={tmp_path}/q")
    assert "no photo" in fails(capsys, *predict, f"images={tmp_path}/s", f"out={tmp_path}/q")
    assert "give submission=voc2012" in fails(
        capsys, *predict, f"images={photos}", f"out={tmp_path}/q", "comp=comp5"
    )
