from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg.dataset import VOC_CLASSES
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask
from voc_files import BOX, PERSON, kinds, load, person, xml


@pytest.fixture
def add(add_voc):
    return add_voc


def test_coordinates_are_one_based_and_inclusive(tmp_path: Path, add) -> None:
    add("a", xml(person(1, 1, 40, 30), person(3, 4, 3, 4), person(2.5, 3, 20.25, 21)))
    sample = load(tmp_path).samples[0]
    # The whole photo, a single pixel, and fractions as they are.
    assert sample.boxes.tolist() == [[0, 0, 40, 30], [2, 3, 3, 4], [1.5, 2, 20.25, 21]]
    assert sample.boxes.dtype == np.float64
    assert sample.labels.tolist() == [15, 15, 15]


def test_only_direct_children_count(tmp_path: Path, add) -> None:
    part = f"<part><name>head</name>{BOX.format(2, 2, 3, 3)}</part>"
    before = PERSON.replace("<name>", part + "<name>", 1).format("", 1, 1, 10, 10)
    nested = f"<part>{person(2, 2, 3, 3)}</part>"
    add("a", xml(before, person(11, 11, 20, 20, more=part), nested))
    dataset = load(tmp_path)
    assert dataset.classes == VOC_CLASSES
    assert dataset.samples[0].boxes.tolist() == [[0, 0, 10, 10], [10, 10, 20, 20]]


def test_difficult_is_kept_as_a_flag(tmp_path: Path, add) -> None:
    add("a", xml(person(more="<difficult>1</difficult>"), person(more="<difficult>0</difficult>"), person()))
    assert load(tmp_path).samples[0].difficult.tolist() == [True, False, False]


def test_image_without_a_box_is_kept(tmp_path: Path, add) -> None:
    add("a", xml())
    dataset = load(tmp_path)
    assert dataset.samples[0].boxes.shape == (0, 4)
    assert dataset.problems == ()


def test_single_bad_items_are_listed_and_the_rest_is_read(tmp_path: Path, add) -> None:
    add("good", xml(person()))
    add("no_photo", xml(person()), photo=False)
    add("no_xml", None)
    add("neither", None, photo=False)
    add("broken_xml", "<annotation><object>")
    add("broken_photo", xml(person()), photo=False)
    (tmp_path / "JPEGImages" / "broken_photo.jpg").write_bytes(b"rubbish")
    add("boxes", xml(person(31, 1, 60, 10), person(60, 1, 70, 10), person(9, 1, 3, 10)))
    add("no_number", xml(person(), person("x", 1, 3, 10)))
    add("no_box", xml("<object><name>dog</name></object>"))
    add("not_finite", xml(person("nan", 1, 3, 10)))
    add("nameless", xml(person(3, 4, 10, 20).replace("person", "")))
    add("other_size", xml(person(), size="<size><width>80</width><height>60</height></size>"))
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["good", "boxes", "nameless"]
    assert dataset.samples[1].boxes.tolist() == [[30, 0, 40, 10], [2, 0, 9, 10]]
    # An object of no class is neither an object nor background.
    nameless = dataset.samples[2]
    assert (nameless.boxes.tolist(), nameless.crowds.tolist()) == ([], [[2, 3, 10, 20]])
    expected = np.zeros((30, 40), np.uint8)
    expected[3:20, 2:10] = 255
    assert np.array_equal(pickle.loads(pickle.dumps(nameless)).ignored(), expected)
    assert sorted(kinds(dataset)) == [
        ("boxes.xml", "box is outside the photo", "dropped"),
        ("boxes.xml", "box sticks out of the photo", "clipped"),
        ("boxes.xml", "corners exchanged", "kept, put in order"),
        ("broken_photo.jpg", "unreadable photo", "skipped"),
        ("broken_xml.xml", "annotation file is not valid XML", "skipped"),
        ("nameless.xml", "class missing", "ignored with its box"),
        ("neither.xml", "neither photo nor annotation", "skipped"),
        ("no_box.xml", "box without four numbers", "skipped"),
        ("no_number.xml", "box without four numbers", "skipped"),
        ("no_photo.xml", "annotation without photo", "skipped"),
        ("no_xml.xml", "image without annotation file", "skipped"),
        ("not_finite.xml", "box without four numbers", "skipped"),
        ("other_size.xml", "annotated size is not the photo's", "skipped"),
    ]
    (unreadable,) = (problem.what for problem in dataset.problems if problem.file.name == "broken_photo.jpg")
    assert unreadable == "unreadable photo: not an image that Pillow can read"


