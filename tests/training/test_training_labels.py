"""Which photos `segment` trains on, with which labels, from the command line's options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Augment, Data
from boxseg.data.labels import GROUND_TRUTH
from boxseg.data.loading import LabelTraining
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset
from boxseg.errors import BoxsegError, ConfigError, DataError
from boxseg.formats.masks import MaskFolder, read_mask, write_mask
from boxseg.formats.object_counts import rare_classes
from boxseg.jobs import SegmentJob
from boxseg.options import from_python, to_yaml
from boxseg.runs.layout import CORRECTIONS
from boxseg.training.labels import TrainingLabels, sources_of, training_labels, warn_of_rare_classes
from correction_files import save_corrections
from report_runs import write_labels

TINY = (
    "iterations=1", "batch=2", "crop=33", "model.weights=none", "workers=0", "tta=false",
    "evaluate.crf=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos in `train` and two in `val`; `few` lists two of train and one of val, `many` the others."""
    folder = tmp_path_factory.mktemp("data")
    write_toy(folder, train=6, val=2, size=64, seed=3)
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "few.txt").write_text("train_0001\ntrain_0004\nval_0000\n")
    (lists / "many.txt").write_text("".join(f"train_000{n}\n" for n in (0, 2, 3, 5)))
    return folder


@pytest.fixture
def runs(root: Path, tmp_path: Path) -> Path:
    """label/ as `boxseg label` leaves it, other/ with masks of the first four photos: class 1 everywhere."""
    data = write_labels(tmp_path / "label", root)
    for sample in data.samples[:4]:
        whole = np.ones((sample.height, sample.width), np.uint8)
        write_mask(tmp_path / "other" / f"{sample.id}.png", whole)
    return tmp_path


def chosen(root: Path, **options: Any) -> TrainingLabels:
    job = from_python("segment", SegmentJob, {"data": {"root": root}, "out": "o", **options})
    return training_labels(formats.load(job.data), job)


def ids(found: TrainingLabels) -> list[str]:
    return [sample.id for sample in found.dataset.samples]


def train(*numbers: int) -> list[str]:
    return [f"train_{number:04d}" for number in numbers]


def data_of(root: Path) -> BoxDataset:
    return formats.load(Data(root=root))


def pair_of(runs: Path) -> tuple[MaskFolder, MaskFolder]:
    return MaskFolder(runs / "label" / "y_crf"), MaskFolder(runs / "label" / "y_ret")


def without_pair(runs: Path) -> None:
    """As a method leaves the folder that is no classifier."""
    for name in ("y_crf", "y_ret"):
        shutil.rmtree(runs / "label" / name)


def test_a_single_source_is_what_it_was(root: Path, runs: Path) -> None:
    pair = pair_of(runs)
    assert sources_of(str(runs / "label"), data_of(root)) == pair
    assert sources_of([str(runs / "label")], data_of(root)) == pair
    assert sources_of(str(pair[1].path), data_of(root)) == pair[1:]
    assert sources_of("ground-truth", data_of(root)) == (GROUND_TRUTH,)
    found = chosen(root, labels=str(runs / "label"))
    assert (found.sources, ids(found), found.strong) == (pair, train(*range(6)), frozenset())


def test_labels_of_other_methods_are_compared_with_what_is_reliable_of_them(root: Path, runs: Path) -> None:
    """Where labels are reliable the two agree, and nowhere else."""
    without_pair(runs)
    final, reliable = runs / "label" / "labels", runs / "label" / "reliable"
    agreed = MaskFolder(final, reliable)
    assert sources_of(str(runs / "label"), data_of(root)) == (MaskFolder(final), agreed)
    assert sources_of(str(final), data_of(root)) == (MaskFolder(final),)
    found = chosen(root, labels=str(runs / "label"))
    assert (found.sources, ids(found)) == ((MaskFolder(final), agreed), train(*range(6)))
    item = LabelTraining(found.dataset, Augment(crop=64, scale=(1, 1), flip=0), 0, found.sources)[0, 0]
    labels, sure = (read_mask(folder / "train_0000.png") for folder in (final, reliable))
    inside = np.s_[: len(labels), : labels.shape[1]]
    np.testing.assert_array_equal(item["y_crf"].numpy()[inside], labels)
    np.testing.assert_array_equal(item["y_ret"].numpy()[inside], np.where(sure == 255, labels, 255))
    assert (sure == 0).any()
    # A photo without its map has no second label.
    (reliable / "train_0002.png").unlink()
    assert ids(chosen(root, labels=str(runs / "label"))) == train(0, 1, 3, 4, 5)


def test_a_list_keeps_the_photos_that_every_source_has(root: Path, runs: Path) -> None:
    pair = pair_of(runs)
    found = chosen(root, labels=[str(runs / "label"), str(runs / "other"), str(pair[0].path), "ground-truth"])
    assert found.sources == (*pair, MaskFolder(runs / "other"), GROUND_TRUTH)
    assert ids(found) == train(0, 1, 2, 3)
    with pytest.raises(DataError, match=r"no labels in .*nowhere"):
        chosen(root, labels=[str(runs / "label"), str(runs / "nowhere")])
    with pytest.raises(DataError, match=r"no image of split val .* has labels of all sources"):
        chosen(root, labels=[str(runs / "label"), str(runs / "other")], data={"root": root, "split": "val"})


