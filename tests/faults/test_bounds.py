"""Files that state large sizes or are nested deep: nothing is allocated by what a file says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bad import entry
from boxseg.cli import execute
from boxseg.config import Crf
from boxseg.documents import as_record, parse_yaml, read_json, read_yaml
from boxseg.errors import ConfigError, DataError, PhotoError
from boxseg.formats.images import read_image
from boxseg.inference.refine import refine
from small_data_sets import MAKERS, photo


def test_a_photo_too_long_for_the_crf_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PhotoError, match="60000 x 1 pixels are too long for the dense CRF"):
        refine(Crf(), [torch.zeros(1, 60000, 3, dtype=torch.uint8)], [torch.ones(2, 1, 60000) / 2])
    with pytest.raises(ConfigError, match=r"crf\.gaussian_sigma too small for 48x32"):
        refine(
            Crf(gaussian_sigma=1e-4), [torch.zeros(32, 48, 3, dtype=torch.uint8)], [torch.ones(2, 32, 48) / 2]
        )
    MAKERS["voc_loose"](tmp_path / "data")
    Image.new("RGB", (60000, 1)).save(tmp_path / "data" / "a.png")
    (tmp_path / "data" / "a.jpg").unlink()
    xml = (
        "<annotation><object><name>cat</name><bndbox><xmin>9</xmin><ymin>1</ymin><xmax>90</xmax><ymax>1</ymax>"
    )
    (tmp_path / "data" / "a.xml").write_text(f"{xml}</bndbox></object></annotation>")
    words = [
        "label",
        "label.method=ellipse",
        f"data={tmp_path}/data",
        f"out={tmp_path}/run",
        "workers=0",
        "--quiet",
    ]
    assert execute(words) == 0
    assert "2 written, 0 there already, 1 unreadable and skipped" in capsys.readouterr().out


def test_large_sizes_in_files_take_no_memory(tmp_path: Path) -> None:
    """Masks of 10^5 x 10^5 and of 60000 x 60000 would take gigabytes; a process of 1.5 GB reads them all."""
    for name in ("coco", "cvat", "label_studio", "labelme"):
        MAKERS[name](tmp_path / name)
    code = {"size": [10**5, 10**5], "counts": [10**10 - 1, 1]}
    for place in range(3):
        entry("annotations/instances_train.json", "annotations", 2 * place + 1, "segmentation", value=code)(
            tmp_path / "coco"
        )
    text = (
        (tmp_path / "cvat" / "annotations.xml")
        .read_text()
        .replace('width="48" height="32"', 'width="60000" height="60000"')
    )
    (tmp_path / "cvat" / "annotations.xml").write_text(text)
    for place in range(3):
        for key in ("original_width", "original_height"):
            entry("export.json", place, "annotations", 0, "result", 2, key, value=16384)(
                tmp_path / "label_studio"
            )
    for key in ("imageWidth", "imageHeight"):
        entry("a.json", key, value=60000)(tmp_path / "labelme")
    script = """if True:
        import resource, sys
        from pathlib import Path
        resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))
        from boxseg import formats
        from boxseg.config import Data
        from boxseg.errors import DataError
        for root in map(Path, sys.argv[1:]):
            try:
                formats.inspect(formats.load(Data(root=root)))
            except DataError as error:
                print(error)
    """
    roots = [str(tmp_path / name) for name in ("coco", "cvat", "label_studio", "labelme")]
    done = subprocess.run([sys.executable, "-c", script, *roots], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bounds_of_yaml_and_json(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for text in (
        "a: &a [*a]",
        "[" * 3000,
        "a: !!python/name:os.system",
        "a: !!timestamp 2001-99-99",
        "a: !!int x",
        "? [a]: b",
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=r"a\.yaml: cannot be read as YAML \("):
            read_yaml(file)
    with pytest.raises(DataError, match="levels deep"):
        parse_yaml("- " * 25 + "a", file)
    assert parse_yaml("base: &b {x: 1}\nown: {<<: *b, y: 2}", file) == {
        "base": {"x": 1},
        "own": {"x": 1, "y": 2},
    }
    file.write_text("9" * 400)
    assert read_json(file) == float("inf")
    file.write_text("9" * 300)
    assert read_json(file) == int("9" * 300)
    for text in ("9" * 5000 + "x", "[" * 5000, "{", "\x00"):
        file.write_text(text)
        with pytest.raises(DataError, match=r"a\.yaml is not valid JSON \("):
            read_json(file)
    # What could be read can also be shown and written.
    levels = 700
    while True:
        file.write_text("[" * levels + "]" * levels)
        try:
            content = read_json(file)
            break
        except DataError:
            levels -= 10
    assert json.loads(json.dumps(content)) == content
    assert len(repr(content)) == 2 * levels


def test_a_record_is_refused_by_its_first_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x does not hold names \(1: Input should be a valid string, got 7\)"):
        as_record(list[str], ["a", 7], Path("x"), "names")
    assert as_record(dict[str, int], {"a": 1}, Path("x"), "numbers") == {"a": 1}


def test_a_decoder_out_of_memory_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(tmp_path / "a.png")

    def no_memory(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", no_memory)
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "error", [RuntimeError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError]
)
def test_whatever_a_decoder_raises_is_damage(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "a.png")

    def fail(*_: Any, **__: Any) -> Any:
        raise error("of the decoder")

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(DataError, match=r"a\.png: unreadable image \(.*of the decoder"):
        read_image(tmp_path / "a.png")
