"""Corrections after every method: also with Y_ret, in windows of large photos, and without OpenCV."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import boxseg
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.data.box_masks import ellipse_mask, object_windows
from boxseg.dataset import IGNORE, BoxDataset, Correction, Sample
from boxseg.formats.coco_results import decode_window
from boxseg.formats.masks import read_mask
from boxseg.labelling import finishing, from_network
from boxseg.labelling import method as label_method
from correction_files import save_corrections
from label_results import label_path, map_paths, pair_paths, piece_path

CLASSIFY = ("classify.iterations=1", "classify.batch=2", "crop=33", "model.weights=none", "workers=0")
FEW = ("crf.iterations=1", "scores=false", "workers=0")


@pytest.fixture(scope="module")
def dataset(root: Path) -> BoxDataset:
    return formats.load(Data(root=root))


@pytest.fixture(scope="module")
def photo(dataset: BoxDataset) -> Sample:
    """One with several boxes."""
    return max(dataset.samples, key=lambda sample: len(sample.labels))


@pytest.fixture(scope="module")
def said(dataset: BoxDataset, photo: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first box by the ellipse, the second left out, of a third the mask redrawn."""
    assert len(photo.labels) >= 2
    dos: tuple[Correction, ...] = ("ellipse", "leave-out", "redraw")
    corrections = dict(enumerate(dos[: len(photo.labels)]))
    folder = tmp_path_factory.mktemp("said")
    return save_corrections(folder / "corrections.json", dataset, {photo.id: corrections})


@pytest.mark.parametrize("method", ["network", "box", "grabcut", "sam", "bap"])
def test_after_every_method(
    method: str, root: Path, photo: Sample, said: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = [f"data={root}", f"out={tmp_path}/l", f"method={method}", "instances=true", *FEW]
    if method == "grabcut":
        pytest.importorskip("cv2")
    if method == "sam":
        words.append(f"sam={request.getfixturevalue('sam_folder')}")
    if method == "bap":
        assert execute(["classify", *CLASSIFY, f"data={root}", f"out={tmp_path}/c"]) == 0
        words.append(f"checkpoint={tmp_path}/c")
    assert execute(["label", *words, f"corrections={said}"]) == 0
    check(tmp_path / "l", photo, pair=method == "bap")
    # Other photos are what they are without corrections, and so is this one, taken back.
    assert (
        execute(["label", *(f"out={tmp_path}/p" if word.startswith("out=") else word for word in words)]) == 0
    )
    assert execute(["label", *words]) == 0
    plain, back = (
        {path.relative_to(f): path.read_bytes() for path in f.glob("*/*.png")} for f in folders(tmp_path)
    )
    assert plain == back
    assert (tmp_path / "p" / "masks.json").read_bytes() == (tmp_path / "l" / "masks.json").read_bytes()


def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "p", tmp_path / "l"


def check(out: Path, photo: Sample, pair: bool) -> None:
    files = pair_paths(out, photo) if pair else ()
    labels = [read_mask(path) for path in (label_path(out, photo), *files)]
    sure, reliable = (read_mask(path) for path in map_paths(out, photo))
    windows = object_windows(photo.boxes, photo.height, photo.width)
    pieces = json.loads(piece_path(out, photo).read_text())
    above, unknown = (np.zeros((photo.height, photo.width), bool) for _ in range(2))
    for window, piece in zip(windows[1:], pieces[1:], strict=True):
        mask, left, top = decode_window(piece["segmentation"])
        above[top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
        if piece.get("corrected"):
            unknown[window[1] : window[3], window[0] : window[2]] = True
    ellipse = np.zeros_like(above)
    left, top, right, bottom = windows[0]
    ellipse[top:bottom, left:right] = ellipse_mask(photo.boxes[0], windows[0])
    chosen = ellipse & ~above & ~unknown
    assert chosen.any()
    for own in labels:
        assert (own[chosen] == photo.labels[0]).all()
        alone = unknown & ~ellipse & ~above
        assert (own[alone] == IGNORE).all()
        np.testing.assert_array_equal(own == IGNORE, labels[0] == IGNORE)
    assert (sure[chosen] == 255).all()
    assert (reliable[chosen] == 255).all()
    assert not reliable[labels[0] == IGNORE].any()
    assert pieces[0]["source"] == "ellipse"
    assert (pieces[1]["source"], pieces[1]["score"]) == ("left-out", 1)


def test_results_of_a_classifier_leave_out_what_is_no_label(root: Path, photo: Sample, tmp_path: Path) -> None:
    """Masks of boxes in Y_crf and Y_ret: none for a box that corrections took out of the labels."""
    dataset = formats.load(Data(root=root))
    assert execute(["classify", *CLASSIFY, f"data={root}", f"out={tmp_path}/c"]) == 0
    words = [f"data={root}", f"checkpoint={tmp_path}/c", "instances=true", *FEW]
    every: dict[int, Correction] = dict.fromkeys(range(len(photo.labels)), "redraw")
    file = save_corrections(tmp_path / "c.json", dataset, {photo.id: every})
    assert execute(["label", *words, f"out={tmp_path}/l", f"corrections={file}"]) == 0
    for name in ("instances_y_crf.json", "instances_y_ret.json"):
        found = json.loads((tmp_path / "l" / name).read_text())
        assert found
        assert photo.id not in {entry["image_id"] for entry in found}
    boxes = sum(len(sample.labels) for sample in dataset.samples)
    assert len(json.loads((tmp_path / "l" / "masks.json").read_text())["annotations"]) == boxes


def test_large_photos_are_corrected_after_their_windows(
    root: Path, said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"data": root, "crf": False, "scores": False, "corrections": said, "workers": 0}
    boxseg.label(out=tmp_path / "whole", **words)
    for module in (finishing, from_network, label_method):
        monkeypatch.setattr(module, "LARGE", 1_000)
    monkeypatch.setattr(finishing, "SIDE", 32)
    boxseg.label(out=tmp_path / "parts", **words)
    whole, parts = (
        {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*.*")}
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert len(whole) == 4 * 4
    assert whole == parts


def test_grabcut_without_opencv_is_refused_before_anything_is_written(
    root: Path,
    dataset: BoxDataset,
    photo: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    file = save_corrections(tmp_path / "c.json", dataset, {photo.id: {0: "grabcut"}})
    words = ["label", f"data={root}", f"out={tmp_path}/l", "method=box", f"corrections={file}"]
    assert execute(words) == 2
    assert "pip install 'boxseg[grabcut]'" in capsys.readouterr().err
    assert not (tmp_path / "l").exists()