@pytest.mark.parametrize(
    ("photo", "box", "kept"),
    [
        ({"width": 30, "height": 40}, (1, 1, 20, 20), True),  # exchanged by mistake
        ({"width": 30, "height": 40}, (1, 1, 35, 20), False),  # the box does not fit
        ({"width": 40, "height": 30, "turn": 6}, (1, 1, 20, 20), True),  # annotated as stored
        ({"width": 30, "height": 40, "turn": 6}, (1, 1, 38, 20), True),  # annotated upright
    ],
)
def test_exchanged_sizes(tmp_path: Path, add, photo, box, kept: bool) -> None:
    add("good", xml(person()))
    add("a", xml(person(*box)), **photo)
    dataset = load(tmp_path)
    assert len(dataset) == 1 + kept
    turned = "turn" in photo  # no problem at all: tools state the size of either frame
    assert len(dataset.problems) == (0 if turned else 1)


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>0</height></size>"])
def test_size_need_not_be_stated(tmp_path: Path, add, size: str) -> None:
    add("a", xml(person(), size=size))
    assert (load(tmp_path).samples[0].width, load(tmp_path).samples[0].height) == (40, 30)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".JPG", ".bmp", ".tif", ".webp", ".Jpg", ".gif"])
def test_suffixes_of_photos(tmp_path: Path, add, suffix: str) -> None:
    add("a.b", xml(person()), suffix=suffix)
    sample = load(tmp_path).samples[0]
    assert sample.id == "a.b"
    assert sample.image.suffix == suffix


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a  1",
        "a -1",
        "a.jpg",
        "/JPEGImages/a.jpg",
        "a\na",
        "  a\t",
        "\n\na\n\n",
    ],
)
def test_lines_of_split_lists(tmp_path: Path, add, line: str) -> None:
    add("a", xml(person()), line=line)
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert dataset.problems == ()


def test_ids_with_spaces_and_folders(tmp_path: Path, add) -> None:
    (tmp_path / "Annotations" / "sub").mkdir()
    add("my photo (1)", xml(person()))
    add("sub/b", xml(person()))
    assert [sample.id for sample in load(tmp_path).samples] == ["my photo (1)", "sub/b"]


def test_ids_that_lead_out_are_skipped(tmp_path: Path, add) -> None:
    add("a", xml(person()))
    add("a", None, line="../JPEGImages/a", photo=False)
    assert kinds(load(tmp_path)) == [("a.xml", "ID leads out of the data set", "skipped")]


def test_voc_s_own_classes_keep_their_order(tmp_path: Path, add) -> None:
    add("a", xml(person()))
    assert load(tmp_path).classes == VOC_CLASSES


def test_other_classes_are_sorted_over_all_annotations_not_the_split(tmp_path: Path, add) -> None:
    add("a", xml(person(), person().replace("person", "zebra")))
    (tmp_path / "Annotations" / "other.xml").write_text(xml(person().replace("person", "ant")))
    dataset = load(tmp_path)
    assert dataset.classes == ("ant", "person", "zebra")
    assert dataset.samples[0].labels.tolist() == [2, 3]


def test_ground_truth(tmp_path: Path, add) -> None:
    add("a", xml(person()))
    add("b", xml(person()))
    assert not load(tmp_path).has_ground_truth
    mask = np.full((30, 40), 15, dtype=np.uint8)
    write_mask(tmp_path / "SegmentationClass" / "a.png", mask)
    a, b = load(tmp_path).samples
    assert b.ground_truth is None
    assert np.array_equal(pickle.loads(pickle.dumps(a)).ground_truth(), mask)
    write_mask(tmp_path / "SegmentationClassAug" / "b.png", mask)
    a, b = load(tmp_path).samples
    assert np.array_equal(b.ground_truth(), mask)
    write_mask(tmp_path / "SegmentationClassAug" / "b.png", mask + 6)
    with pytest.raises(DataError, match=r"b\.png: value 21"):
        load(tmp_path).samples[1].ground_truth()


