"""`boxseg predict` on videos: the labels are those of each frame predicted by itself."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.end_to_end.conftest import Command

from boxseg import load
from boxseg.formats.masks import read_mask
from small_networks import write_uneven_segmenter
from small_videos import decoded, pictures, write_sound, write_video

CLASSES = ("cat", "dog", "cow")
ONCE = ("tta=false", "crf=false", "trainer.workers=0")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_uneven_segmenter(tmp_path_factory.mktemp("network") / "model.safetensors", CLASSES)


@pytest.mark.parametrize("given", ["data", "images"])
def test_labels_of_every_kth_frame(boxseg: Command, network: Path, tmp_path: Path, given: str) -> None:
    file = write_video(tmp_path / "clip.mp4", pictures())
    out = tmp_path / "out"
    done = boxseg("predict", f"checkpoint={network}", f"{given}={file}", "every=10", f"out={out}", *ONCE)
    assert "Predictions: " in done.stdout
    assert "(3 frames of clip.mp4, 0 skipped)" in done.stdout
    assert "predict clip.mp4: 3 of 3" in done.stderr
    names = ["000000_00h00m00s000", "000010_00h00m01s000", "000020_00h00m02s000"]
    for folder, suffix in (("labels", "png"), ("overlays", "jpg"), ("confidence", "png")):
        found = sorted((out / folder).rglob("*.*"))
        assert [path.relative_to(out / folder).as_posix() for path in found] == [
            f"clip/{name}.{suffix}" for name in names
        ]
    model, frames = load(network), decoded(file)
    shown = set()
    for name, number in zip(names, (0, 10, 20), strict=True):
        expected = model(frames[number]).labels
        assert np.array_equal(read_mask(out / "labels" / "clip" / f"{name}.png"), expected)
        shown |= set(np.unique(expected))
    assert len(shown) > 1, "the network is to tell places apart"


def test_frames_can_be_kept_and_converted(boxseg: Command, network: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", pictures())
    Image.fromarray(pictures()[0]).save(tmp_path / "clip.png")
    out = tmp_path / "out"
    images = f"images=[{clip},{tmp_path / 'clip.png'}]"
    done = boxseg("predict", f"checkpoint={network}", images, "every=20", "frames=true", f"out={out}", *ONCE)
    assert "(1 photo, 2 frames of clip.mp4, 0 skipped)" in done.stdout
    kept = sorted((out / "frames").rglob("*.png"))
    for file, frame in zip(kept, decoded(clip)[::20], strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), frame)
    assert len(json.loads((out / "photos.json").read_text())) == 3
    boxseg("convert", out, tmp_path / "coco", "format=coco")
    content = json.loads((tmp_path / "coco" / "annotations" / "instances_train.json").read_text())
    assert len(content["images"]) == 3
    for entry in content["images"]:
        assert (tmp_path / "coco" / "images" / "train" / entry["file_name"]).is_file()


def test_a_few_frames_are_held_however_long_the_video_is(
    boxseg: Command, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: weakref.WeakSet[np.ndarray] = weakref.WeakSet()
    counts = []

    def upright(frame: Any) -> np.ndarray:
        pixels = frame.to_ndarray(format="rgb24").view(Watched)
        held.add(pixels)
        counts.append(len(held))
        return pixels

    monkeypatch.setattr("boxseg.formats.video._upright", upright)
    file = write_video(tmp_path / "long.mp4", pictures(1, height=32, width=32) * 24)
    boxseg("predict", f"checkpoint={network}", f"data={file}", f"out={tmp_path / 'out'}", *ONCE)
    assert len(counts) == 24
    assert max(counts) <= 2 * torch.get_num_threads() + 4
    assert len(list((tmp_path / "out" / "labels" / "long").iterdir())) == 24


class Watched(np.ndarray):
    """An array that can be told from others."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def test_a_damaged_video_is_one_line_and_the_rest_is_done(
    boxseg: Command, network: Path, tmp_path: Path
) -> None:
    whole = write_video(tmp_path / "whole.mkv", pictures(40))
    (tmp_path / "half.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "broken.mkv").write_bytes(b"no video" * 99)
    write_sound(tmp_path / "sound.mkv")
    words = ("predict", f"checkpoint={network}", "every=10", *ONCE)
    done = boxseg(*words, f"images={tmp_path}/*.mkv", f"out={tmp_path / 'out'}")
    skipped = [line.strip() for line in done.stdout.splitlines() if "  skipped" in line]
    assert [line.split(": ")[0].rpartition("/")[2] for line in skipped] == [
        "broken.mkv",
        "sound.mkv",
        "skipped half.mkv",
    ]
    assert "4 frames of whole.mkv, 3 skipped" in done.stdout
    labels = sorted(path.name for path in (tmp_path / "out" / "labels" / "half").iterdir())
    assert labels[0] == "000000_00h00m00s000.png"
    assert "Traceback" not in done.stderr
    alone = boxseg(*words, f"images={tmp_path}/broken.mkv", f"out={tmp_path / 'other'}", check=False)
    assert alone.returncode == 2
    assert alone.stderr.splitlines()[-1].startswith("boxseg: none of 1 file could be read: ")
    assert not (tmp_path / "other" / "labels").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images=photo.png", "every=5"], "every= is for videos, and no video is given"),
        (["images=photo.png", "frames=true"], "frames= is for videos, and no video is given"),
        (["images=clip.mp4", "every=0"], "every must be 1 (all frames) or more, got 0"),
        (["images=clip.mp4", "geotiff=true"], "geotiff=true is for photos that say where they lie"),
        (["images=clip.mp4", "max_pixels=100"], "more than max_pixels=100"),
        (["images=gone.mp4"], "images=gone.mp4: no such file or folder"),
    ],
)
def test_options_that_do_not_fit(
    boxseg: Command,
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pictures(1)[0]).save("photo.png")
    write_video(Path("clip.mp4"), pictures(2))
    done = boxseg("predict", f"checkpoint={network}", *words, "out=out", check=False)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
