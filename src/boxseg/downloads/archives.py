"""What `download` fetches: addresses, lengths, and what is on disk when a step is done.

Lengths and checksums are given if they are published. Otherwise the archive's own checksums, the number of
files in it and the lists it brings must suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from boxseg.errors import DataError
from boxseg.formats.voc import photo_file, read_list
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One step of a download.

    The step is done when the folder of the data set has the files (value 1) and folders (value: the least
    number of files) of `result`, and all photos of `lists`.
    """

    name: str
    holds: str  # its content in a few words
    url: str  # empty if the user must give one
    result: Mapping[str, int] = field(repr=False)
    lists: tuple[str, ...] = ()  # of VOC
    unpacked: int  # about how many bytes it takes on disk
    size: int | None = None  # bytes, if published
    checksum: str | None = None  # `md5:HEX`, if published
    top: str = ""  # the folder of the archive that becomes the folder of the data set
    members: str = "*"  # pattern of the files below `top` that are wanted

    @property
    def file(self) -> str:
        """Name of the archive file."""
        return PurePosixPath(urlsplit(self.url).path).name

    def is_done(self, root: Path) -> bool:
        """Whether the folder of the data set has its result."""
        return not self.shortfall(root)

    def shortfall(self, root: Path) -> str:
        """What a folder has instead of the whole result, in words; empty if the result is complete."""
        for name, count in self.result.items():
            found = count_files(root / name)
            if found < count:
                return f"{counted(found, 'file')} {name}, expected {count}"
        for name in self.lists:
            try:
                ids = read_list(root, root / name)
            except DataError:
                return f"a list {name} that cannot be read"
            found = sum(photo_file(root, photo) is not None for photo in ids)
            if found < max(len(ids), 1):
                return f"{counted(found, 'photo')} of the {len(ids)} in {name}"
        return ""


def count_files(path: Path) -> int:
    """Number of files in a folder; 1 for a file, 0 if there is nothing."""
    return sum(1 for _ in path.iterdir()) if path.is_dir() else int(path.is_file())


VOC_TEST = Archive(
    name="test",
    holds="test photos",
    url="",  # only for registered users of the test server
    result={"ImageSets/Segmentation/test.txt": 1},
    lists=("ImageSets/Segmentation/test.txt",),
    unpacked=2_000_000_000,
    top="VOCdevkit/VOC2012",
)

ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "voc": (
        Archive(
            name="trainval",
            holds="photos, boxes, masks, lists",
            url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            result={
                "Annotations": 17_125,
                "ImageSets/Segmentation": 3,
                "JPEGImages": 17_125,
                "SegmentationClass": 2_913,
            },
            unpacked=2_100_000_000,
            size=1_999_639_040,
            checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
            top="VOCdevkit/VOC2012",
        ),
        Archive(
            name="augmented",
            holds="masks of 10,582 training photos",
            url="https://www.dropbox.com/s/oeu149j8qtbs1x0/SegmentationClassAug.zip?dl=1",
            result={"SegmentationClassAug": 10_582},
            unpacked=60_000_000,
            members="SegmentationClassAug/*.png",
        ),
        VOC_TEST,
    ),
    "coco": (
        Archive(
            name="annotations",
            holds="boxes and masks",
            url="http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
            result={"annotations/instances_train2017.json": 1, "annotations/instances_val2017.json": 1},
            unpacked=500_000_000,
            size=252_907_541,
            checksum="md5:f4bbac642086de4f52a3fdda2de5fa2c",
            members="annotations/instances_*.json",
        ),
        Archive(
            name="val",
            holds="5,000 photos",
            url="http://images.cocodataset.org/zips/val2017.zip",
            result={"val2017": 5_000},
            unpacked=830_000_000,
            size=815_585_330,
            checksum="md5:442b8da7639aecaf257c1dceb8ba8c80",
            members="val2017/*.jpg",
        ),
        Archive(
            name="train",
            holds="118,287 photos",
            url="http://images.cocodataset.org/zips/train2017.zip",
            result={"train2017": 118_287},
            unpacked=19_700_000_000,
            size=19_336_861_798,
            checksum="md5:cced6f7f71b7629ddf16f17bbcfab6b2",
            members="train2017/*.jpg",
        ),
    ),
}