@pytest.mark.parametrize("split", ["train", "val", "trainval", "train_aug", "mine"])
@pytest.mark.parametrize("paths", [False, True])
def test_lists_of_either_form_and_their_masks(tmp_path: Path, add, split: str, paths: bool) -> None:
    names = ["2007_000032", "2007_000039", "2008_000001"]
    for name in names:
        add(name, xml(person()))
    for folder, value, some in (("SegmentationClass", 1, names[:2]), ("SegmentationClassAug", 2, names[1:])):
        for name in some:
            write_mask(tmp_path / folder / f"{name}.png", np.full((30, 40), value, np.uint8))
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" if paths else name for name in names]
    (tmp_path / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(lines))
    dataset = load(tmp_path, split=split)
    assert [sample.id for sample in dataset.samples] == names
    absent = ["2007_000032"] if paths else []
    assert [(problem.file.stem, problem.action) for problem in dataset.problems] == [
        (name, f"SegmentationClass/{name}.png taken") for name in absent
    ]
    # Of two masks the one that the list names counts, else VOC's own for VOC's own splits.
    both = 1 if split in ("train", "val", "trainval") and not paths else 2
    assert [int(sample.ground_truth()[0, 0]) for sample in dataset.samples] == [1, both, 2]


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        ("/SegmentationClassAug/a.png", "listed mask is not there"),
        ("/SegmentationClassAug/../../outside.png", "listed mask is outside the data set"),
        ("../outside.png", "listed mask is outside the data set"),
        ("C:/outside.png", "listed mask is outside the data set"),
    ],
)
def test_listed_masks_that_cannot_be_used(tmp_path: Path, add, mask: str, what: str) -> None:
    write_mask(tmp_path.parent / "outside.png", np.ones((30, 40), np.uint8))
    add("a", xml(person()), line=f"/JPEGImages/a.jpg {mask}")
    dataset = load(tmp_path)
    assert dataset.samples[0].ground_truth is None
    assert [(problem.kind, problem.action) for problem in dataset.problems] == [
        (what, "kept without ground truth")
    ]


@pytest.mark.parametrize("mask", ["/SegmentationClassAug/none.png", "../../none.png"])
def test_another_mask_instead_of_the_listed_one_is_told(tmp_path: Path, add, mask: str) -> None:
    add("a", xml(person()), line=f"/JPEGImages/a.jpg {mask}")
    write_mask(tmp_path / "SegmentationClass" / "a.png", np.ones((30, 40), np.uint8))
    dataset = load(tmp_path)
    assert dataset.samples[0].ground_truth is not None
    (problem,) = dataset.problems
    assert problem.what.startswith("listed mask is ")
    assert problem.action == "SegmentationClass/a.png taken"


def test_lists_of_paths_that_name_absent_files(tmp_path: Path, add) -> None:
    add("a", xml(person()), line="/JPEGImages/a.jpg /SegmentationClassAug/a.png")
    write_mask(tmp_path / "SegmentationClassAug" / "a.png", np.ones((30, 40), np.uint8))
    add("b", None, line="/JPEGImages/b.jpg /SegmentationClassAug/b.png", photo=False)
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert kinds(dataset) == [("b.xml", "neither photo nor annotation", "skipped")]


def test_main_list_serves_where_there_is_no_other(tmp_path: Path, add) -> None:
    add("a", xml(person()))
    (tmp_path / "ImageSets" / "Main").mkdir()
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("none\n")
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("a\n")
    assert len(load(tmp_path)) == 1
    assert len(load(tmp_path, split="trainval")) == 1


def test_missing_split_names_those_there(tmp_path: Path, add) -> None:
    add("a", xml(person()))
    with pytest.raises(DataError, match=r"no split 'trian', did you mean 'train'\? .*there are: train\)"):
        load(tmp_path, split="trian")


def test_folder_above_serves_and_two_data_sets_do_not(tmp_path: Path, add, shared_data: Path) -> None:
    for root in ("voc2012", "voc2012/VOCdevkit", "voc2012/VOCdevkit/VOC2012"):
        assert len(load(shared_data / root, limit=2)) == 2
    for name in ("VOC2007", "VOC2010"):
        for folder in ("JPEGImages", "Annotations"):
            (tmp_path / "kit" / name / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=r"several VOC data sets \(VOC2007, VOC2010\)"):
        load(tmp_path / "kit")


