"""Change valid files of every kind, and check that only boxseg's own errors come out.

    python tests/faults/fuzz_files.py --seconds 300
    python tests/faults/fuzz_files.py --seed 1234        one seed again, with its traceback

Each seed changes one or two files of a small data set, of a run folder or a checkpoint, and reads, labels,
converts or reports it. A find is anything that is raised but a BoxsegError, or that takes too much time or
memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from PIL import features
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from boxseg import cli, formats
from boxseg.config import Data
from boxseg.errors import BoxsegError
from boxseg.formats.images import read_header, read_image
from boxseg.formats.regions import UNREADABLE_REGION, encode_region
from boxseg.inference.mask_networks import shipped_weights
from boxseg.nn import checkpoint
from mutations import change_file, change_json
from small_data_sets import ANNOTATIONS, MAKERS, photo

# Seconds and bytes that reading such small files may take at most.
MOST_SECONDS, MOST_BYTES = 30, 6 << 30
QUICK = ("label.method=ellipse", "crf=false", "workers=0")
PHOTOS = ("a.jpg", "a.png", "a.gif", "a.bmp", "a.tif", "a.webp", "a.avif", "a.mpo", "a.dds", "a.ppm", "a.ico")


# Kinds of files, those that are read fastest and changed most often first.
KINDS = (*["data_set"] * 12, *["photo"] * 4, *["run_folder"] * 2, "checkpoint", "convert_folder", "options")


class Find(Exception):
    """Something that must not be: a traceback from the command, or an exit status that says nothing."""


def command(*words: str) -> int:
    """Run a command as users do; its exit status. Whatever is no error of boxseg is raised."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        status = cli.execute([*words, "--quiet"])
    if status not in (0, 1, 2) or (status == 1 and words[0] != "doctor"):
        raise Find(f"{' '.join(words)} ended with {status}: {told.getvalue()[-500:]}")
    return status


class Fuzzer:
    """Valid files of every kind, made once, and a folder to spoil copies in."""

    def __init__(self, home: Path) -> None:
        self.valid, self.work = home / "valid", home / "work"
        for name, make in MAKERS.items():
            make(self.valid / name)
        for place, name in enumerate(PHOTOS):
            if name.endswith(".avif") and not features.check("avif"):
                continue
            photo(self.valid / "photos" / name, place)
        data, run = self.valid / "coco", self.valid / "run"
        assert command("label", f"data={data}", f"out={run}", *QUICK) == 0
        assert command("convert", str(run), f"out={self.valid / 'converted'}", "format=voc") == 0
        small = load_file(shipped_weights())
        with safe_open(shipped_weights(), "pt") as opened:
            self.header = opened.metadata()
        save_file(small, self.valid / "network.safetensors", self.header)

    def one(self, seed: int, kind: str = "any") -> str:
        """Try one seed, of one of KINDS or any; returns what file it changed."""
        chance = random.Random(seed)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        chosen = chance.choice(KINDS) if kind == "any" else kind
        work: Callable[[random.Random], str] = getattr(self, f"_{chosen}")
        return work(chance)

    def _spoil(self, file: Path, chance: random.Random) -> None:
        file.write_bytes(change_file(file.read_bytes(), file.suffix, chance))

    def _data_set(self, chance: random.Random) -> str:
        name = chance.choice(list(MAKERS))
        root = shutil.copytree(self.valid / name, self.work / name)
        for file in chance.sample(
            ANNOTATIONS[name], k=min(len(ANNOTATIONS[name]), chance.choice((1, 1, 1, 2)))
        ):
            self._spoil(root / file, chance)
        if chance.random() < 0.15:
            command("doctor", f"data={root}")
            command("label", f"data={root}", f"out={self.work / 'run'}", *QUICK)
        else:
            read(root)
        return name

    def _photo(self, chance: random.Random) -> str:
        source = chance.choice(sorted((self.valid / "photos").iterdir()))
        file = Path(shutil.copy(source, self.work))
        self._spoil(file, chance)
        for work in (read_header, read_image):
            with contextlib.suppress(BoxsegError):
                work(file)
        return source.suffix

    def _run_folder(self, chance: random.Random) -> str:
        run = shutil.copytree(self.valid / "run", self.work / "run")
        files = sorted(path for path in run.rglob("*") if path.is_file() and path.name[0] != ".")
        few = sorted(path for path in run.iterdir() if path.is_file() and path.name[0] != ".")
        self._spoil(chance.choice(files if chance.random() < 0.5 else few), chance)
        data = self.valid / "coco"
        command("report", str(run), f"data={data}")
        command(
            "convert", str(run), f"out={self.work / 'out'}", f"format={chance.choice(('coco', 'yolo-seg'))}"
        )
        command("evaluate", f"labels={run}", f"data={data}", f"out={self.work / 'scores'}")
        command("label", f"data={data}", f"out={run}", *QUICK)
        return "run folder"

    def _convert_folder(self, chance: random.Random) -> str:
        out = shutil.copytree(self.valid / "converted", self.work / "out")
        self._spoil(out / "convert.yaml", chance)
        command("convert", str(self.valid / "run"), f"out={out}", "format=voc", "overwrite=true")
        return "convert.yaml"

    def _options(self, chance: random.Random) -> str:
        file = Path(shutil.copy(self.valid / "run" / "config.yaml", self.work / "options.yaml"))
        self._spoil(file, chance)
        command("label", "-c", str(file), f"out={self.work / 'run'}", "dry_run=true")
        command("convert-config", str(file), f"out={self.work / 'ours.yaml'}")
        return "options"

    def _checkpoint(self, chance: random.Random) -> str:
        file = self.work / "network.safetensors"
        source = self.valid / "network.safetensors"
        content = source.read_bytes()
        length = int.from_bytes(content[:8], "little")
        head = content[8 : 8 + length]
        how = chance.random()
        if how < 0.4:  # what boxseg wrote into the header
            said = change_json(self.header["boxseg"].encode(), chance).decode(errors="replace")
            save_file({"a": load_file(source)["backbone.order"]}, file, {"boxseg": said})
        elif how < 0.7:
            head = change_json(head, chance)
            file.write_bytes(len(head).to_bytes(8, "little") + head + content[8 + length :])
        else:
            file.write_bytes(change_file(content[: 8 + length], "", chance) + content[8 + length :])
        for kind in (None, "mask-network", "segmenter"):
            with contextlib.suppress(BoxsegError):
                checkpoint.load(file, kind)
        for words in (("predict", f"images={self.valid / 'photos'}"), ("label", f"data={self.valid / 'coco'}")):
            command(*words, f"checkpoint={file}", f"out={self.work / words[0]}", "dry_run=true")
        return "checkpoint"


