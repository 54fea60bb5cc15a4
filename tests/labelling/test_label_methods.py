"""Every way from boxes to labels: the same folder, scores and resuming, and what each must say of a photo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import boxseg
from boxseg import extras, formats
from boxseg.cli import execute
from boxseg.config import Data, Label
from boxseg.data.geometry import whole_box_labels
from boxseg.errors import CheckpointError, ConfigError, MissingExtraError
from boxseg.formats.coco_results import decode_window
from boxseg.formats.masks import read_mask
from boxseg.inference.mask_networks import shipped_weights
from boxseg.jobs import LabelJob
from boxseg.labelling.from_classifier import FromClassifier
from boxseg.labelling.from_network import FromNetwork
from boxseg.labelling.methods import METHODS, start_method
from boxseg.nn.checkpoint import save as save_checkpoint
from label_results import label_path, map_paths

CLASSIFY = ("classify.iterations=1", "classify.batch=2", "crop=33", "model.weights=none", "workers=0")
METHODS_WITHOUT_CLASSIFIER = ("network", "box", "ellipse", "grabcut", "sam")


def words_of(method: str, request: pytest.FixtureRequest) -> list[str]:
    """Options of a method; skips where its package is not installed."""
    if method == "grabcut":
        pytest.importorskip("cv2")
    more = [f"sam={request.getfixturevalue('sam_folder')}"] if method == "sam" else []
    return [f"method={method}", *more]


# ---- what all have in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS_WITHOUT_CLASSIFIER)
def test_a_method_without_a_classifier_goes_through_all_that_is_done_with_labels(
    method: str, root: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "l"
    words = ["label", *words_of(method, request), f"data={root}", f"out={out}", "instances=true", "workers=0"]
    assert execute(words) == 0
    assert "whole box" in capsys.readouterr().out
    entries = json.loads((out / "labelmap.json").read_text())
    assert "classifier_class" not in entries[1]
    assert not [path.name for path in out.iterdir() if path.name.startswith(("y_", "instances"))]
    dataset = formats.load(Data(root=root))
    masks = json.loads((out / "masks.json").read_text())["annotations"]
    boxes = [box.tolist() for sample in dataset.samples for box in sample.boxes]
    assert [[x, y, x + w, y + h] for x, y, w, h in (mask["bbox"] for mask in masks)] == boxes
    assert {mask["source"] for mask in masks} <= {method, "fallback"}
    assert all(mask["area"] == decode_window(mask["segmentation"])[0].sum() > 0 for mask in masks)
    for sample in dataset.samples:
        allowed = {0, *sample.labels.tolist()}
        boxed = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width) > 0
        labels = read_mask(label_path(out, sample))
        assert set(np.unique(labels).tolist()) <= allowed
        assert not labels[~boxed].any()
        levels = [np.asarray(Image.open(path)) for path in map_paths(out, sample)]
        assert all(level.shape == labels.shape for level in levels)
        assert set(np.unique(levels[1]).tolist()) <= {0, 255}

    before = {file: file.read_bytes() for file in out.rglob("*") if file.suffix in (".png", ".json")}
    assert len(before) > 4 * len(dataset)
    label_path(out, dataset.samples[1]).unlink()
    assert execute(words) == 0
    assert "1 written, 3 there already" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in before} == before
    assert execute([*words, "crf.iterations=1"]) == 2
    assert "other options" in capsys.readouterr().err

    scored = boxseg.evaluate(labels=out, data=root, out=tmp_path / "e").scores
    recorded = json.loads((out / "metrics.json").read_text())
    assert list(scored.labels) == ["labels"]
    assert scored.labels["labels"].miou == recorded["labels"]["miou"]
    assert scored.reliable.miou == recorded["reliable_region_only"]["miou"]
    assert scored.reliable_fraction == recorded["reliable_fraction"]
    assert boxseg.report(run=out).photos == 4


@pytest.mark.parametrize("method", ["grabcut", "sam"])
def test_threads_do_not_change_the_labels(
    method: str, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = torch.get_num_threads()
    contents = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = tmp_path / str(threads)
            words = ["label", *words_of(method, request), f"data={root}", f"out={out}", "crf=false"]
            assert execute([*words, "workers=0"]) == 0
            files = [*sorted(out.glob("labels/*.png")), out / "masks.json"]
            contents.append([file.read_bytes() for file in files])
    finally:
        torch.set_num_threads(before)
    assert len(contents[0]) == 5
    assert contents[0] == contents[1]


def test_labels_are_reliable_where_the_crf_leaves_them_and_it_may_be_off(root: Path, tmp_path: Path) -> None:
    on = boxseg.label(method="box", data=root, out=tmp_path / "on", workers=0).scores
    assert on.labels["labels"].miou > on.whole_box.miou + 0.03
    off = boxseg.label(method="box", data=root, out=tmp_path / "off", crf=False, workers=0).scores
    assert off.labels["labels"].miou == off.whole_box.miou
    assert off.reliable_fraction == 1
    for sample in formats.load(Data(root=root)).samples:
        whole = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
        np.testing.assert_array_equal(read_mask(label_path(tmp_path / "off", sample)), whole)
        refined = read_mask(label_path(tmp_path / "on", sample))
        reliable = np.asarray(Image.open(map_paths(tmp_path / "on", sample)[1]))
        np.testing.assert_array_equal(reliable == 255, refined == whole)
    # The mask of a box does not hang on the CRF.
    files = [tmp_path / name / "masks.json" for name in ("on", "off")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_labels_of_two_methods_train_a_network(root: Path, tmp_path: Path) -> None:
    for method in ("box", "ellipse"):
        boxseg.label(method=method, data=root, out=tmp_path / method, workers=0)
    small = {"iterations": 1, "batch": 2, "crop": 33, "weights": "none", "workers": 0}
    trained = boxseg.segment(
        labels=[str(tmp_path / "box"), str(tmp_path / "ellipse" / "labels"), "ground-truth"],
        data={"root": root, "val_split": ""}, out=tmp_path / "s", **small,
    )  # fmt: skip
    assert trained.checkpoint.is_file()


def test_a_run_trains_no_classifier_that_nothing_needs(root: Path, tmp_path: Path) -> None:
    words = ["run", "method=box", f"data={root}", f"out={tmp_path}/r", *CLASSIFY[3:], "segment.iterations=1"]
    assert execute([*words, "segment.batch=2", "segment.augment.crop=33", "tta=false"]) == 0
    assert not (tmp_path / "r" / "classify").exists()
    assert (tmp_path / "r" / "sheet.png").is_file()
    assert (tmp_path / "r" / "report.html").is_file()


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("label", {"method": "bap"}, r"label\.method=bap needs checkpoint="),
        ("label", {"method": "gap"}, r"label\.method=gap needs checkpoint=.*default method needs none"),
        ("label", {"method": "sam"}, r"needs label\.sam="),
        ("label", {"method": "crf"}, r"unknown label\.method=crf .*one of .*grabcut"),
        ("reproduce", {"table": "grid", "method": "box"}, r"label\.method=box: the paper's tables"),
    ],
)
def test_what_cannot_be_done_is_one_line(verb: str, words: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        getattr(boxseg, verb)(data="d", out="o", **words)


def test_a_missing_extra_says_how_to_get_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    for extra in ("grabcut", "sam"):
        job = LabelJob(data=Data(root=root), out=tmp_path, label=Label(method=extra, sam="x"))  # type: ignore[arg-type]
        with pytest.raises(MissingExtraError, match=rf"pip install 'boxseg\[{extra}\]'"):
            METHODS[job.label.method](job, formats.load(job.data))
    assert not any(tmp_path.iterdir())


# ---- bap and gap ---------------------------------------------------------------------------------------------


def test_labels_of_bap_and_gap_are_made_alike(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The classifier differs, and nothing else; a method that it was not trained for is said."""
    assert execute(["classify", *CLASSIFY, f"data={root}", f"out={tmp_path}/c"]) == 0
    words = ["label", f"data={root}", f"checkpoint={tmp_path}/c", "crf.iterations=1", "workers=0"]
    for name, option in (("a", "method=auto"), ("b", "method=bap"), ("g", "method=gap")):
        capsys.readouterr()
        assert execute([*words, f"out={tmp_path}/{name}", option]) == 0
        assert ("was trained with pooling=bap" in capsys.readouterr().err) == (name == "g")
    assert execute([*words, f"out={tmp_path}/w", "background=activation"]) == 0

    def content(name: str) -> list[bytes]:
        return [file.read_bytes() for file in sorted((tmp_path / name).glob("y_*/*.png"))]

    assert content("a") == content("b") == content("g")
    assert content("a") != content("w")
    # Its labels are Y_crf.
    assert [file.read_bytes() for file in sorted((tmp_path / "a" / "labels").iterdir())] == content("a")[:4]


