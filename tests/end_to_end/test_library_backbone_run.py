"""A run on a model of transformers: every verb, none of which needs the model's folder after the training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from boxseg.cli import execute
from boxseg.inference.export_formats import FORMATS

transformers = pytest.importorskip("transformers")


def test_every_verb_works_with_a_frozen_dino(
    toy: Path,
    miniature: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = tmp_path / "dino"
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56
    )
    transformers.Dinov2Backbone(config).save_pretrained(model)
    capsys.readouterr()
    run = tmp_path / "run"
    words = [f"backbone=hf:{model}", "freeze=true", f"data={toy}", "data.limit=4", f"out={run}"]
    assert execute(["run", *miniature, "label.method=bap", *words]) == 0
    assert "ImageNet's are taken" in capsys.readouterr().err
    assert (run / "report.html").is_file()
    model.rename(tmp_path / "gone")

    again = ["label", f"checkpoint={run}", f"data={toy}", "data.limit=2", "label.crf.iterations=2"]
    assert execute([*again, f"out={tmp_path}/l", "trainer.workers=0"]) == 0
    for file in (tmp_path / "l" / "y_crf").iterdir():
        assert (run / "label" / "y_crf" / file.name).read_bytes() == file.read_bytes()
    predict = ["predict", f"images={toy}/JPEGImages/val_*", "tta=false", "crf=false", "trainer.workers=0"]
    assert execute([*predict, f"checkpoint={run}", f"out={tmp_path}/p"]) == 0
    assert execute(["export", f"checkpoint={run}", f"out={tmp_path}/n.safetensors"]) == 0
    assert execute([*predict, f"checkpoint={tmp_path}/n.safetensors", f"out={tmp_path}/q"]) == 0
    for file in (tmp_path / "p" / "labels").iterdir():
        assert (tmp_path / "q" / "labels" / file.name).read_bytes() == file.read_bytes()

    def refuse(*_: object) -> None:
        raise RuntimeError("data-dependent\nsize")

    refusing = dataclasses.replace(FORMATS["torch-export"], write=refuse)
    monkeypatch.setitem(FORMATS, "torch-export", refusing)
    capsys.readouterr()
    assert execute(["export", f"checkpoint={run}", f"out={tmp_path}/n.pt2"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "data-dependent size" in line
    assert "format=safetensors" in line
    assert not (tmp_path / "n.pt2").exists()
