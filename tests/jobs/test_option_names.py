"""One name of an option means one thing in every verb; earlier names are told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_origin

import pytest

import boxseg
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options import parse_words
from boxseg.options.keys import kinds_in, options_of


def test_labels_are_a_place_in_every_verb() -> None:
    for verb, job in JOBS.items():
        option = options_of(job).get("labels")
        if option is not None:
            kinds = kinds_in(option.kind)
            assert Path in kinds or str in kinds, verb
            assert not any(get_origin(kind) is Literal for kind in kinds), verb


def test_an_option_with_another_name_now_is_told(tmp_path: Path) -> None:
    """`labels` once chose among the labels of a folder in convert, and names the folder elsewhere."""
    told = "is now called which=…"
    file = tmp_path / "options.yaml"
    file.write_text("labels: y_crf\n")
    with pytest.raises(ConfigError, match=told):
        parse_words(["a", "b", "format=coco", "labels=y_crf"], "convert")
    with pytest.raises(ConfigError, match=told):
        boxseg.convert(source="a", out="b", format="coco", labels="y_crf")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=told):
        parse_words(["a", "b", "format=coco", "-c", str(file)], "convert")
    file.write_text("labels: runs/label\n")  # of segment
    assert "labels" not in parse_words(["a", "b", "format=coco", "-c", str(file)], "convert")


def test_the_demo_says_what_its_number_of_photos_is_called() -> None:
    with pytest.raises(
        ConfigError, match="images=… of this verb is now called count=…; images= says where photos"
    ):
        parse_words(["images=4"], "demo")