def test_a_checkpoint_chooses_the_method(root: Path, tmp_path: Path) -> None:
    """Without one the mask network that comes with boxseg; one of either kind, as a file or in a run folder."""
    assert execute(["classify", *CLASSIFY, f"data={root}", f"out={tmp_path}/r/classify"]) == 0
    classifier = tmp_path / "r" / "classify" / "model.safetensors"
    for place in ("n", "m/adapt"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(shipped_weights(), tmp_path / place / "model.safetensors")
    dataset = formats.load(Data(root=root))
    for checkpoint, kind, file in (
        (None, FromNetwork, shipped_weights()),
        (tmp_path / "n", FromNetwork, tmp_path / "n" / "model.safetensors"),
        (tmp_path / "m", FromNetwork, tmp_path / "m" / "adapt" / "model.safetensors"),
        (tmp_path / "r", FromClassifier, classifier),
        (classifier, FromClassifier, classifier),
    ):
        job = LabelJob(data=Data(root=root), out=tmp_path / "o", checkpoint=checkpoint)
        method = start_method(job, dataset)
        assert isinstance(method, kind), checkpoint
        assert method.origin.files == {"checkpoint": file}
        assert method.origin.pair == (kind is FromClassifier)
    segmenter = tmp_path / "s.safetensors"
    save_checkpoint(segmenter, {"weight": torch.zeros(1)}, {"kind": "segmenter"})
    with pytest.raises(CheckpointError, match="holds a segmentation network: `boxseg predict` uses it"):
        start_method(LabelJob(data=Data(root=root), out=tmp_path / "o", checkpoint=segmenter), dataset)
    for label, checkpoint, needed in (("network", classifier, "mask"), ("bap", tmp_path / "n", "classifier")):
        job = LabelJob(
            data=Data(root=root), out=tmp_path / "o", checkpoint=checkpoint, label=Label(method=label)
        )
        with pytest.raises(CheckpointError, match=needed):
            start_method(job, dataset)
