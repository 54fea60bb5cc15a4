"""Names that are no UTF-8, things that are no files, and photos outside of the data set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bad import ODD_THINGS
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.documents import read_json
from boxseg.errors import DataError
from small_data_sets import MAKERS, photo

QUICK = ("label.method=ellipse", "crf=false", "workers=0", "--quiet")
SMALL = ("iterations=1", "batch=1", "crop=33", "model.weights=none", "workers=0", "--quiet")


LATIN = b"caf\xe9"  # no UTF-8


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems want names to be UTF-8")
def test_names_that_are_no_utf8_go_through_every_verb(tmp_path: Path) -> None:
    root = tmp_path / "data"
    MAKERS["voc_loose"](root)
    name = os.fsdecode(LATIN)
    (root / "a.jpg").rename(root / f"{name}.jpg")
    (root / "a.xml").rename(root / f"{name}.xml")
    (root / f"bad{name}.jpg").write_text("no photo")

    def in_terminal(*words: str, status: int = 0) -> str:
        # As users run it: their terminal gets the output. (Reports of tests cannot hold such names.)
        done = subprocess.run(
            [sys.executable, "-m", "boxseg", *words, "--quiet"],
            capture_output=True,
            env=os.environ | {"PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"},
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert b"Traceback" not in done.stderr
        return (done.stdout + done.stderr).decode()

    assert "caf" in in_terminal("doctor", f"data={root}", status=1)
    run = tmp_path / "run"
    in_terminal("label", f"data={root}", f"out={run}", *QUICK[:3])
    assert (run / "labels" / f"{name}.png").is_file()
    assert f"{name}.jpg" in {image["file_name"] for image in read_json(run / "masks.json")["images"]}
    for form in ("coco", "voc", "yolo-seg", "masks", "cvat", "label-studio"):
        in_terminal("convert", str(run), f"out={tmp_path / form}", f"format={form}")
    assert len(formats.load(Data(root=tmp_path / "coco"))) == 3
    in_terminal(
        "segment",
        "labels=ground-truth",
        f"data={tmp_path / 'coco'}",
        f"out={tmp_path / 's'}",
        "val_split=",
        *SMALL[:5],
    )
    told = in_terminal(
        "predict", f"checkpoint={tmp_path / 's'}", f"images={root}", f"out={tmp_path / 'p'}", "crf=false"
    )
    assert "(3 photos, 1 skipped)" in told
    assert set(read_json(tmp_path / "p" / "photos.json")) == {name, "b", "c"}
    in_terminal("report", str(run))


def test_things_that_are_no_photos_are_skipped_by_predict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MAKERS["coco"](tmp_path / "data")
    words = [
        "segment",
        "labels=ground-truth",
        f"data={tmp_path}/data",
        f"out={tmp_path}/s",
        "val_split=",
        *SMALL,
    ]
    assert execute(words) == 0
    photo(tmp_path / "photos" / "good.jpg")
    for name, make in ODD_THINGS.items():
        make(tmp_path / "photos" / f"{name}.jpg")
    words = [
        "predict",
        f"checkpoint={tmp_path}/s",
        f"images={tmp_path}/photos",
        f"out={tmp_path}/p",
        "crf=false",
    ]
    assert execute([*words, "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "(1 photo, 4 skipped)" in out
    assert [name for name in ODD_THINGS if f"{name}.jpg" not in out] == []


def test_photos_outside_are_read_only_if_that_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    MAKERS["yolo_list"](root)
    photo(tmp_path / "private" / "images" / "secret.jpg")
    (tmp_path / "private" / "labels").mkdir()
    (tmp_path / "private" / "labels" / "secret.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    with (root / "train.txt").open("a") as file:
        file.write(f"{tmp_path}/private/images/secret.jpg\n{root}/images/train/a.jpg\n")
    dataset = formats.load(Data(root=root))
    assert [sample.id for sample in dataset.samples] == ["a", "b", "c"]
    kinds = [problem.kind for problem in dataset.problems if problem.action == "skipped"]
    assert kinds == ["photo outside of the data set (data.outside=true reads it)"]
    assert len(formats.load(Data(root=root, outside=True))) == 4
    words = (f"data={root}", "data.outside=true", f"out={tmp_path}/run")
    assert execute(["label", *words, *QUICK]) == 0
    capsys.readouterr()
    assert execute(["convert", str(tmp_path / "run"), f"out={tmp_path}/out", "format=coco", "--quiet"]) == 0
    assert f"1 of the copied photos are from outside of {root}" in capsys.readouterr().out


def test_a_link_to_a_photo_outside_is_said_when_it_is_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MAKERS["coco"](tmp_path / "data")
    photo(tmp_path / "secret.jpg")
    (tmp_path / "data" / "train" / "a.jpg").unlink()
    (tmp_path / "data" / "train" / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    assert execute(["label", f"data={tmp_path}/data", f"out={tmp_path}/run", *QUICK]) == 0
    for photos, said in (("copy", True), ("link", False)):
        capsys.readouterr()
        words = (
            "convert",
            str(tmp_path / "run"),
            f"out={tmp_path}/{photos}",
            "format=coco",
            f"photos={photos}",
        )
        assert execute([*words, "--quiet"]) == 0
        assert ("from outside of" in capsys.readouterr().out) is said


def test_the_whole_disk_is_never_walked(tmp_path: Path) -> None:
    MAKERS["yolo"](tmp_path)
    for outside in (False, True):
        (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: /\n")
        with pytest.raises(DataError, match=r"data\.yaml: train names /"):
            formats.load(Data(root=tmp_path, outside=outside))


def test_places_by_absolute_and_relative_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MAKERS["yolo_list"](tmp_path / "data")
    text = f"names: [cat, dog]\ntrain: [train.txt, {tmp_path}/data/images/train]\n"
    (tmp_path / "data" / "data.yaml").write_text(text)
    (tmp_path / "data" / "train.txt").write_text("images/train/a.jpg\n")
    monkeypatch.chdir(tmp_path)
    assert {sample.id for sample in formats.load(Data(root=Path("data"))).samples} >= {"a", "b", "c"}
