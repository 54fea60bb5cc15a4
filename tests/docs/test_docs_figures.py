"""The scripts that draw the documentation's figures, and the figures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import crf_settings
import figures
import label_pieces
from boxseg.config import Classify, Crf, Model
from boxseg.data.toy import CLASSES
from boxseg.inference.networks import save_network, start_classifier
from documented import PAGES, ROOT


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the demo's classes, not trained."""
    folder = tmp_path_factory.mktemp("classifier")
    model = Model()
    network, _ = start_classifier(model, len(CLASSES), seed=0)
    save_network(folder / "model.safetensors", network, classes=CLASSES, model=model, options=Classify())
    return folder


def test_figures_are_drawn(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SCENES", figures.SCENES[:1])
    drawn = figures.draw_all(classifier, tmp_path)
    assert {path.name for path in drawn} == {path.name for path in figures.FIGURES.glob("*.png")}
    for path in drawn:
        with Image.open(path) as figure, Image.open(figures.FIGURES / path.name) as committed:
            assert figure.width == committed.width


def test_committed_figures_are_small_and_shown() -> None:
    files = list(figures.FIGURES.glob("*.png"))
    assert sum(path.stat().st_size for path in files) < 200_000
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert all(f"figures/{path.name}" in pages for path in files)


def test_a_drawn_photo_is_that_of_the_demo_set(classifier: Path, tmp_path: Path) -> None:
    from boxseg.data.toy import write_toy
    from boxseg.inference.networks import load_classifier

    write_toy(tmp_path, train=1, val=1)
    network = load_classifier(classifier, torch.device("cpu")).network
    photo = figures.label_scene(network, (0, 1, 0), Crf(iterations=1))
    truth = np.asarray(Image.open(tmp_path / "SegmentationClass" / "val_0000.png"))
    np.testing.assert_array_equal(photo.truth, truth)
    outside = photo.boxes.outside.numpy()
    assert (photo.u_0[outside] == 1).all()
    assert (photo.y_crf[outside] == 0).all()


def test_settings_of_the_crf_are_compared(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        crf_settings, "SETTINGS", {name: crf_settings.SETTINGS[name] for name in ("no CRF", "iterations=5")}
    )
    rows = list(crf_settings.compare(classifier, photos=1))
    assert [name for name, *_ in rows] == ["no CRF", "iterations=5"]
    assert all(0 <= miou <= 1 and 0 <= lost <= boxes for _, miou, lost, boxes in rows)
    documented = (ROOT / "docs" / "crf.md").read_text(encoding="utf-8")
    shipped = crf_settings.SETTINGS
    assert all(f"| {name} |" in documented for name in shipped)


def test_the_pieces_of_labels_are_those_of_the_labels(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from boxseg import formats
    from boxseg.config import Data
    from boxseg.data.toy import write_toy
    from boxseg.inference.networks import load_classifier
    from boxseg.jobs import LabelJob
    from boxseg.stages import label

    data = Data(root=tmp_path / "data", split="val")
    write_toy(data.root, train=1, val=1)
    label.run(LabelJob(checkpoint=classifier, data=data, out=tmp_path / "labels"))
    [sample] = formats.load(data).samples
    assert sample.ground_truth
    truth, y_crf = sample.ground_truth(), np.asarray(Image.open(tmp_path / "labels/y_crf" / f"{sample.id}.png"))
    boxed = np.zeros(truth.shape, bool)
    for x1, y1, x2, y2 in sample.boxes.round().astype(int):
        boxed[y1:y2, x1:x2] = True
    found = label_pieces.pieces(load_classifier(classifier, torch.device("cpu")), formats.load(data))
    for name, where in (("object", boxed & (truth > 0)), ("background in a box", boxed & (truth == 0))):
        assert found[name].after == pytest.approx((y_crf[where] == 0).mean(), abs=0.01)
        assert 0 <= found[name].confident <= 1
        assert 0 <= found[name].before <= 1
        assert 0 <= found[name].attention <= 1
    label_pieces.main([str(classifier), str(data.root), "1"])
    assert [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()] == list(found)
