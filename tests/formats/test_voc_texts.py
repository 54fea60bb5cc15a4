"""The XML of VOC annotations as tools write it: encodings, words, classes found without a parse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from boxseg.dataset import VOC_CLASSES
from boxseg.formats.voc_xml import class_names
from voc_files import kinds, load, person, xml


@pytest.fixture
def add(add_voc):
    return add_voc


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("<a><object><name> dog </name></object></a>", VOC_CLASSES),
        ("<a><object><name>head</name></object></a>", ("head",)),
        ("<a><object><name><![CDATA[ant]]></name></object></a>", ("ant",)),
        ("<a><object><name>a&amp;b</name></object></a>", ("a&b",)),
        ("<a><!-- <name>ant</name> --><object><name>dog</name></object></a>", VOC_CLASSES),
        ("<a><owner><name>Bob</name></owner><object><name>dog</name></object></a>", VOC_CLASSES),
        ("<a><object><part><name>head</name></part><name>dog</name></object></a>", VOC_CLASSES),
        ("<a><object><name x='1'>ant</name></object></a>", ("ant",)),
        ("<a><object><name>dog</name>", VOC_CLASSES),
        ("\ufeff<a><object><name>ant</name></object></a>", ("ant",)),
        ("", VOC_CLASSES),
    ],
)
def test_names_found_by_search_are_those_of_a_parse(tmp_path: Path, content: str, names) -> None:
    (tmp_path / "a.xml").write_bytes(content.encode())
    assert class_names([tmp_path / "a.xml"], tmp_path, VOC_CLASSES)[0] == names
    if not content.startswith("\ufeff"):
        (tmp_path / "a.xml").write_bytes(content.encode("utf-16"))
        assert class_names([tmp_path / "a.xml"], tmp_path, VOC_CLASSES)[0] == names


@pytest.mark.parametrize(
    ("text", "difficult"),
    [
        ("1", True),
        ("True", True),
        ("yes", True),
        ("0", False),
        ("False", False),
        ("Unspecified", False),
        ("", False),
    ],
)
def test_words_for_difficult(tmp_path: Path, add, text: str, difficult: bool) -> None:
    add("a", xml(person(more=f"<difficult> {text} </difficult>")))
    assert load(tmp_path).samples[0].difficult.tolist() == [difficult]


def test_rotated_boxes_become_the_upright_ones_around_them(tmp_path: Path, add) -> None:
    """As roLabelImg writes them, the angle in radians; or by four corners, numbered from 0 or 1."""
    robndbox = "<robndbox><cx>20</cx><cy>15</cy><w>10</w><h>4</h><angle>{}</angle></robndbox>"
    corners = "<bndbox>{}</bndbox>".format(
        "".join(
            f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, x, y in ((0, 10, 5), (1, 20, 8), (2, 18, 20), (3, 8, 17))
        )
    )
    drawn = (robndbox.format(0), robndbox.format(math.pi / 2), robndbox.format(0.3), corners)
    add("a", xml(*(f"<object><name>dog</name>{shape}</object>" for shape in drawn)))
    dataset = load(tmp_path)
    (sample,) = dataset.samples
    width, height = 10 * math.cos(0.3) + 4 * math.sin(0.3), 10 * math.sin(0.3) + 4 * math.cos(0.3)
    around = [20 - width / 2, 15 - height / 2, 20 + width / 2, 15 + height / 2]
    assert np.allclose(sample.boxes, [[15, 13, 25, 17], [18, 10, 22, 20], around, [8, 5, 20, 20]])
    assert sample.ground_truth is None
    assert kinds(dataset) == [("a.xml", "rotated box", "kept, as the upright box around it")] * 4
    add("b", xml("<object><name>dog</name><robndbox><cx>20</cx></robndbox></object>"))
    assert kinds(load(tmp_path))[-1] == ("b.xml", "box without four numbers", "skipped")


@pytest.mark.parametrize(
    ("encoding", "declared", "guessed"),
    [
        ("utf-8", "utf-8", False),
        ("utf-8-sig", "utf-8", False),
        ("utf-16", "utf-16", False),
        ("utf-8", "utf-16", False),  # as .NET writes it
        ("gbk", "GBK", False),
        ("gb18030", "gb2312", False),
        ("gbk", "", True),
        ("gbk", "utf-8", True),
        ("gbk", "unknown", True),
    ],
)
def test_encodings(tmp_path: Path, add, encoding: str, declared: str, guessed: bool) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = declaration + xml("<folder>目录</folder>", person(3, 4, 10, 20).replace("person", "狗"))
    add("a", text.encode(encoding))
    dataset = load(tmp_path)
    assert dataset.classes == ("狗",)
    assert dataset.samples[0].boxes.tolist() == [[2, 3, 10, 20]]
    assert [problem.kind for problem in dataset.problems] == ["text of no stated encoding"] * guessed


def test_western_text_of_no_stated_encoding(tmp_path: Path, add) -> None:
    add("a", xml(person().replace("person", "Käse")).encode("cp1252"))
    assert load(tmp_path).classes == ("Käse",)


def test_blanks_before_the_declaration_and_other_cases_of_the_root(tmp_path: Path, add) -> None:
    add("a", "\n <?xml version='1.0'?>" + xml(person()))
    add("b", xml(person()).replace("annotation>", "Annotation>"))
    add("c", xml(person()).replace("<annotation>", '<annotation verified="yes" xmlns="urn:x">'))
    add(
        "d",
        "<?xml version='1.0'?><!-- made by hand -->"
        + xml(person()).replace("object>", "Object>").replace("<a", "<A", 1).replace("</a", "</A"),
    )
    dataset = load(tmp_path)
    assert [sample.boxes.tolist() for sample in dataset.samples] == [[[0, 0, 10, 10]]] * 4
    assert (dataset.classes, dataset.problems) == (VOC_CLASSES, ())
