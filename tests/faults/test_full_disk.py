"""A disk that refuses a write is one line that names the file; nothing is half written, and nothing is lost."""

from __future__ import annotations

import errno
import random
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boxseg.atomic import append_text, write_text
from boxseg.cli import execute
from boxseg.formats.images import write_jpeg
from boxseg.formats.masks import write_grey
from boxseg.nn import checkpoint
from boxseg.runs.layout import HISTORY, LABEL_MAP, LAST, METRICS, PROVENANCE, RECORD
from boxseg.training.checkpoints import WholeCheckpoints
from faulty_disk import FaultyDisk
from written_verbs import COMMANDS, differences, leftovers, prepare, results

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are found in /proc")

# Written more than once by a command: what is there after a fault may be an earlier state.
GROWING = {PROVENANCE, HISTORY, RECORD, METRICS, LABEL_MAP}
# Faults in each command.
FAULTS = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, and what commands read."""
    folder = tmp_path_factory.mktemp("place")

    def run(words: list[str], where: Path) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(where)
            assert execute(words) == 0

    prepare(folder, run)
    return folder


@pytest.mark.parametrize("name", ["label, ellipse", "classify", "segment", "convert", "predict"])
def test_a_refused_write(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    words, out = list(COMMANDS[name]), place / "out"
    shutil.rmtree(out, ignore_errors=True)
    good = FaultyDisk(out)
    with monkeypatch.context() as patched:
        good.install(patched)
        assert execute(words) == 0
    expected = results(out)
    shutil.rmtree(out)
    rng = random.Random(name)
    for fails_at in rng.sample(range(good.requests), FAULTS):
        reason = rng.choice([errno.ENOSPC, errno.EIO])
        capsys.readouterr()
        with monkeypatch.context() as patched:
            FaultyDisk(out, fails_at, reason).install(patched)
            assert execute(words) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        what = "no space left on this disk" if reason == errno.ENOSPC else "Input/output error"
        assert re.fullmatch(rf"boxseg: (\S*/)?out\b\S*: {what}.*", last), last
        assert leftovers(out) == []
        for file, content in results(out).items():
            assert Path(file).name in GROWING or content == expected[file], file
        assert execute(words) == 0
        assert differences(expected, results(out)) == []
        shutil.rmtree(out)


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


@contextmanager
def short_writes(most: int) -> Iterator[None]:
    """Files take so many bytes: of a longer write the system takes a part, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITES: dict[str, Callable[[Path], None]] = {
    "a.jpg": lambda path: write_jpeg(path, noise(100), quality=90),
    "a.png": lambda path: write_grey(path, np.asarray(noise(100))[..., 0].copy()),
    "a.txt": lambda path: write_text(path, "x" * 9000),
    LAST: lambda path: WholeCheckpoints().save_checkpoint({"w": torch.ones(9000)}, path),
    "a.safetensors": lambda path: checkpoint.save(
        path, {"w": torch.ones(9000)}, {"kind": "segmenter", "options": {}}
    ),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("most", [1, 3000, 8000])
def test_a_file_of_which_the_disk_takes_a_part_is_not_there(name: str, most: int, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(OSError, match="large") as caught, short_writes(most):
        WRITES[name](path)
    assert caught.value.filename == str(path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    WRITES[name](path)
    assert path.stat().st_size > most


def test_lines_that_did_not_fit_do_not_spoil_those_after_them(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    append_text(path, "one\n")
    with pytest.raises(OSError, match="large") as caught, short_writes(7):
        append_text(path, "second\n")
    assert caught.value.filename == str(path)
    append_text(path, "third\n")
    assert path.read_text().splitlines()[0] == "one"
