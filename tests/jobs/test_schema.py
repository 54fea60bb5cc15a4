"""The JSON schema for editors: it takes what boxseg takes, and refuses what boxseg refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from boxseg import cli
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options import RECIPES, build_job, options_of, parse_words, to_yaml

jsonschema = pytest.importorskip("jsonschema", reason="what the schema is checked with")


@pytest.fixture(scope="module")
def validator() -> Any:
    from boxseg.options.schema import schema

    jsonschema.Draft7Validator.check_schema(schema())
    return jsonschema.Draft7Validator(schema())


def faults(validator: Any, content: Any) -> list[str]:
    return [error.message for error in validator.iter_errors(content)]


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_valid(recipe: Path, validator: Any) -> None:
    assert faults(validator, yaml.safe_load(recipe.read_text(encoding="utf-8"))) == []


NEEDED = {"data.root": "photos", "dataset": "voc", "table": "losses", "format": "coco", "images": "photos"}


@pytest.mark.parametrize("verb", JOBS)
def test_the_options_of_a_run_are_valid(verb: str, validator: Any) -> None:
    """As `--print-config` and config.yaml have them."""
    required = [
        key for key, option in options_of(JOBS[verb]).items() if option.required and not option.left_out
    ]
    job = build_job(verb, {key: NEEDED.get(key, "x") for key in required})
    assert faults(validator, yaml.safe_load(to_yaml(job))) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("label: {metod: box}", "'metod' was unexpected"),
        ("label: {grid: many}", "'many' is not of type 'integer'"),
        ("label: {background: blue}", "'blue' is not one of ['attention',"),
        ("label: {formats: [coco, xls]}", "'xls' is not one of ['palette',"),
        ("segmnt: {loss: nal}", "'segmnt'"),
        ("adapt: 3", "3 is not valid"),
        ("segment: {augment: {scale: [0.5]}}", "[0.5] is too short"),
        ("label: {crf: {iterations: 3, on: true}}", "is not valid"),
    ],
)
def test_what_boxseg_refuses_is_invalid(content: str, told: str, validator: Any, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(content)
    with pytest.raises(ConfigError):
        build_job("run", parse_words(["data=photos", "out=x", "-c", str(tmp_path / "wrong.yaml")], "run"))
    assert any(told in fault for fault in faults(validator, yaml.safe_load(content)))


@pytest.mark.parametrize(
    "content",
    [
        "adapt: false",
        "label.method: box",
        "label: {crf: false, method: of_a_plugin, class_map: {cat: dog}}",
        "label: {class_map: names}",
        "data: {classes: [cat], merge: {truck: car}, limit: null}",
        "trainer: {loggers: [csv, wandb], devices: auto}",
        "labels: [a, b]",
    ],
)
def test_what_boxseg_takes_is_valid(content: str, validator: Any) -> None:
    assert faults(validator, yaml.safe_load(content)) == []


def test_editors_show_what_an_option_does_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["schema"]) == 0
    found = json.loads(capsys.readouterr().out)["properties"]
    grid = found["label"]["properties"]["grid"]
    assert grid["description"] == options_of(JOBS["label"])["label.grid"].text
    assert (grid["type"], grid["default"]) == ("integer", 1)
    assert found["label"]["description"] == "The labels (stage 2)."
    assert "label: Mask network made by" in found["checkpoint"]["description"]
    assert cli.execute(["schema", "label"]) == 2
    assert "one schema serves all verbs" in capsys.readouterr().err
