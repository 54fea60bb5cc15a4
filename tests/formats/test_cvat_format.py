"""CVAT for images 1.1, by files written as CVAT's documentation of the format describes them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval.core.mask import decode
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation_writers import cvat_mask
from boxseg import formats
from boxseg.config import Data
from boxseg.errors import DataError

META = """<meta><task><labels>
  <label><name>dog</name><color>#ff0000</color><type>any</type>
    <attributes><attribute><name>breed</name></attribute></attributes></label>
  <label><name>cat</name><type>bbox</type></label>
</labels></task></meta>"""


def xml(*images: str, meta: str = META) -> str:
    content = f"<version>1.1</version>{meta}{''.join(images)}"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{content}</annotations>'


def image(name: str, *shapes: str, more: str = "", width: int = 40, height: int = 30) -> str:
    return f'<image id="0" name="{name}" width="{width}" height="{height}" {more}>{"".join(shapes)}</image>'


def box(label: str, *corners: float, more: str = "") -> str:
    keys = ("xtl", "ytl", "xbr", "ybr")
    sides = " ".join(f'{key}="{value:.2f}"' for key, value in zip(keys, corners, strict=True))
    return f'<box label="{label}" source="manual" occluded="0" {sides} z_order="0" {more}></box>'


def polygon(label: str, *points: tuple[float, float]) -> str:
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return f'<polygon label="{label}" occluded="0" source="manual" points="{text}" z_order="0"></polygon>'


def mask_element(label: str, mask: np.ndarray) -> str:
    said = " ".join(f'{key}="{value}"' for key, value in cvat_mask(mask).items())
    return f'<mask label="{label}" source="semi-auto" occluded="0" {said} z_order="0"></mask>'


def load(root: Path, text: str, **options: object):
    (root / "annotations.xml").write_text(text, encoding="utf-8")
    return formats.load(Data(root=root, **options))


def kinds(dataset) -> list[tuple[str, str]]:
    return [(problem.kind, problem.action) for problem in dataset.problems]


def test_boxes_are_pixel_edges_and_classes_those_of_the_project(tmp_path: Path, make_photo) -> None:
    make_photo("images/a.jpg")
    make_photo("images/sub/größe 1.png")
    dataset = load(
        tmp_path,
        xml(
            image("a.jpg", box("cat", 0, 0, 40, 30), box("dog", 1.5, 2.25, 10, 20, more='outside="1"')),
            image("sub/größe 1.png"),
        ),
    )
    assert (dataset.format, dataset.classes, dataset.problems) == ("cvat", ("dog", "cat"), ())
    first, second = dataset.samples
    assert (first.id, second.id) == ("a", "sub/größe 1")
    assert first.boxes.tolist() == [[0, 0, 40, 30], [1.5, 2.25, 10, 20]]
    assert first.labels.tolist() == [2, 1]
    assert first.ground_truth is None
    assert second.boxes.shape == (0, 4)
    assert second.ground_truth is None


def test_a_rotated_box_becomes_the_upright_one_around_it(tmp_path: Path, make_photo) -> None:
    make_photo("images/a.jpg")
    turned = box("dog", 10, 10, 20, 14, more='rotation="90.00"')
    dataset = load(tmp_path, xml(image("a.jpg", turned, box("dog", 10, 10, 20, 14, more='rotation="30"'))))
    assert np.allclose(dataset.samples[0].boxes[0], [13, 7, 17, 17])
    # Width and height of a rectangle turned by t: w cos t + h sin t, w sin t + h cos t, about its centre.
    t = math.radians(30)
    width, height = 10 * math.cos(t) + 4 * math.sin(t), 10 * math.sin(t) + 4 * math.cos(t)
    expected = [15 - width / 2, 12 - height / 2, 15 + width / 2, 12 + height / 2]
    assert np.allclose(dataset.samples[0].boxes[1], expected)
    assert kinds(dataset) == [("rotated box", "kept, as the upright box around it")] * 2


@settings(max_examples=30)
@given(st.data())
def test_masks_are_ground_truth_pixel_by_pixel(tmp_path_factory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("cvat")
    from PIL import Image

    width, height = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    Image.new("RGB", (width, height)).save(root / "a.png")
    bits = data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height).filter(any))
    mask = np.array(bits).reshape(height, width)
    sample = load(root, xml(image("a.png", mask_element("cat", mask), width=width, height=height))).samples[0]
    assert np.array_equal(sample.ground_truth(), mask * 2)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert sample.boxes.tolist() == [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
    assert [instance.label for instance in sample.instances] == [2]


def test_an_outline_goes_with_its_box(tmp_path: Path, make_photo) -> None:
    for name in "abcd":
        make_photo(f"images/{name}.jpg")
    parts = (
        polygon("dog", (10, 5), (14, 5), (14, 20), (10, 20)),
        polygon("dog", (16, 5), (20, 5), (20, 20), (16, 20)),
    )
    alone = polygon("cat", (30, 10), (38, 10), (38, 28), (34, 28), (34, 20), (30, 20))
    dataset = load(
        tmp_path,
        xml(
            image("a.jpg", box("dog", 9, 4, 21, 21), *parts, alone),  # two parts of one dog, and a cat
            image("b.jpg", box("dog", 9, 4, 21, 21), box("dog", 30, 4, 40, 9), *parts),  # a dog without outline
            image("c.jpg", box("dog", 0, 0, 40, 30), *parts),  # fits none
            image("d.jpg"),
        ),
    )
    a, b, c, d = dataset.samples
    assert a.boxes.tolist() == [[9, 4, 21, 21], [30, 10, 38, 28]]
    expected = np.zeros((30, 40), np.uint8)
    expected[5:20, 10:14] = expected[5:20, 16:20] = 1
    expected[10:20, 30:38] = expected[20:28, 34:38] = 2
    assert np.array_equal(a.ground_truth(), expected)
    assert len(a.instances) == 2
    assert b.boxes.tolist() == [[9, 4, 21, 21], [30, 4, 40, 9]]
    assert b.ground_truth is None
    assert c.boxes.tolist() == [[0, 0, 40, 30], [10, 5, 14, 20], [16, 5, 20, 20]]
    assert c.ground_truth is None
    assert not d.ground_truth().any()
    assert kinds(dataset) == [("object without outline", "image kept without ground truth")] * 2


@pytest.mark.parametrize(
    ("shape", "kind", "place"),
    [
        (box("horse", 21, 5, 29, 9), "class unknown", [21, 5, 29, 9]),
        (box("", 21, 5, 29, 9), "class missing", [21, 5, 29, 9]),
        (polygon("dog", (21, 5), (29, 9)), "polygon of fewer than three points", [21, 5, 29, 9]),
        (
            '<mask label="dog" rle="1, 9" left="30" top="20" width="3" height="2"/>',
            "mask outside its image",
            [30, 20, 33, 22],
        ),
        (
            '<mask label="dog" rle="a" left="30" top="20" width="3" height="2"/>',
            "mask without left, top, width, height and rle",
            [30, 20, 33, 22],
        ),
        (
            '<ellipse label="dog" cx="25" cy="15" rx="4" ry="2"/>',
            "neither box, polygon nor mask",
            [21, 13, 29, 17],
        ),
        (
            '<ellipse label="dog" cx="25" cy="15" rx="4" ry="2" rotation="90"/>',
            "neither box, polygon nor mask",
            [23, 11, 27, 19],
        ),
        (
            '<cuboid label="dog" xtl1="21" ytl1="5" xbr1="25" ybr1="9" xtl2="23" ytl2="4" xbr2="29" ybr2="8"/>',
            "neither box, polygon nor mask",
            [21, 4, 29, 9],
        ),
        (
            '<skeleton label="dog"><points points="21,5"/><points label="2" points="29,9"/></skeleton>',
            "neither box, polygon nor mask",
            [21, 5, 29, 9],
        ),
    ],
)
def test_a_shape_that_cannot_be_read_is_no_background(tmp_path: Path, make_photo, shape, kind, place) -> None:
    make_photo("images/a.jpg")
    dataset = load(tmp_path, xml(image("a.jpg", box("dog", 1, 1, 9, 9), shape, '<tag label="dog"/>')))
    (sample,) = dataset.samples
    assert (sample.boxes.tolist(), sample.ground_truth) == ([[1, 1, 9, 9]], None)
    assert (kind, "dropped") in kinds(dataset)
    rows, columns = np.nonzero(sample.ignored())
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == place


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ('<box label="dog" xtl="1" ytl="x" xbr="3" ybr="4"/>', "box without four numbers"),
        ('<polygon label="dog" points="1,2;3"/>', "polygon without pairs of numbers"),
        ('<mask label="dog" rle="a"/>', "mask without left, top, width, height and rle"),
    ],
)
def test_a_shape_of_unknown_place_costs_the_photo(tmp_path: Path, make_photo, shape, kind) -> None:
    for name in "ab":
        make_photo(f"images/{name}.jpg")
    good = box("dog", 1, 1, 9, 9)
    dataset = load(tmp_path, xml(image("a.jpg", good, shape), image("b.jpg", good)))
    assert [sample.id for sample in dataset.samples] == ["b"]
    assert kinds(dataset) == [(kind, "skipped")]


def test_entries_of_one_photo_are_joined(tmp_path: Path, make_photo) -> None:
    make_photo("images/a.jpg")
    dataset = load(
        tmp_path, xml(image("a.jpg", box("dog", 1, 1, 9, 9)), image("a.jpg", box("cat", 2, 3, 4, 5)))
    )
    (sample,) = dataset.samples
    assert sample.boxes.tolist() == [[1, 1, 9, 9], [2, 3, 4, 5]]
    assert kinds(dataset) == [("several entries of one photo", "objects joined")]


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ('<box label="dog" xtl="1" ytl="x" xbr="3" ybr="4"/>', "box without four numbers"),
        ('<box label="horse" xtl="1" ytl="nan" xbr="3" ybr="4"/>', "class unknown"),
        ('<polygon label="dog" points="1,2;3"/>', "polygon without pairs of numbers"),
        ('<mask label="dog" rle="a"/>', "mask without left, top, width, height and rle"),
        ('<ellipse label="dog"/>', "neither box, polygon nor mask"),
    ],
)
def test_an_image_with_a_shape_that_may_be_anywhere_is_left_out(
    tmp_path: Path, make_photo, shape: str, what: str
) -> None:
    for name in "ab":
        make_photo(f"images/{name}.jpg")
    good = box("dog", 1, 1, 9, 9)
    dataset = load(tmp_path, xml(image("a.jpg", good, shape), image("b.jpg", good)))
    assert [sample.id for sample in dataset.samples] == ["b"]
    assert kinds(dataset) == [(what, "skipped")]


def test_names_that_lead_out_and_missing_photos(tmp_path: Path, make_photo) -> None:
    make_photo("images/a.jpg")
    names = ("../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "gone.jpg", "a.jpg")
    dataset = load(tmp_path, xml(*(image(name) for name in names)))
    assert [sample.id for sample in dataset.samples] == ["a"]
    # The photo is where the last name says, and so belongs to none of the others.
    assert kinds(dataset) == [("photo not found", "skipped")] * 4
    assert [problem.detail for problem in dataset.problems] == list(names[:4])


def test_subsets_of_a_project_are_splits(tmp_path: Path, make_photo) -> None:
    make_photo("images/Train/a.jpg")
    make_photo("images/Validation/b.jpg")
    text = xml(image("a.jpg", more='subset="Train"'), image("b.jpg", more='subset="Validation"'))
    assert [sample.id for sample in load(tmp_path, text).samples] == ["a"]
    assert [sample.id for sample in load(tmp_path, text, split="validation").samples] == ["b"]
    with pytest.raises(DataError, match=r"no image of split 'val' .*subsets: train, validation"):
        load(tmp_path, text, split="val")


def test_subsets_are_splits_where_the_file_is_named(tmp_path: Path, make_photo) -> None:
    for name in "abc":
        make_photo(f"images/{name}.jpg")
    text = xml(image("a.jpg", more='subset="Train"'), image("b.jpg", more='subset="Val"'), image("c.jpg"))
    (tmp_path / "annotations.xml").write_text(text)
    for data in (
        Data(root=tmp_path / "annotations.xml"),
        Data(root=tmp_path, annotations=Path("annotations.xml")),
    ):
        assert [sample.id for sample in formats.load(data).samples] == ["a"]
        assert [sample.id for sample in formats.load(data.with_split("val")).samples] == ["b"]
        # A file that names no such split is of the one that is asked for, as a file of COCO is.
        whole = formats.load(replace(data, split="all"))
        assert [sample.id for sample in whole.samples] == ["a", "b", "c"]


def test_files_of_splits_share_their_classes(tmp_path: Path, make_photo) -> None:
    for name in "ab":
        make_photo(f"images/{name}.jpg")
    (tmp_path / "train.xml").write_text(xml(image("a.jpg", box("cat", 1, 1, 9, 9)), meta=""))
    (tmp_path / "val.xml").write_text(xml(image("b.jpg", box("ant", 1, 1, 9, 9)), meta=""))
    for split, name, label in (("train", "a", 2), ("val", "b", 1)):
        dataset = formats.load(Data(root=tmp_path, split=split))
        assert (dataset.classes, dataset.samples[0].id) == (("ant", "cat"), name)
        assert dataset.samples[0].labels.tolist() == [label]
    chosen = formats.load(Data(root=tmp_path, annotations=Path("val.xml")))
    assert (chosen.format, chosen.samples[0].id) == ("cvat", "b")
    with pytest.raises(DataError, match=r"no file of split 'test' .*train\.xml, val\.xml.*test\.xml"):
        formats.load(Data(root=tmp_path, split="test"))


def test_a_file_of_no_split_is_for_training(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    with pytest.raises(DataError, match="no file of split 'val'"):
        load(tmp_path, xml(image("a.jpg")), split="val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><image", "is not valid XML"),
        ("<annotations><track id='0'/></annotations>", "holds tracks of a video.*CVAT for images 1.1"),
        ("<x><annotations/></x>", "format not recognised"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, text)


def test_photos_of_one_name_in_several_folders_need_a_word(tmp_path: Path, make_photo) -> None:
    make_photo("far/away/a.jpg")
    assert [sample.id for sample in load(tmp_path, xml(image("a.jpg"))).samples] == ["a"]
    make_photo("near/by/a.jpg")
    with pytest.raises(DataError, match=r"may be any of 2 photos .*data\.images"):
        load(tmp_path, xml(image("a.jpg")))
    assert len(load(tmp_path, xml(image("a.jpg")), images=Path("far/away"))) == 1
    with pytest.raises(DataError, match="no such image folder"):
        load(tmp_path, xml(image("a.jpg")), images=Path("nowhere"))


def test_a_group_joins_a_box_and_its_outlines(tmp_path: Path, make_photo) -> None:
    """Even where they fit another box better; a group of several boxes tells nothing."""
    make_photo("images/a.jpg")
    mask = np.zeros((30, 40), bool)
    mask[4:9, 5:11] = mask[9:12, 5:7] = True
    group, other = 'group_id="1"', 'group_id="2"'
    drawn = [
        box("dog", 0, 0, 40, 30, more=group),
        box("dog", 5, 4, 11, 12, more=other),
        mask_element("dog", mask).replace("z_order", f"{group} z_order"),
        mask_element("dog", np.roll(mask, 1, axis=1)).replace("z_order", f"{other} z_order"),
    ]
    (sample,) = load(tmp_path, xml(image("a.jpg", *drawn))).samples
    assert sample.boxes.tolist() == [[0, 0, 40, 30], [5, 4, 11, 12]]
    painted = [decode(instance.region).astype(bool) for instance in sample.instances]
    assert np.array_equal(painted, [mask, np.roll(mask, 1, axis=1)])
    together = [one.replace(other, group) for one in drawn]
    assert load(tmp_path, xml(image("a.jpg", *together))).samples[0].ground_truth is None
