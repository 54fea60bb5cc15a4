"""A server with a VOC of a few photos."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from dataclasses import replace

import pytest

from boxseg.data.toy import write_toy
from boxseg.downloads.archives import ARCHIVES
from faulty_server import FaultyServer
from voc_archives import TAR, ZIP, md5


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A VOC of six photos: train 2, val 2, and two more with augmented masks only; and one test photo."""
    top = tmp_path_factory.mktemp("voc")
    root = top / "VOCdevkit" / "VOC2012"
    write_toy(root, train=4, val=2, size=48, seed=3)
    masks, lists = root / "SegmentationClass", root / "ImageSets" / "Segmentation"
    shutil.copytree(masks, top / "SegmentationClassAug")
    for name in ("train_0002", "train_0003"):
        (masks / f"{name}.png").unlink()
    (lists / "train.txt").write_text("train_0000\ntrain_0001\n")
    (lists / "trainval.txt").write_text("train_0000\ntrain_0001\nval_0000\nval_0001\n")
    with tarfile.open(top / TAR, "w") as archive:
        archive.add(top / "VOCdevkit", "VOCdevkit")
    with zipfile.ZipFile(top / ZIP, "w") as archive:
        for path in (top / "SegmentationClassAug").iterdir():
            archive.write(path, f"SegmentationClassAug/{path.name}")
            archive.writestr(f"__MACOSX/SegmentationClassAug/._{path.name}", b"")
    extra = top / "test" / "VOCdevkit" / "VOC2012"
    (extra / "JPEGImages").mkdir(parents=True)
    (extra / "ImageSets" / "Segmentation").mkdir(parents=True)
    shutil.copy(root / "JPEGImages" / "val_0000.jpg", extra / "JPEGImages" / "test_0000.jpg")
    (extra / "ImageSets" / "Segmentation" / "test.txt").write_text("test_0000\n")
    with tarfile.open(top / "VOC2012test.tar", "w") as archive:
        archive.add(top / "test" / "VOCdevkit", "VOCdevkit")
    return {name: (top / name).read_bytes() for name in (TAR, ZIP, "VOC2012test.tar")}


@pytest.fixture
def served(server: FaultyServer, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """The server with the small VOC, and the table of archives with its lengths and checksums."""
    server.files.update(contents)
    trainval, augmented, test = ARCHIVES["voc"]
    counts = {"Annotations": 6, "ImageSets/Segmentation": 3, "JPEGImages": 6, "SegmentationClass": 4}
    small = (
        replace(
            trainval,
            url=server.url(TAR),
            result=counts,
            unpacked=10_000,
            size=len(contents[TAR]),
            checksum=md5(contents[TAR]),
        ),
        replace(augmented, url=server.url(f"{ZIP}?dl=1"), result={"SegmentationClassAug": 6}, unpacked=10_000),
        replace(test, unpacked=10_000),
    )
    monkeypatch.setitem(ARCHIVES, "voc", small)
    monkeypatch.setattr("boxseg.downloads.fetch.time.sleep", lambda _: None)
    return server
