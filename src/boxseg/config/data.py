"""The data set that a command works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from boxseg.errors import require
from boxseg.plugins import FormatName, require_name
from boxseg.remote.address import as_path

# Files that describe all splits of a data set, and all files that may be given in place of its folder.
DESCRIPTIONS = (".yaml", ".yml", ".data")
FILES = (".json", ".xml", ".csv", *DESCRIPTIONS)

# Most pixels of a photo unless an option says otherwise: 20,000 x 20,000, which take 1.2 GB when decoded.
MOST_PIXELS = 400_000_000

Exif = Literal["auto", "apply", "ignore"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Photos with boxes.

    Args:
        root: Folder of the data set, or its annotation file (COCO, CVAT, Label Studio, CSV), or
            data.yaml (YOLO). Or the address of one of these in a store, such as s3://bucket/photos (extra
            `cloud`).
        format: How the boxes are stored; `auto` recognises the format. Plug-ins add others.
        split: Images to work on: a list in ImageSets/Segmentation (VOC), an annotation file
            `instances_SPLIT.json` (COCO), an entry of data.yaml (YOLO), a subset or a file SPLIT.xml (CVAT), or
            a file SPLIT.json (Label Studio) or SPLIT.csv.
        val_split: Images that the network is scored on after training; empty for none.
        annotations: Annotation file of COCO, CVAT, Label Studio or CSV, relative to root. By default the file
            of the split.
        images: Folder of the photos of COCO, CVAT, Label Studio or CSV, relative to root. By default it is
            searched for.
        masks: Folder of ground-truth masks ID.png, relative to root. By default the masks of the data set.
        classes: Only these classes, such as [cat,dog], which become 1, 2 and so on in this order. Objects of
            others are background. By default all classes of the data set, in its order.
        merge: Classes that become others, such as {truck: car, bus: car}, whose names may be new. It comes
            before `classes`.
        limit: Use only this many images, the first ones.
        exif: Photos that EXIF turns or mirrors: `apply` reads them upright, `ignore` as their pixels are
            stored. `auto` decides for each photo in which of the two its boxes were drawn, by the size that the
            annotations state and by the boxes; where neither tells, as for most other photos of the split, else
            upright. Labels and masks are in the same frame as the boxes.
        outside: Also read photos outside of root that lists of YOLO name. By default they are left out: a data
            set from elsewhere could name private files.
        max_pixels: Photos of more pixels are refused: decoded, a small file may be of any size.
    """

    root: Path
    format: FormatName | str = "auto"
    split: str = "train"
    val_split: str = "val"
    annotations: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    classes: tuple[str, ...] = ()
    merge: dict[str, str] | None = field(default=None, hash=False)
    limit: int | None = None
    exif: Exif = "auto"
    outside: bool = False
    max_pixels: int = MOST_PIXELS

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", as_path(self.root))
        require_name("format", "data.format", self.format)
        require(self.limit is None or self.limit > 0, f"data.limit must be positive, got {self.limit}")
        require(self.max_pixels > 0, f"data.max_pixels must be positive, got {self.max_pixels}")
        twice = next((name for name in self.classes if self.classes.count(name) > 1), None)
        require(twice is None, f"data.classes names {twice!r} twice")
        for name, target in (self.merge or {}).items():
            further = (self.merge or {}).get(target, target)
            require(
                further == target,
                f"data.merge: {target!r} becomes {further!r} itself; write {name}: {further} in place of "
                f"{name}: {target}",
            )
            require(bool(target.strip()), f"data.merge: {name!r} becomes a class without a name")

    def with_split(self, split: str) -> Data:
        """Another split of the data set, without `annotations` and `images`, which belong to this one."""
        if split == self.split:
            return self
        own = self.in_folder()
        kept = own.annotations if own.annotations and own.annotations.suffix in DESCRIPTIONS else None
        return replace(own, split=split, annotations=kept, images=None)

    def in_folder(self) -> Data:
        """The same with a folder as `root`, and the file that was given for it as `annotations`."""
        root = self.root.expanduser()
        if self.annotations is not None or root.suffix.lower() not in FILES or not root.is_file():
            return replace(self, root=root)
        beside = root.parent.name.lower() not in ("annotations", "annotation")
        folder = root.parent if beside else root.parent.parent
        return replace(self, root=folder, annotations=root.relative_to(folder))
