"""A classifier's classes and those of the data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from boxseg.dataset import VOC_CLASSES
from boxseg.errors import CheckpointError, ConfigError
from boxseg.labelling.class_map import (
    SHIPPED,
    label_map,
    map_file,
    match_classes,
    read_class_map,
    select_weights,
)

CLASSIFIER = ("sofa", "person", "tvmonitor")
HERE = Path("model.safetensors")


def match(option: object, *data: str) -> tuple[str | None, ...]:
    return match_classes(option, CLASSIFIER, data, HERE)  # type: ignore[arg-type]


def test_the_shipped_map_joins_every_voc_class_to_one_coco_class(shared_data: Path) -> None:
    mapping = read_class_map("voc_to_coco")
    assert sorted(mapping.values()) == sorted(VOC_CLASSES)
    annotations = shared_data / "coco" / "annotations" / "instances_train2017.json"
    names = {category["name"] for category in json.loads(annotations.read_text())["categories"]}
    assert set(mapping) <= names
    renamed = {ours: theirs for ours, theirs in mapping.items() if ours != theirs}
    assert renamed == {
        "airplane": "aeroplane", "motorcycle": "motorbike", "dining table": "diningtable",
        "potted plant": "pottedplant", "couch": "sofa", "tv": "tvmonitor",
    }  # fmt: skip


def test_without_a_map_classes_go_by_name_in_any_order() -> None:
    assert match(None, "person", "sofa") == ("person", "sofa")
    with pytest.raises(CheckpointError, match=r"missing: couch, zebra\).*voc_to_coco.*class_map=names"):
        match(None, "couch", "person", "zebra")


def test_what_a_map_does_not_name_goes_by_name_and_the_rest_has_none() -> None:
    assert match("names", "couch", "person") == (None, "person")
    assert match("voc_to_coco", "person", "couch", "zebra", "tv") == ("person", "sofa", None, "tvmonitor")
    assert match({"couch": "sofa"}, "couch", "person", "tv") == ("sofa", "person", None)
    assert match({"settee": "sofa", "couch": "sofa"}, "couch", "settee") == ("sofa", "sofa")
    assert match({}, "zebra") == (None,)


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_a_file_is_a_mapping(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "map"
    file.write_text(write({"couch": "sofa"}))
    assert match(str(file), "couch") == ("sofa",)
    assert map_file(str(file)) == file
    assert map_file("voc_to_coco") == SHIPPED / "voc_to_coco.yaml"
    assert map_file("names") is map_file({"couch": "sofa"}) is map_file(None) is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("voc2coco", "label.class_map=voc2coco: no such class map, did you mean 'voc_to_coco'"),
        ({"cuoch": "sofa"}, "the data has no class 'cuoch', did you mean 'couch'"),
        ({"couch": "soda"}, "knows no class 'soda', did you mean 'sofa'"),
        ({"couch": 3}, "must hold `class of the data: class of the classifier`"),
    ],
)
def test_maps_that_cannot_be_used(option: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        match(option, "couch")


@pytest.mark.parametrize("text", ["a: [", "- couch\n", "3\n", "couch: {a: b}\n"])
def test_files_that_are_no_map(text: str, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"class.map"):
        match(str(file), "couch")


def test_weights_are_those_of_the_matching_class() -> None:
    weight = torch.arange(8.0).reshape(4, 2)
    chosen = select_weights(weight, CLASSIFIER, ("person", None, "sofa", "person"))
    assert chosen.weight.tolist() == [[0, 1], [4, 5], [0, 0], [2, 3], [4, 5]]
    assert chosen.known.tolist() == [True, True, False, True, True]


def test_the_label_map_states_what_values_stand_for() -> None:
    assert label_map(("couch", "zebra"), ("sofa", None), (63, 24)) == [
        {"value": 0, "name": "background"},
        {"value": 1, "name": "couch", "category_id": 63, "classifier_class": "sofa"},
        {"value": 2, "name": "zebra", "category_id": 24, "classifier_class": None},
    ]
    assert "category_id" not in label_map(("couch",), ("sofa",), ())[1]
