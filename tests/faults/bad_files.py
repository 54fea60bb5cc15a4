"""Photos and annotation files that are damaged, or no files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from PIL import Image

from bad import COCO, ODD_THINGS, Bad, Spoil, instead, listed, write
from small_data_sets import photo


def damaged_photo(suffix: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Replace the photo of `a` by a damaged one in another format."""

    def spoil(root: Path) -> None:
        old = root / "JPEGImages" / "a.jpg"
        new = old.with_suffix(suffix)
        photo(new, 5)
        if new != old:
            old.unlink()
        new.write_bytes(change(new.read_bytes()))

    return spoil


def long_photo(root: Path) -> None:
    """A photo of 60000 x 1."""
    Image.new("RGB", (60000, 1), "green").save(root / "JPEGImages" / "a.png")
    (root / "JPEGImages" / "a.jpg").unlink()
    text = (root / "Annotations" / "a.xml").read_text()
    text = text.replace("<width>48</width><height>32</height>", "").replace("<ymin>4<", "<ymin>1<")
    (root / "Annotations" / "a.xml").write_text(text.replace("<ymin>7<", "<ymin>1<"))
    (root / "SegmentationClass" / "a.png").unlink()


def _photos() -> list[Bad]:
    """Photos that are damaged or no photos."""
    changes: dict[str, Callable[[bytes], bytes]] = {
        "cut in the head": lambda content: content[:20],
        "empty": lambda content: b"",
        "of zeros": lambda content: bytes(len(content)),
        "text": lambda content: b"no photo",
    }
    bad = [
        listed(f"photo {suffix} {name}", "voc", damaged_photo(suffix, change), f"a{suffix}")
        for suffix in (".jpg", ".png", ".tif", ".webp", ".gif", ".bmp", ".avif")
        for name, change in changes.items()
    ]
    halves = {suffix: lambda content: content[: len(content) * 3 // 4] for suffix in (".jpg", ".png", ".tif")}
    bad += [
        listed(f"photo {suffix} cut", "voc", damaged_photo(suffix, change), f"a{suffix}")
        for suffix, change in halves.items()
    ]
    bad += [
        listed(f"photo is a {what}", base, instead(file, make), Path(file).stem, reason)
        for what, make in ODD_THINGS.items()
        for base, file, reason in (
            ("voc", "JPEGImages/a.jpg", "photo"),
            ("coco", "train/a.jpg", "photo"),
            ("yolo", "images/train/a.jpg", "no file"),
            ("yolo_list", "images/train/a.jpg", "photo"),
            ("cvat", "images/a.jpg", "photo"),
            ("label_studio", "a.jpg", "photo"),
            ("labelme", "a.jpg", "photo"),
            ("csv", "images/a.jpg", "photo"),
        )
    ]
    return bad


def _annotations() -> list[Bad]:
    """Annotation files that are damaged, no files, or say odd things."""
    bad = [
        Bad(
            name=f"{base}: {file} is a {what}", base=base, spoil=instead(file, make), outcome=outcome, says=says
        )
        for what, make in ODD_THINGS.items()
        for base, file, outcome, says in (
            ("voc", "Annotations/a.xml", "listed", ("a.xml",)),
            ("voc_loose", "a.xml", "listed", ("a.xml",)),
            ("coco", COCO, "refused", ("instances_train.json",)),
            ("yolo", "labels/train/a.txt", "listed", ("a.txt",)),
            ("yolo_list", "train.txt", "refused", ("train",)),
            ("labelme", "a.json", "listed", ("a.json",)),
            ("csv", "boxes.csv", "refused", ("format not recognised, looked for",)),
        )
        if (base, what) != ("labelme", "folder")
    ]
    return bad


def _texts() -> list[Bad]:
    """Annotation files with other bytes than their format has."""
    contents: dict[str, bytes] = {
        "empty": b"",
        "zeros": bytes(500),
        "utf-16": "ä".encode("utf-16"),
        "no utf-8": b"\xff\xfe\xfa\x80",
    }
    files: dict[str, tuple[str, Literal["listed", "refused"], str]] = {
        "voc": ("Annotations/a.xml", "listed", "a.xml"),
        "coco": (COCO, "refused", "instances_train.json"),
        "yolo": ("data.yaml", "refused", "data.yaml"),
        # Nothing says that these files are of the format: it has no file.
        "cvat": ("annotations.xml", "refused", "no file of split 'train' (CVAT"),
        "label_studio": ("export.json", "refused", "no file of split 'train' (Label Studio"),
        "csv": ("boxes.csv", "refused", "no file of split 'train' (a table of boxes"),
    }
    forms = {
        "voc": "voc",
        "coco": "coco",
        "yolo": "yolo",
        "cvat": "cvat",
        "label_studio": "label-studio",
        "csv": "csv",
    }
    bad = [
        Bad(
            name=f"{base}: {file} {name}",
            base=base,
            spoil=write(file, content),
            outcome=outcome,
            says=(says,),
            options=(f"data.format={forms[base]}",),
        )
        for base, (file, outcome, says) in files.items()
        for name, content in contents.items()
    ]
    return bad


LONG = listed("photo of 60000 x 1", "voc", long_photo, "a")
BAD = [LONG, *_photos(), *_annotations(), *_texts()]
