"""Photos are put together a few at a time: how many must not matter, and neither must which EXIF turns."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError
from boxseg.formats.assemble import assemble as put_together
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, Stream
from boxseg.formats.masks_json import write_masks

ASSEMBLE = importlib.import_module("boxseg.formats.assemble")  # `formats.assemble` is its function


def save(path: Path, size: tuple[int, int], turn: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size).save(path, exif=exif)


def coco(root: Path) -> Data:
    """Seven photos: turned, damaged, absent, listed twice, of another size than stated."""
    turns = {"b": 6, "d": 6, "e": 3}
    for name in "abcdefg":
        save(root / "train" / f"{name}.jpg", (40, 30), turns.get(name, 1))
    (root / "train" / "c.jpg").write_text("damaged")
    names = [*"abcdefg", "gone", "a"]
    # b was annotated on the stored pixels: its size says so, and decides for d and e, too.
    images = [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate(names)]
    images[1] |= {"width": 40, "height": 30}
    images[5] |= {"width": 77, "height": 30}
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [n, 2, 30 if n != 6 else 50, 10]}
        for n in range(len(names))
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return Data(root=root)


def said(dataset: BoxDataset) -> tuple[Any, ...]:
    samples = [
        (s.id, s.width, s.height, s.as_stored, s.boxes.tolist(), s.image_id, s.more_image_ids)
        for s in dataset.samples
    ]
    return samples, dataset.problems, dataset.turned


@pytest.mark.parametrize("exif", ["auto", "apply", "ignore"])
@pytest.mark.parametrize("twice", [True, False])
def test_the_number_that_is_put_together_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exif: Any, twice: bool
) -> None:
    root = coco(tmp_path).root
    data = Data(root=root, exif=exif, limit=None if twice else 6)
    if not twice:  # the entry that repeats a photo
        file = root / "annotations" / "instances_train.json"
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "images": content["images"][:-1]}))
    whole = said(formats.load(data))
    assert [sample[0] for sample in whole[0]] == [*"abde"] + ["g"] * twice
    assert sum(one.count for one in whole[2]) == 3
    kinds = {problem.kind for problem in whole[1]}
    assert {"unreadable photo", "annotated size is not the photo's"} <= kinds
    assert ("several entries of one photo" in kinds) == twice
    for together in (1, 2, 3):
        monkeypatch.setattr(ASSEMBLE, "_TOGETHER", together)
        assert said(formats.load(data)) == whole


def photo(path: Path, name: str, *boxes: tuple[float, float, float, float]) -> AnnotatedPhoto:
    found = [AnnotatedBox(corners, 1, f"box {place}") for place, corners in enumerate(boxes)]
    return AnnotatedPhoto(id=name, image=path / f"{name}.png", source=path / "x.json", boxes=found)


def test_a_stream_is_read_once_unless_an_id_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ASSEMBLE, "_TOGETHER", 2)
    for name in "abc":
        save(tmp_path / f"{name}.png", (9, 9))
    begun: list[int] = []

    def stream(*names: str) -> Stream[Any]:
        def start() -> Iterator[AnnotatedPhoto]:
            begun.append(1)
            for place, name in enumerate(names):
                yield photo(tmp_path, name, (place, 0, place + 2, 2))

        return Stream(start)

    found = put_together(stream("a", "b", "c"))
    assert [sample.id for sample in found.samples] == ["a", "b", "c"]
    assert len(begun) == 1
    found = put_together(stream("a", "b", "a", "c"))
    assert [(sample.id, len(sample.boxes)) for sample in found.samples] == [("a", 2), ("b", 1), ("c", 1)]
    assert [problem.kind for problem in found.problems] == ["several entries of one photo"]
    assert len(begun) == 3


def test_keys_that_come_twice_in_a_file_are_written_as_they_are_read(tmp_path: Path) -> None:
    data = coco(tmp_path / "data")
    file = data.root / "annotations" / "instances_train.json"
    text = file.read_text()
    file.write_text('{"annotations": [{"id": 5}], ' + text[1:])
    write_masks(tmp_path / "masks.json", formats.load(data), lambda sample: tmp_path / "none")
    assert json.loads((tmp_path / "masks.json").read_text()) == json.loads(text)


def test_a_damaged_file_of_coco_names_the_place(tmp_path: Path) -> None:
    data = coco(tmp_path)
    file = data.root / "annotations" / "instances_train.json"
    text = file.read_text()
    place = text.index('"bbox"')
    file.write_text(f"{text[:place]}\n7{text[place:]}")
    with pytest.raises(DataError, match=r"instances_train\.json is not valid JSON .*line 2 column 1 "):
        formats.load(data)
