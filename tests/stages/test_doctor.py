"""`doctor`: what it says for people and for programs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import boxseg
from boxseg.cli import execute
from boxseg.options import build_job, parse_words

STAR = [[30, 10, 50, 40, 30, 70, 10, 40]]  # its bounds are 10 10 50 70


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A COCO set: a loose box of a cat, a small dog, a broken box, a photo that is not there."""
    root = tmp_path / "my data"
    (root / "train").mkdir(parents=True)
    Image.new("RGB", (100, 80), (9, 99, 199)).save(root / "train" / "a.png")
    Image.new("RGB", (100, 80), (9, 99, 199)).save(root / "train" / "b.png")
    images = [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("abc", start=1)]
    boxes = [(1, 1, [5, 5, 50, 70], STAR), (1, 2, [60, 60, 10, 10], []), (2, 2, [5, 5, 0, 3], [])]
    annotations: list[dict[str, Any]] = [
        {"id": n, "image_id": image, "category_id": category, "bbox": box, "segmentation": outline}
        for n, (image, category, box, outline) in enumerate(boxes, start=1)
    ]
    annotations[1]["segmentation"] = [[60, 65, 65, 60, 70, 65, 65, 70]]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(content))
    return root


def test_json_is_all_that_is_on_the_standard_output(data: Path, capsys) -> None:
    assert execute(["doctor", str(data), "format=json"]) == 1  # there are problems
    content = json.loads(capsys.readouterr().out)
    assert content == boxseg.doctor(data=data).to_dict()
    assert {key: content[key] for key in ("root", "format", "split", "annotations")} == {
        "root": str(data),
        "format": "coco",
        "split": "train",
        "annotations": str(data / "train.json"),
    }
    assert (content["images"], content["boxes"], content["images_without_a_box"]) == (2, 2, 1)
    assert content["classes"] == [
        {"id": 1, "name": "cat", "images": 1, "boxes": 1, "small": 0},
        {"id": 2, "name": "dog", "images": 1, "boxes": 1, "small": 1},
    ]
    assert content["own_classes"] is None
    assert content["sizes"]["small"] == content["sizes"]["medium"] == {"images": 1, "boxes": 1}
    assert content["tightness"]["objects"] == 2
    kinds = {problem["kind"]: problem["action"] for problem in content["problems"]}
    assert kinds["photo not found"] == "skipped"
    assert kinds["box is empty or inverted"] == "dropped"


def test_the_form_of_the_output_is_not_the_format_of_the_data(data: Path, capsys) -> None:
    assert execute(["doctor", str(data), "data.format=coco", "format=json"]) == 1
    assert json.loads(capsys.readouterr().out)["decisions"][0] == {
        "about": "format",
        "decided": "coco",
        "why": "stated by data.format",
    }
    assert execute(["doctor", str(data), "format=coco"]) == 2
    assert "data.format" in capsys.readouterr().err


def test_tables_and_decisions(data: Path, capsys) -> None:
    assert execute(["doctor", f"data={data}", "data.classes=[dog]"]) == 1
    text = capsys.readouterr().out
    for title in ("Decisions", "Classes", "Sizes, by the areas of boxes", "Problems", "Next:"):
        assert title in text
    decided = {
        each.about: each for each in boxseg.doctor(data={"root": data, "classes": ["dog"]}).dataset.decisions
    }
    assert decided["class list"].decided == "2: cat, dog"
    assert decided["class list"].why == "the categories of train.json, by ascending id"
    assert decided["chosen classes"].decided == "dog, in this order"
    assert decided["other classes"].decided == "background"
    assert decided["other classes"].why == "data.classes leaves out 1 of 2 classes, and 1 of 2 boxes"
    assert decided["ground truth"].decided == "for 1 of 2 images"
    assert decided["images without a box"].decided == "1 kept, as background"


def test_what_became_of_the_data_sets_own_classes(data: Path) -> None:
    options = {"root": data, "classes": ["pet"], "merge": {"dog": "pet"}}
    assert boxseg.doctor(data=options).to_dict()["own_classes"] == [
        {"name": "cat", "id": None, "boxes": 1},
        {"name": "dog", "id": 1, "boxes": 1},
    ]


def test_the_next_commands_can_be_given(data: Path, tmp_path: Path, monkeypatch) -> None:
    """Boxes are loose here, so one of them writes tight boxes."""
    content = json.loads((data / "train.json").read_text())
    content["annotations"] = content["annotations"][:1]
    (data / "train.json").write_text(json.dumps(content))
    result = boxseg.doctor(data={"root": data, "merge": {"cat": "pet"}})
    assert "25 % wider and 17 % higher than the objects (measured on 1 object)" in "\n".join(result.notes())
    commands = [shlex.split(step.command) for step in result.next]
    assert [words[:2] for words in commands] == [["boxseg", verb] for verb in ("label", "run", "convert")]
    for _, verb, *words in commands:
        assert build_job(verb, parse_words(words, verb)).data.merge == {"cat": "pet"}
    monkeypatch.chdir(tmp_path)
    assert execute(commands[2][1:]) == 0
    (box,) = boxseg.doctor(data=tmp_path / "tight").dataset.samples[0].boxes.tolist()
    assert box == pytest.approx([10, 10, 50, 70], abs=1)


def test_the_repr_is_short(data: Path) -> None:
    result = boxseg.doctor(data=data)
    assert len(repr(result)) < 700
    assert len(repr(result.dataset)) < 300
    assert repr(result.dataset).endswith(
        f"split 'train': 2 classes, 2 samples, {len(result.problems)} problems)"
    )


def test_how_each_format_says_where_its_classes_are_from(tmp_path: Path) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    Image.new("RGB", (100, 80)).save(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: images/train\n")
    decided = {each.about: each for each in boxseg.doctor(data=tmp_path).dataset.decisions}
    assert decided["format"].why == "by its description, data.yaml or the like"
    assert decided["class list"].why == "the names in data.yaml"
    assert decided["ground truth"].decided == "none"
