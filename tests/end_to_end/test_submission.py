"""A submission to the VOC server from the command line."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import boxseg
from boxseg.cli import execute
from boxseg.config import Data, Model, Segment
from boxseg.dataset import VOC_CLASSES
from boxseg.formats import load
from boxseg.formats.voc_server import check_results
from boxseg.inference.networks import save_network
from boxseg.nn.deeplab import build_segmenter

FAST = ("evaluate.scales=[0.5,1]", "evaluate.crf.iterations=1", "trainer.workers=0")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network of VOC's classes; what it sees does not matter here."""
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    torch.manual_seed(3)
    network = build_segmenter(Model(weights="none"), 20)
    save_network(path, network, classes=VOC_CLASSES, model=Model(weights="none"), options=Segment())
    return path


@pytest.fixture
def voc_test(shared_data: Path, tmp_path: Path) -> Path:
    """Four real photos as VOC publishes its test set: no annotations of any kind."""
    photos = sorted((shared_data / "voc2012" / "VOCdevkit" / "VOC2012" / "JPEGImages").glob("*.jpg"))[::150][:4]
    root = tmp_path / "VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    for photo in photos:
        (root / "JPEGImages" / photo.name).symlink_to(photo)
    ids = "".join(f"{photo.stem}\n" for photo in photos)
    (root / "ImageSets" / "Segmentation" / "test.txt").write_text(ids)
    return root


def submit(network: Path, root: Path, out: Path, *words: str) -> int:
    command = ["predict", f"checkpoint={network}", f"data={root}", "data.split=test", f"out={out}"]
    return execute([*command, "submission=voc2012", *FAST, *words])


def test_real_photos_become_a_faultless_archive_and_stay_what_they_are(
    network: Path, voc_test: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert submit(network, voc_test, out, "data.limit=2") == 1
    printed = capsys.readouterr().out
    assert "missing" in printed
    assert "No archive, problems: 2" in printed
    assert not list(out.glob("*.tgz"))
    assert submit(network, voc_test, out) == 2  # another limit is another run
    assert "data.limit: 2 → None" in capsys.readouterr().err

    assert submit(network, voc_test, out, "overwrite=true") == 0
    assert "(4 written, 0 there already)" in capsys.readouterr().out
    archive = out / "voc2012_comp6_test_cls.tgz"
    assert check_results(archive, voc_test) == []
    before = archive.read_bytes()
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    photos = sorted((voc_test / "JPEGImages").iterdir())
    assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/{photo.stem}.png" for photo in photos]
    for photo, name in zip(photos, names, strict=True):
        with Image.open(photo) as image, Image.open(out / name) as labels:
            assert (labels.mode, labels.size) == ("P", image.size)

    # Interrupted: what is there stays, what is missing comes back the same.
    kept, lost = out / names[0], out / names[1]
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    archive.unlink()
    assert submit(network, voc_test, out) == 0
    assert "(1 written, 3 there already)" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == stamp
    assert archive.read_bytes() == before
    assert not list(out.rglob(".*"))


def test_labels_are_those_of_a_plain_prediction(network: Path, voc_test: Path, tmp_path: Path) -> None:
    options = {"evaluate": {"scales": [0.5, 1], "crf": {"iterations": 1}}, "workers": 0}
    data = {"root": voc_test, "split": "test"}
    submitted = boxseg.predict(
        checkpoint=network, data=data, out=tmp_path / "s", submission="voc2012", comp="comp5", **options
    )
    assert submitted.archive.name == "voc2012_comp5_test_cls.tgz"
    boxseg.predict(checkpoint=network, data=data, out=tmp_path / "p", **options)
    for path in submitted.folder.iterdir():
        plain = Image.open(tmp_path / "p" / "labels" / path.name)
        assert np.array_equal(np.array(Image.open(path)), np.array(plain))
    assert len(list(submitted.folder.iterdir())) == 4


def test_a_photo_that_cannot_be_read_leaves_no_archive(
    network: Path, voc_test: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = sorted((voc_test / "JPEGImages").iterdir())[0]
    content = photo.read_bytes()
    photo.unlink()
    photo.write_bytes(content[: len(content) // 2])
    assert submit(network, voc_test, tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert f"{photo.stem}.png" in printed
    assert f"skipped {photo.stem}" in printed
    assert not list((tmp_path / "out").glob("*.tgz"))


def test_doctor_checks_results_of_any_origin(
    network: Path, voc_test: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(network, voc_test, tmp_path / "out") == 0
    words = ["doctor", f"data={voc_test}", "data.split=test", f"submission={tmp_path}/out"]
    assert execute(words) == 0
    assert "ready for the VOC 2012 server" in capsys.readouterr().out
    (tmp_path / "out" / "results" / "notes.txt").write_text("for myself")
    assert execute(words) == 1
    assert "results/notes.txt" in capsys.readouterr().out


def test_what_does_not_go_together_is_said_before_anything_is_written(
    network: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*words: str, checkpoint: Path = network) -> str:
        command = ["predict", f"checkpoint={checkpoint}", f"out={tmp_path}/out", "submission=voc2012"]
        assert execute([*command, *words]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err.splitlines()[-1]

    assert "data.root=… data.split=test" in refusal(f"images={toy}")
    assert "not for train: give data.split=test" in refusal(f"data={toy}")
    assert "no split 'test'" in refusal(f"data={toy}", "data.split=test")
    assert "comp5" in refusal(f"data={toy}", "data.split=val", "comp=comp7")
    other = tmp_path / "fish.safetensors"
    small = build_segmenter(Model(weights="none"), 2)
    save_network(other, small, classes=("fish", "bird"), model=Model(weights="none"), options=Segment())
    assert "VOC's 20" in refusal(f"data={toy}", "data.split=val", checkpoint=other)
    assert execute(["predict", f"checkpoint={network}", f"out={tmp_path}/out"]) == 2
    assert "either images=… (photos or videos) or data.root=…" in capsys.readouterr().err


def test_photos_of_a_split_are_predicted_without_boxes(network: Path, toy: Path, tmp_path: Path) -> None:
    ids = [sample.id for sample in load(Data(root=toy, split="val")).samples]
    words = ["predict", f"checkpoint={network}", f"data={toy}", "data.split=val", f"out={tmp_path}"]
    assert execute([*words, *FAST]) == 0
    assert sorted(path.stem for path in (tmp_path / "labels").iterdir()) == sorted(ids)