def read(root: Path) -> None:
    """All that reading a data set can compute of it."""
    try:
        dataset = formats.load(Data(root=root))
        formats.inspect(dataset)
    except BoxsegError:
        return
    for sample in dataset.samples:
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
        assert np.isfinite(sample.boxes).all()
        for reader in (sample.ground_truth, sample.ignored):
            with contextlib.suppress(BoxsegError):
                assert reader is None or reader().shape == (sample.height, sample.width)
        for instance in sample.instances or ():
            with contextlib.suppress(*UNREADABLE_REGION):
                encode_region(instance.region, sample.width, sample.height)


class TooLong(Exception):
    """A seed takes too much time."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Bounds of time and memory; only the command line sets them, as they are of the whole process."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    signal.signal(signal.SIGALRM, stop)
    yield


def main() -> int:
    """Fuzz for a time, and print each kind of find once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--kind", choices=("any", *dict.fromkeys(KINDS)), default="any", help="of files")
    given = parser.parse_args()
    finds: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as home, limited():
        fuzzer = Fuzzer(Path(home))
        if given.seed is not None:
            print(fuzzer.one(given.seed, given.kind))
            return 0
        seed, end = given.first, time.monotonic() + given.seconds
        while time.monotonic() < end:
            try:
                signal.alarm(MOST_SECONDS)
                tried[fuzzer.one(seed, given.kind)] += 1
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)
                own = next((line for line in reversed(last) if "/boxseg/" in line.filename), last[-1])
                place = f"{type(error).__name__} in {Path(own.filename).name}:{own.lineno} {own.name}"
                finds[place] += 1
                if finds[place] == 1:
                    print(f"seed {seed}: {place}: {str(error)[:300]!r}", flush=True)
            finally:
                signal.alarm(0)
            seed += 1
    print(f"{seed - given.first} seeds from {given.first}: {dict(sorted(tried.items()))}")
    print(f"{sum(finds.values())} finds of {len(finds)} kinds: {dict(finds.most_common())}")
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