def test_real_data_set(shared_data: Path) -> None:
    ids: list[str] = []
    for split, count in (("train", 311), ("val", 321)):
        dataset = load(shared_data / "voc2012", split=split)
        assert len(dataset) == count
        assert dataset.problems == ()
        assert dataset.classes == VOC_CLASSES
        assert all(sample.ground_truth for sample in dataset.samples)
        assert set(np.concatenate([sample.labels for sample in dataset.samples])) == set(range(1, 21))
        ids += [sample.id for sample in dataset.samples]
    assert len(set(ids)) == 632
    first = load(shared_data / "voc2012", limit=1).samples[0]
    # From 2007_000032.xml, written out: 104 78 375 183, 133 88 197 123 and two persons.
    assert first.boxes.tolist()[:2] == [[103, 77, 375, 183], [132, 87, 197, 123]]
    assert first.labels.tolist() == [1, 1, 15, 15]


def test_photos_called_otherwise_than_their_annotations(tmp_path: Path, add, make_photo) -> None:
    stated = "<filename>{}</filename>"
    for name, filename in (
        ("1", "IMG_1.jpg"),
        ("2", "IMG_2.png"),
        ("3", "a.jpg"),
        ("4", "same.jpg"),
        ("5", "same.jpg"),
    ):
        add(name, xml(stated.format(filename), person()), photo=False)
    add("6", xml("<path>C:\\photos\\six.JPG</path>", person()), photo=False)
    for photo in ("IMG_1.jpg", "img_2.jpg", "same.jpg", "six.jpg"):
        make_photo(f"JPEGImages/{photo}")
    add("a", xml(stated.format("IMG_1.jpg"), person()))  # its own name is what counts
    dataset = load(tmp_path)
    assert {sample.id: sample.image.name for sample in dataset.samples} == {
        "1": "IMG_1.jpg",
        "2": "img_2.jpg",
        "6": "six.jpg",
        "a": "a.jpg",
    }
    # The photo of `a` is no other's, and two files may not share one.
    assert kinds(dataset) == [(f"{name}.xml", "annotation without photo", "skipped") for name in "345"]


@pytest.mark.parametrize("listed", [True, False])
def test_annotations_called_after_the_whole_name_of_the_photo(tmp_path: Path, add, listed: bool) -> None:
    add("a.jpg", xml(person()), suffix="", photo=False)
    add("b.x", xml(person()), photo=False)
    Image.new("RGB", (40, 30)).save(tmp_path / "JPEGImages" / "a.jpg")
    Image.new("RGB", (40, 30)).save(tmp_path / "JPEGImages" / "b.x.bmp")
    if not listed:
        (tmp_path / "ImageSets/Segmentation/train.txt").unlink()
    assert [sample.id for sample in load(tmp_path).samples] == ["a", "b.x"]


def test_a_list_of_no_split_is_train(tmp_path: Path, add) -> None:
    """As CVAT exports a task that has no subsets, maybe with folders."""
    (tmp_path / "Annotations" / "sub").mkdir()
    add("sub/a", xml(person()))
    lists = tmp_path / "ImageSets"
    (lists / "Main").mkdir()
    (lists / "Segmentation" / "train.txt").rename(lists / "Main" / "default.txt")
    for split in ("train", "default"):
        assert [sample.id for sample in load(tmp_path, split=split).samples] == ["sub/a"]
    with pytest.raises(DataError, match=r"no split 'val' .*there are: default"):
        load(tmp_path, split="val")
    (lists / "Main" / "default.txt").unlink()
    assert [sample.id for sample in load(tmp_path).samples] == ["sub/a"]  # and without any list


def test_hidden_files_are_ignored(tmp_path: Path, add) -> None:
    add("a", xml(person()))
    for name in ("Annotations/._a.xml", "JPEGImages/._a.jpg", "ImageSets/Segmentation/._train.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    dataset = load(tmp_path)
    assert (len(dataset), dataset.problems) == (1, ())
    (tmp_path / "ImageSets/Segmentation/train.txt").unlink()
    dataset = load(tmp_path)
    assert ([sample.id for sample in dataset.samples], dataset.problems) == (["a"], ())
