"""`boxseg run` as it is by default: the mask network is trained on the boxes and makes the labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.end_to_end.conftest import Command

import boxseg as package
from boxseg.cli import execute
from boxseg.nn import checkpoint


@pytest.fixture(scope="module")
def run_folder(toy: Path, miniature: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert execute(["run", *miniature, f"data={toy}", f"out={out}"]) == 0
    return out


def test_the_mask_network_is_trained_then_labels_then_a_segmentation_network(run_folder: Path) -> None:
    stages = sorted(path.parent.name for path in run_folder.glob("*/config.yaml"))
    assert stages == ["adapt", "label", "segment"]
    assert checkpoint.read_meta(run_folder / "adapt" / "model.safetensors")["kind"] == "mask-network"
    recorded = yaml.safe_load((run_folder / "label" / "config.yaml").read_text())
    assert Path(recorded["checkpoint"]) == run_folder / "adapt" / "model.safetensors"
    assert Path(yaml.safe_load((run_folder / "segment" / "config.yaml").read_text())["labels"]) == (
        run_folder / "label"
    )
    scores = json.loads((run_folder / "metrics.json").read_text())
    assert scores["labels"]["labels"]["miou"] > scores["labels"]["whole_box"]["miou"]
    assert (run_folder / "report.html").stat().st_size > 10_000
    masks = json.loads((run_folder / "label" / "masks.json").read_text())
    assert {item["source"] for item in masks["annotations"]} <= {"network", "fallback"}


def test_again_it_does_nothing(
    toy: Path, miniature: tuple[str, ...], run_folder: Path, boxseg: Command
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*.safetensors")}
    printed = boxseg("run", *miniature, f"data={toy}", f"out={run_folder}").stdout
    assert "0 written, 10 there already" in printed
    assert f"Mask network: {run_folder}/adapt/model.safetensors" in printed
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("word", ["adapt=false", "method=ellipse"])
def test_without_training_before_the_labels(
    word: str, toy: Path, miniature: tuple[str, ...], tmp_path: Path, boxseg: Command
) -> None:
    printed = boxseg("run", *miniature, word, f"data={toy}", f"out={tmp_path}/o").stdout
    assert sorted(path.parent.name for path in (tmp_path / "o").glob("*/config.yaml")) == ["label", "segment"]
    assert "10 written" in printed
    assert "Mask network:" not in printed


def test_a_training_that_is_turned_off_is_no_verb(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(package.ConfigError, match="adapt=false is for `boxseg run`"):
        package.adapt(data=toy, out=tmp_path / "o", adapt=False)


def test_labels_of_a_classifier_teach_the_mask_network(
    toy: Path, miniature: tuple[str, ...], tmp_path: Path, boxseg: Command
) -> None:
    """They change what is learned; a folder without labels is an error."""
    classify = [word for word in miniature if word.startswith(("classify", "trainer"))]
    adapt = [word for word in miniature if word.startswith(("adapt", "trainer"))]
    boxseg("classify", *classify, f"data={toy}", f"out={tmp_path}/c")
    boxseg("label", "crf=false", f"checkpoint={tmp_path}/c", f"data={toy}", f"out={tmp_path}/bap")
    boxseg("adapt", *adapt, f"data={toy}", f"out={tmp_path}/alone")
    boxseg("adapt", *adapt, f"data={toy}", f"labels={tmp_path}/bap", f"out={tmp_path}/both")
    boxseg("adapt", *adapt, f"data={toy}", "labels=ground-truth", f"out={tmp_path}/true")
    one, two, three = (
        checkpoint.load(tmp_path / name / "model.safetensors", "mask-network")[1]
        for name in ("alone", "both", "true")
    )
    for first, second in ((one, two), (one, three), (two, three)):
        assert any(not first[name].equal(second[name]) for name in first)
    refused = boxseg("adapt", f"data={toy}", f"labels={toy}", f"out={tmp_path}/no", check=False)
    assert refused.returncode == 2
    assert f"labels={toy}: no image of split train in {toy} has labels" in refused.stderr