@pytest.mark.parametrize(("loss", "read"), [("nal", 3), ("baseline", 3), ("ce_crf", 1), ("ce_ret", 2)])
def test_losses_of_one_label_look_at_that_label(root: Path, runs: Path, loss: str, read: int) -> None:
    """`ce_ret` learns from the second source, whatever a third one says; the photos are the same for all."""
    found = chosen(root, labels=[str(runs / "label"), str(runs / "other")], loss=loss)
    assert len(found.sources) == read
    assert ids(found) == train(0, 1, 2, 3)
    item = LabelTraining(found.dataset, Augment(crop=64, scale=(1, 1), flip=0), 0, found.sources)[0, 0]
    second = read_mask(runs / "label" / "y_ret" / "train_0000.png")
    if loss == "ce_ret":
        np.testing.assert_array_equal(item["y_ret"].numpy()[: len(second), : second.shape[1]], second)


def test_photos_that_corrections_call_wrong_have_no_labels(
    root: Path, runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of any source, but their true masks count."""
    caplog.set_level("INFO", logger="boxseg")
    file = save_corrections(runs / "label" / CORRECTIONS, data_of(root), {}, "train_0001", "val_0000")
    for labels in (runs / "label", runs / "label" / "y_ret", runs / "label" / "labels"):
        assert ids(chosen(root, labels=str(labels))) == train(0, 2, 3, 4, 5)
    assert "left out: 1 image, wrong by corrections" in caplog.text
    assert "without labels" not in caplog.text
    both = chosen(root, labels=[str(runs / "other"), str(runs / "label")])
    assert ids(both) == train(0, 2, 3)
    mixed = chosen(root, labels=str(runs / "label"), strong="ground-truth", strong_split="few")
    assert ids(mixed) == [*train(0, 1, 2, 3, 4, 5), "val_0000"]
    save_corrections(file, data_of(root), {}, *train(*range(6)))
    with pytest.raises(
        DataError, match="corrections call 6 of 6 images of split train wrong, and no other has"
    ):
        chosen(root, labels=str(runs / "label"))
    file.write_text("{}")
    with pytest.raises(DataError, match=r"applied-corrections\.json does not hold corrections"):
        chosen(root, labels=str(runs / "label"))


def test_true_masks_beside_boxes(root: Path, runs: Path) -> None:
    """A few masks, many boxes: masks of a split, of a folder, of photos without labels and of other splits."""
    labels = str(runs / "other")
    found = chosen(root, labels=labels, strong="ground-truth", strong_split="few")
    assert ids(found) == [*train(0, 1, 2, 3, 4), "val_0000"]
    assert found.strong == {*train(1, 4), "val_0000"}
    disjoint = chosen(
        root, labels=labels, strong="ground-truth", strong_split="few", data={"root": root, "split": "many"}
    )
    assert ids(disjoint) == [*train(0, 2, 3, 1, 4), "val_0000"]
    everything = chosen(root, labels=labels, strong="ground-truth")
    assert everything.strong == set(train(*range(6)))

    write_mask(runs / "few" / "train_0005.png", np.full((64, 64), 2, np.uint8))
    write_mask(runs / "few" / "val_0000.png", np.full((64, 64), 2, np.uint8))
    own = chosen(root, labels=labels, strong=str(runs / "few"))
    assert (ids(own), own.strong) == (train(0, 1, 2, 3, 5), {"train_0005"})
    more = chosen(root, labels=labels, strong=str(runs / "few"), strong_split="few")
    assert more.strong == {"val_0000"}
    last = more.dataset.samples[-1]
    assert last.ground_truth is not None
    assert set(np.unique(last.ground_truth())) == {2}


def test_photos_with_masks_of_a_folder_need_no_boxes(root: Path, runs: Path) -> None:
    (root / "ImageSets" / "Segmentation" / "bare.txt").write_text("bare\n")
    (root / "JPEGImages" / "bare.jpg").write_bytes((root / "JPEGImages" / "val_0001.jpg").read_bytes())
    write_mask(runs / "few" / "bare.png", np.full((64, 64), 2, np.uint8))
    found = chosen(root, labels=str(runs / "label"), strong=str(runs / "few"), strong_split="bare")
    assert found.strong == {"bare"}
    assert len(found.dataset) == 7


def test_what_cannot_be_meant_is_an_error_of_one_line(root: Path, runs: Path) -> None:
    labels = str(runs / "label")
    with pytest.raises(ConfigError, match=r"strong_split=few needs strong="):
        chosen(root, labels=labels, strong_split="few")
    with pytest.raises(ConfigError, match="labels= is empty"):
        chosen(root, labels=[])
    with pytest.raises(DataError, match=r"strong=.*nowhere: it has no mask for any image, there is no such"):
        chosen(root, labels=labels, strong=str(runs / "nowhere"))
    with pytest.raises(DataError, match="did you mean 'few'"):
        chosen(root, labels=labels, strong="ground-truth", strong_split="fwe")


def test_a_network_is_trained_and_shown_from_a_list_typed_on_the_command_line(
    root: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", *TINY, f"data={root}", f"out={runs}/s"]
    labels = f"labels=[{runs}/label, {runs}/other]"
    strong = ["strong=ground-truth", "strong_split=few"]
    assert execute([*words, labels, *strong]) == 0
    assert "3 images with true masks, 3 with labels" in capsys.readouterr().err
    assert execute([*words, labels, *strong]) == 0
    assert "already exists" in capsys.readouterr().err
    assert execute([*words, f"labels=[{runs}/other, {runs}/label]", *strong]) == 2
    assert "other options (labels:" in capsys.readouterr().err

    boxseg.report(run=runs / "s")
    text = (runs / "s" / "report.html").read_text(encoding="utf-8")
    index = json.loads(text.split('<script type="application/json" id="index">')[1].split("</script>")[0])
    names = {layer["key"]: layer["name"] for layer in index["layers"]}
    assert list(names)[2:6] == ["y_crf", "y_ret", "labels", "reliable"]
    assert names["labels"].endswith("/other")
    assert f"{100 * json.loads((runs / 'label' / 'metrics.json').read_text())['y_crf']['miou']:.1f}" in text
    for photo in index["photos"][:6]:
        files = [runs / "label" / kind / f"{photo['id']}.png" for kind in ("y_crf", "y_ret")]
        files.append(runs / "other" / f"{photo['id']}.png")
        if not files[-1].is_file():
            assert photo["agreement"] is None
            continue
        values = list(zip(*(read_mask(file).ravel().tolist() for file in files), strict=True))
        agree = [len(set(pixel)) == 1 for pixel in values if pixel[0] != 255]
        assert photo["agreement"][0] == pytest.approx(sum(agree) / len(agree))


@pytest.mark.parametrize("labels", ["ground-truth", ["ground-truth", "label/y_crf"], ["other", "label/y_ret"]])
def test_reports_of_any_sources(root: Path, runs: Path, labels: str | list[str]) -> None:
    if isinstance(labels, list):
        labels = [name if name == GROUND_TRUTH else str(runs / name) for name in labels]
    (runs / "s").mkdir()
    job = SegmentJob(labels=labels, data=Data(root=root, val_split=""), out=runs / "s")
    (runs / "s" / "config.yaml").write_text(to_yaml(job))
    assert boxseg.report(run=runs / "s").photos >= 4
    text = (runs / "s" / "report.html").read_text(encoding="utf-8")
    assert ('"key": "reliable"' in text or '"key":"reliable"' in text) == isinstance(labels, list)


def test_python_takes_a_list_too(root: Path, runs: Path) -> None:
    with pytest.raises(BoxsegError, match="no labels in"):
        boxseg.segment(labels=[str(runs / "label"), str(runs / "none")], data=root, out=runs / "p")


def write_boxes(root: Path, **boxes: int) -> Path:
    """A COCO set of one photo, with this many boxes of each class."""
    root.mkdir()
    Image.new("RGB", (64, 64)).save(root / "a.png")
    names = [name for name, count in boxes.items() for _ in range(count)]
    ids = {name: number for number, name in enumerate(boxes, start=1)}
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": ids[name], "bbox": [n % 50, n // 50, 9, 9]}
            for n, name in enumerate(names)
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    (root / "train.json").write_text(json.dumps(content))
    return root


def test_classes_with_hardly_a_box_are_named_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_boxes(tmp_path / "data", cat=100, dog=10, cow=9, bus=0)
    assert execute(["classify", f"data={root}", f"out={tmp_path / 'c'}", *TINY[:5]]) == 0
    said = capsys.readouterr().err
    expected = "classify: 2 classes with hardly a box to learn from (bus 0, cow 9): add photos of them, see"
    assert expected in " ".join(said.split())


@pytest.mark.parametrize("boxes", [{"cat": 99, "dog": 0}, {"cat": 100, "dog": 10}])
def test_small_or_even_sets_have_no_rare_classes(tmp_path: Path, boxes: dict[str, int]) -> None:
    assert rare_classes(formats.load(Data(root=write_boxes(tmp_path / "data", **boxes)))) == []


def test_many_rare_classes_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rare = {f"c{n}": n for n in range(10)}
    dataset = formats.load(Data(root=write_boxes(tmp_path / "data", **rare, cat=100)))
    with caplog.at_level("WARNING", logger="boxseg"):
        warn_of_rare_classes(dataset, "segment")
    assert "segment: 10 classes with hardly a box to learn from (c0 0, c1 1" in caplog.text
    assert "c7 7 and 2 more)" in caplog.text
