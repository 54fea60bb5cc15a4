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


@pytest.mark.parametrize("folder", ["", "annotations/", "train/"])
def test_files_of_any_root_and_encoding_are_recognised(tmp_path: Path, put, folder: str) -> None:
    photos = "images/" if folder == "annotations/" else folder
    put(f"{folder}a.xml", f"{photos}a.jpg", "dog")
    put(f"{folder}b.xml", f"{photos}b.jpg", "cat")
    (tmp_path / folder / "a.xml").write_text(xml("dog").replace("<annotation>", '<annotation verified="yes">'))
    for text in (
        xml("cat"),
        xml("cat").replace("annotation>", "Annotation>"),
        '<?xml version="1.0"?>\n<!-- by hand -->\n' + xml("cat"),
    ):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            (tmp_path / folder / "b.xml").write_text(text, encoding=encoding)
            dataset = load(tmp_path)
            assert (dataset.format, dataset.classes, dataset.problems) == ("voc", ("cat", "dog"), ())
            assert [sample.boxes.tolist() for sample in dataset.samples] == [[[2, 3, 20, 21]]] * 2


def test_chinese_files_are_recognised(tmp_path: Path, put) -> None:
    put("a.xml", "a.jpg")
    (tmp_path / "a.xml").write_bytes(('<?xml version="1.0" encoding="GBK"?>' + xml("狗")).encode("gbk"))
    assert load(tmp_path).classes == ("狗",)


def test_hidden_and_foreign_files_do_not_hide_the_format(tmp_path: Path, put) -> None:
    put("p1.xml", "p1.jpg", "dog")
    for name in ("._p1.xml", "._p1.jpg", ".a.xml"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (tmp_path / "0.xml").write_text("<project/>")
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["p1"]
    assert [problem.file.name for problem in dataset.problems] == ["0.xml"]


@pytest.mark.parametrize("root", ["<annotations>", "<x><annotation/></x>", "annotation", "", "<annotation"])
def test_other_xml_is_no_voc(tmp_path: Path, make_photo, root: str) -> None:
    make_photo("a.jpg")
    (tmp_path / "a.xml").write_text(root)
    with pytest.raises(DataError, match=r"not recognised|not valid XML"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp", ".Jpg", ".jfif", ".gif"])
@pytest.mark.parametrize("folder", ["", "images/"])
def test_photos_of_other_suffixes(tmp_path: Path, put, make_photo, suffix: str, folder: str) -> None:
    put("annotations/a.xml" if folder else "a.xml", None, "dog")
    make_photo(f"{folder}a.png").rename(tmp_path / f"{folder}a{suffix}")
    assert load(tmp_path).samples[0].image.name == f"a{suffix}"


def test_annotations_called_after_the_whole_name_of_the_photo(tmp_path: Path, put) -> None:
    put("mixed_20.jpg.xml", "mixed_20.jpg", "dog")
    put("b.c.png.xml", "b.c.png", "dog")
    dataset = load(tmp_path)
    assert [(sample.id, sample.image.name) for sample in dataset.samples] == [
        ("b.c", "b.c.png"),
        ("mixed_20", "mixed_20.jpg"),
    ]
    assert dataset.problems == ()


def test_an_annotation_is_of_the_photo_whose_whole_name_it_has(tmp_path: Path, put, make_photo) -> None:
    put("a.png.xml", "a.png", "dog")
    make_photo("a.jpg")
    (sample,) = load(tmp_path).samples
    assert sample.image.name == "a.png"


def test_of_two_annotations_of_one_name_the_second_is_listed(tmp_path: Path, put) -> None:
    put("a.jpg.xml", "a.jpg", "dog")
    put("a.png.xml", "a.png", "cat")
    dataset = load(tmp_path)
    assert [(sample.image.name, len(sample.boxes)) for sample in dataset.samples] == [("a.jpg", 1)]
    problems = [(problem.file.name, problem.kind) for problem in dataset.problems]
    assert ("a.png.xml", "two annotation files of one name") in problems


def test_names_in_a_list_may_hold_blanks(tmp_path: Path, put) -> None:
    put("Annotations/my cat.jpg.xml", "JPEGImages/my cat.jpg", "cat")
    put("Annotations/dog.xml", "JPEGImages/dog.jpg", "dog")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("my cat\ndog -1\n")
    dataset = load(tmp_path)
    assert ([sample.id for sample in dataset.samples], dataset.problems) == (["my cat", "dog"], ())


def test_photos_that_only_the_annotation_names(tmp_path: Path, put, make_photo) -> None:
    for source, name in (("000001.xml", "IMG_8184.jpg"), ("000002.xml", "gone.jpg"), ("000003.xml", "own.jpg")):
        put(f"annotations/{source}", None)
        text = xml("dog").replace("<size>", f"<filename>{name}</filename><size>")
        (tmp_path / "annotations" / source).write_text(text)
    make_photo("images/sub/IMG_8184.jpg")
    put("annotations/own.xml", "images/own.jpg", "dog")
    dataset = load(tmp_path)
    assert {sample.id: sample.image.name for sample in dataset.samples} == {
        "000001": "IMG_8184.jpg",
        "own": "own.jpg",
    }
    assert [problem.file.name for problem in dataset.problems] == ["000002.xml", "000003.xml"]
    assert {problem.kind for problem in dataset.problems} == {"annotation without photo"}


def test_the_photo_of_another_split_is_not_taken(tmp_path: Path, put) -> None:
    put("train/a.xml", None, "dog")
    put("train/b.xml", "train/b.jpg", "dog")
    put("valid/a.xml", "valid/a.jpg", "dog")
    assert [sample.id for sample in load(tmp_path).samples] == ["b"]
