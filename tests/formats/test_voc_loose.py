"""VOC's XML files without a devkit around them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError


def xml(*names: str) -> str:
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>21</ymax></bndbox>"
    objects = "".join(f"<object><name>{name}</name>{box}</object>" for name in names)
    return f"<annotation><size><width>40</width><height>30</height></size>{objects}</annotation>"


@pytest.fixture
def put(tmp_path: Path, make_photo):
    """Writes an annotation file, and its photo somewhere."""

    def one(source: str, photo: str | None, *names: str) -> None:
        path = tmp_path / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(xml(*names))
        if photo:
            make_photo(photo)

    return one


def load(root: Path, **options) -> BoxDataset:
    return formats.load(Data(root=root, **options))


def test_files_beside_their_photos_are_train(tmp_path: Path, put) -> None:
    put("b.xml", "b.jpg", "sofa", "dog")
    put("a b.xml", "a b.png", "dog")
    dataset = load(tmp_path)
    assert (dataset.format, dataset.split, dataset.classes) == ("voc", "train", ("dog", "sofa"))
    assert [sample.id for sample in dataset.samples] == ["a b", "b"]
    assert dataset.samples[1].labels.tolist() == [2, 1]
    assert dataset.samples[1].boxes.tolist() == [[2, 3, 20, 21]] * 2
    assert not dataset.problems
    with pytest.raises(DataError, match=r"no split 'val'.*there are: files of no split, which are train"):
        load(tmp_path, split="val")


@pytest.mark.parametrize("above", ["", "annotations/", "Annotations/"])
def test_a_folder_for_each_split(tmp_path: Path, put, above: str) -> None:
    for split, name in (("train", "cat"), ("valid", "dog")):
        photo = f"images/{split}/{split}1.jpg" if above else f"{split}/{split}1.jpg"
        put(f"{above}{split}/{split}1.xml", photo, name)
    for split in ("train", "valid"):
        dataset = load(tmp_path, split=split)
        assert dataset.classes == ("cat", "dog")  # of all splits
        assert [sample.id for sample in dataset.samples] == [f"{split}1"]
    with pytest.raises(DataError, match=r"no split 'vali'.*did you mean 'valid'.*there are: train, valid"):
        load(tmp_path, split="vali")


@pytest.mark.parametrize("photos", ["images", "JPEGImages", "photos"])
def test_a_folder_of_files_and_one_of_photos(tmp_path: Path, put, photos: str) -> None:
    put("annotations/a.xml", f"{photos}/a.png", "cat")
    assert load(tmp_path).samples[0].image == tmp_path / photos / "a.png"


def test_a_folder_of_photos_may_be_named(tmp_path: Path, put) -> None:
    put("xml/a.xml", "pictures/a.png", "cat")
    assert load(tmp_path, images=Path("pictures")).samples[0].image == tmp_path / "pictures/a.png"


def test_what_has_no_partner_is_listed(tmp_path: Path, put, make_photo) -> None:
    put("a.xml", "a.jpg", "cat")
    put("alone.xml", None, "cat")
    make_photo("bare.jpg")
    (tmp_path / "broken.xml").write_text("<annotation><object>")
    make_photo("broken.jpg")
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert {(problem.file.name, problem.kind) for problem in dataset.problems} == {
        ("alone.xml", "annotation without photo"),
        ("bare.jpg", "photo without annotation file"),
        ("broken.xml", "annotation file is not valid XML"),
    }


def test_a_label_map_gives_the_order_of_classes(tmp_path: Path, put) -> None:
    put("a.xml", "a.jpg", "cat")
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:128,0,0::\ncat:0,128,0::\n"
    )
    assert load(tmp_path).classes == ("dog", "cat")


def test_a_devkit_without_lists_is_all_train(tmp_path: Path, put) -> None:
    put("Annotations/b.xml", "JPEGImages/b.jpg", "cat")
    put("Annotations/a.xml", "JPEGImages/a.jpg", "cat")
    assert [sample.id for sample in load(tmp_path).samples] == ["a", "b"]
    with pytest.raises(DataError, match="no split 'val'"):
        load(tmp_path, split="val")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("a\n")
    with pytest.raises(DataError, match="no split 'train'"):
        load(tmp_path)  # with lists, those that are in none belong to no split


def test_real_photos_as_a_labelling_tool_leaves_them(shared_data: Path, tmp_path: Path) -> None:
    devkit = shared_data / "voc2012/VOCdevkit/VOC2012"
    expected = formats.load(Data(root=devkit, limit=12))
    for sample in expected.samples:
        shutil.copy(sample.image, tmp_path)
        shutil.copy(devkit / "Annotations" / f"{sample.id}.xml", tmp_path)
    found = load(tmp_path)
    theirs = {sample.id: sample for sample in expected.samples}
    assert len(found.samples) == 12
    for sample in found.samples:
        assert (sample.boxes == theirs[sample.id].boxes).all()
        names = [found.classes[label - 1] for label in sample.labels]
        assert names == [expected.classes[label - 1] for label in theirs[sample.id].labels]
