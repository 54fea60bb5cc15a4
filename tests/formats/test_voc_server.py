"""The layout that the VOC server expects, and a fault of every kind that our check must find."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg.config import Data
from boxseg.errors import DataError
from boxseg.formats import load
from boxseg.formats.masks import write_mask
from boxseg.formats.voc_server import check_results, pack, results_folder

IDS = ("2008_000006", "2008_000011", "2008_000012")
SIZES = ((12, 9), (7, 15), (20, 5))  # width, height


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """VOC's test set as it is published: photos and a list, no Annotations."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    for name, size in zip(IDS, SIZES, strict=True):
        Image.new("RGB", size, (9, 99, 200)).save(root / "JPEGImages" / f"{name}.jpg")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "test.txt").write_text("\n".join(IDS) + "\n")
    (root / "ImageSets" / "Main").mkdir()
    (root / "ImageSets" / "Main" / "test.txt").write_text("\n".join((*IDS, "2008_000099")) + "\n")
    return root


@pytest.fixture
def results(voc: Path, tmp_path: Path) -> Path:
    """Faultless predictions, and the folder above `results`."""
    out = tmp_path / "out"
    rng = np.random.default_rng(0)
    for name, (width, height) in zip(IDS, SIZES, strict=True):
        labels = rng.integers(0, 21, (height, width), np.uint8)
        write_mask(out / f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png", labels)
    return out


def predictions(out: Path) -> Path:
    return out / "results" / "VOC2012" / "Segmentation" / "comp6_test_cls"


def test_the_layout_is_the_servers(tmp_path: Path) -> None:
    assert results_folder(tmp_path, "comp6", "test") == predictions(tmp_path)
    assert results_folder(tmp_path, "comp5", "val").name == "comp5_val_cls"


def test_faultless_results_pass_as_folder_and_as_archive(voc: Path, results: Path, tmp_path: Path) -> None:
    pack(results, tmp_path / "a.tgz")
    for given in (results, results / "results", tmp_path / "a.tgz"):
        assert check_results(given, voc) == []
    assert check_results(results, voc.parent.parent) == []  # the folder above the devkit


def test_the_list_may_hold_paths(voc: Path, results: Path) -> None:
    lines = (f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n" for name in IDS)
    (voc / "ImageSets" / "Segmentation" / "test.txt").write_text("".join(lines))
    assert check_results(results, voc) == []


def test_the_archive_holds_the_tree_at_its_root_and_is_the_same_every_time(
    results: Path, tmp_path: Path
) -> None:
    (results / "config.yaml").write_text("not for the server")
    pack(results, tmp_path / "a.tgz")
    pack(results, tmp_path / "b.tgz")
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tgz").read_bytes()
    with tarfile.open(tmp_path / "a.tgz", "r:gz") as tar:
        assert tar.getnames() == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in IDS]
        for name, size in zip(IDS, SIZES, strict=True):
            file = tar.extractfile(f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png")
            assert file is not None
            image = Image.open(io.BytesIO(file.read()))
            assert (image.format, image.mode, image.size) == ("PNG", "P", size)
            assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]  # type: ignore[index]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOCdevkit", "a.tgz", "b.tgz", "out"]


def with_value(path: Path, value: int) -> None:
    labels = np.array(Image.open(path))
    labels[0, :2] = value
    write_mask(path, labels)


Plant = Callable[[Path, Path], object]  # takes the folder of predictions and one of them
FAULTS: dict[str, tuple[Plant, str]] = {
    "missing": (lambda _, file: file.unlink(), "missing"),
    "extra file": (lambda folder, _: (folder / "2008_000099.png").write_bytes(b""), "unexpected file"),
    "file beside": (lambda folder, _: (folder.parents[1] / "README").write_text("x"), "unexpected file"),
    "another split": (
        lambda folder, _: write_mask(folder.parent / "comp6_val_cls/a.png", np.zeros((1, 1), np.uint8)),
        "unexpected file",
    ),
    "wrong size": (
        lambda _, file: write_mask(file, np.zeros((7, 15), np.uint8)),
        "size: 15 x 7, the photo is 7 x 15",
    ),
    "grey": (lambda _, file: Image.new("L", (7, 15)).save(file), "mode: L, expected P"),
    "colour": (lambda _, file: Image.new("RGB", (7, 15)).save(file), "mode: RGB, expected P"),
    "no png": (lambda _, file: Image.new("P", (7, 15)).save(file, format="GIF"), "format: GIF, expected PNG"),
    "out of range": (lambda _, file: with_value(file, 21), "label out of range: 21 in 2 pixels"),
    "ignored": (lambda _, file: with_value(file, 255), "ignored pixels: 255 in 2 pixels"),
    "damaged": (lambda _, file: file.write_bytes(file.read_bytes()[:60]), "unreadable image"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_fault_is_found_and_nothing_else(
    fault: str, packed: bool, voc: Path, results: Path, tmp_path: Path
) -> None:
    plant, what = FAULTS[fault]
    plant(predictions(results), predictions(results) / f"{IDS[1]}.png")
    if packed:
        pack(results, tmp_path / "a.tgz")
    found = check_results(tmp_path / "a.tgz" if packed else results, voc)
    assert len(found) == 1, found
    assert found[0].what.startswith(what)
    assert found[0].file.parts[0] == "results"
    if what != "unexpected file":
        assert found[0].file.stem == IDS[1]


def test_a_second_competition_must_be_complete_too(voc: Path, results: Path) -> None:
    first = predictions(results)
    other = first.with_name("comp5_test_cls")
    other.mkdir()
    (other / f"{IDS[0]}.png").write_bytes((first / f"{IDS[0]}.png").read_bytes())
    missing = [other / f"{name}.png" for name in IDS[1:]]
    assert [results / problem.file for problem in check_results(results, voc)] == missing


def test_links_and_repeated_names_in_an_archive_are_found(voc: Path, results: Path, tmp_path: Path) -> None:
    folder = "results/VOC2012/Segmentation/comp6_test_cls"
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        for name in (*IDS, IDS[0]):
            tar.add(predictions(results) / f"{name}.png", f"./{folder}/{name}.png")
        link = tarfile.TarInfo(f"{folder}/../../etc.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = check_results(tmp_path / "a.tgz", voc)
    assert [problem.what for problem in found] == ["second file of this name", "unexpected file"]


def test_what_is_no_submission_is_an_error(voc: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"broken\.tgz: damaged, or not a tar archive"):
        check_results(tmp_path / "broken.tgz", voc)
    pack(results, tmp_path / "cut.tgz")
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "cut.tgz").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut\.tgz: damaged"):
        check_results(tmp_path / "cut.tgz", voc)
    with pytest.raises(DataError, match="no such archive or folder"):
        check_results(tmp_path / "nowhere", voc)
    with pytest.raises(DataError, match=r"no .*tset\.txt.*did you mean 'test'"):
        check_results(results, voc, "tset")
    (tmp_path / "empty").mkdir()
    (only,) = check_results(tmp_path / "empty", voc)
    assert only.what == "no predictions: expected comp5_test_cls or comp6_test_cls"


# --- photos without annotations ---


def test_photos_of_a_split_need_no_annotations(voc: Path) -> None:
    dataset = load(Data(root=voc.parent, split="test"), boxes=False)
    assert [sample.id for sample in dataset.samples] == list(IDS)
    assert [(sample.width, sample.height) for sample in dataset.samples] == list(SIZES)
    assert all(sample.boxes.shape == (0, 4) and sample.ground_truth is None for sample in dataset.samples)
    assert (dataset.format, dataset.problems, dataset.classes) == ("voc", (), ())
    with pytest.raises(DataError, match="image without annotation file: 2008_000006"):
        load(Data(root=voc, split="test"))


def test_listed_photos_that_are_not_there_are_listed(voc: Path) -> None:
    (voc / "JPEGImages" / f"{IDS[0]}.jpg").unlink()
    (voc / "JPEGImages" / f"{IDS[2]}.jpg").write_text("no photo")
    listed = voc / "ImageSets" / "Segmentation" / "test.txt"
    listed.write_text(listed.read_text() + "../../../etc/secret\n")
    dataset = load(Data(root=voc, split="test"), boxes=False)
    assert [sample.id for sample in dataset.samples] == [IDS[1]]
    kinds = [problem.kind for problem in dataset.problems]
    assert kinds == ["listed without a photo", "listed without a photo", "unreadable photo"]
