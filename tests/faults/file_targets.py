"""What reads files that others may have changed: a target for each kind of file, for a fuzzer to call.

A target is a valid file in a small folder, and the functions that read it. They get other content for that
file, and may raise errors of boxseg only.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, features

from boxseg.config import Data
from boxseg.errors import BoxsegError
from boxseg.formats.images import decode, read_header, read_image
from boxseg.formats.splits import Splits
from boxseg.inference.networks import load_classifier, load_segmenter
from boxseg.jobs import ConvertConfigJob, ConvertJob, LabelJob
from boxseg.labelling.class_map import read_class_map
from boxseg.nn import checkpoint
from boxseg.nn.weights.files import read_state
from boxseg.options import build_job, flatten, load_mapping, read_yaml
from boxseg.reporting import contents
from boxseg.reporting.html.charts import training_curve
from boxseg.reporting.html.page import Page, write_page
from boxseg.reporting.parts import read_parts
from boxseg.reporting.stored import stored_history
from boxseg.runs.folder import check_job
from boxseg.runs.label_records import record_classes, record_photos
from boxseg.runs.layout import LAST
from boxseg.runs.provenance import check_origins, origins_of, standing
from boxseg.runs.stage_files import label_files
from boxseg.scoring.instance_scores import score_instances
from boxseg.scoring.mask_counts import count_masks
from boxseg.shards.home import FileHome
from boxseg.stages import convert, convert_config
from boxseg.training.checkpoints import last_checkpoint
from fuzz_files import PHOTOS, QUICK, command, read
from label_results import piece_path
from mutations import change_file, change_safetensors, change_saved
from small_data_sets import ANNOTATIONS, MAKERS, photo

KINDS = ("readers", "run_folders", "checkpoints")
# Options of BANA's code.
BANA = """
DATA: {ROOT: /data, MODE: train, AUG: False, BATCH_SIZE: 10, CROP_SIZE: 321}
MODEL: {LOSS: CE_RET, TEMP: 20, DCRF: [10, 3, 1, 67, 3, 4], LAMBDA: 0.2, GAMMA: 5}
SOLVER: {LR: 2.5e-4, MAX_ITER: 20000, POWER: 0.9, GAMMA: 0.1}
"""


@dataclass(frozen=True)
class Target:
    """A file, and what reads it.

    Attributes:
        file: The file, as it is valid.
        reads: Functions that read it in all ways; each may raise an error of boxseg.
        change: Makes another content from a content of such a file.
    """

    file: Path
    reads: tuple[Callable[[], object], ...]
    change: Callable[[bytes, str, random.Random], bytes] = change_file


class Targets:
    """All targets of a kind. An input is the number of a target in one byte, and the content of its file."""

    def __init__(self, kind: str, home: Path) -> None:
        makers = {"readers": _readers, "run_folders": _run_folders, "checkpoints": _checkpoints}
        self.all = tuple(makers[kind](home))
        self._valid = [target.file.read_bytes() for target in self.all]

    def seeds(self) -> list[bytes]:
        """The valid content of every target."""
        return [bytes([number]) + content for number, content in enumerate(self._valid)]

    def one(self, data: bytes) -> None:
        """Let a target read an input; whatever is no error of boxseg is raised."""
        number = (data[0] if data else 0) % len(self.all)
        target = self.all[number]
        try:
            target.file.write_bytes(data[1:])
            for work in target.reads:
                with contextlib.suppress(BoxsegError):
                    work()
        finally:
            target.file.write_bytes(self._valid[number])

    def change(self, data: bytes, seed: int) -> bytes:
        """Another input for the same target, changed in what it says; by bytes if it says nothing."""
        chance = random.Random(seed)
        target = self.all[(data[0] if data else 0) % len(self.all)]
        suffix = target.file.suffix
        try:
            changed = target.change(data[1:], suffix, chance)
        except Exception:  # it was no JSON, XML or the like any more
            changed = change_file(data[1:], "", chance)
        return data[:1] + changed


def _readers(home: Path) -> Iterator[Target]:
    """Annotations of every format, results, and photos."""
    for name, make in MAKERS.items():
        make(home / name)
        for file in ANNOTATIONS[name]:
            yield Target(home / name / file, (lambda root=home / name: read(root),))
    yield Target(_results(home), (lambda: _score(home / "coco", home / "results.json"),))
    for place, name in enumerate(PHOTOS):
        if name.endswith(".avif") and not features.check("avif"):
            continue
        photo(home / "photos" / name, place)
        yield _photo_target(home / "photos" / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("turned.jpg", "turned.png"):
        photo(home / "photos" / name, 5, exif=exif)
        yield _photo_target(home / "photos" / name)
    for name, mode in (("palette.png", "P"), ("deep.png", "I;16"), ("clear.png", "LA")):
        grey = Image.open(home / "photos" / "a.png").convert("L")
        grey.convert(mode).save(home / "photos" / name)
        yield _photo_target(home / "photos" / name)


def _photo_target(file: Path) -> Target:
    return Target(file, (lambda: read_header(file), lambda: read_image(file), lambda: decode(file)))


def _results(home: Path) -> Path:
    """COCO results for the data set home/coco."""
    run = home / "results-run"
    assert command("label", f"data={home / 'coco'}", f"out={run}", *QUICK) == 0
    return Path(shutil.copy(run / "masks.json", home / "results.json"))


def _score(root: Path, file: Path) -> None:
    dataset = Splits().load(Data(root=root))
    score_instances({"file": file}, dataset, dataset.samples)


def _run_folders(home: Path) -> Iterator[Target]:
    """Files of a folder of labels, of predictions and of a data set made from labels; options."""
    data, run, made = home / "coco", home / "run", home / "made"
    MAKERS["coco"](data)
    assert command("label", f"data={data}", f"out={run}", *QUICK, "label.formats=[voc]") == 0
    job = build_job("label", flatten(load_mapping(run / "config.yaml")))
    assert isinstance(job, LabelJob)
    splits = Splits()
    dataset = splits.load(job.data)
    parts = read_parts(run, None, splits)

    def options() -> None:
        file = run / "config.yaml"
        read_yaml(str(file), LabelJob)
        build_job("label", flatten(load_mapping(file)))

    def checked() -> None:
        check_job(job, inputs={}, origins=origins_of(dataset))

    def page() -> None:
        shown = {"tables": contents.tables(parts), "headlines": contents.headlines(parts, None)}
        drawn = {"masks": contents.mask_table(parts), "matrices": contents.matrices(parts, None)}
        curve = training_curve("", stored_history(run))
        curves = (curve,) if curve else ()
        write_page(
            home / "page.html", Page(title="", **shown, **drawn, curves=curves, details=contents.details(parts))
        )

    def converted() -> None:
        convert.run(ConvertJob(source=run, out=made, format="coco"))

    def masks() -> None:
        shutil.rmtree(home / "again", ignore_errors=True)
        count_masks(FileHome(run), dataset.samples)
        convert.run(ConvertJob(source=run, out=home / "again", format="yolo-seg", photos="link", simplify=1))

    def provenance() -> None:
        standing(run, dataset, label_files(FileHome(run), dataset.samples, pair=False))
        check_origins(run, origins_of(dataset))

    converted()
    (run / "history.csv").write_text("iteration,loss,lr\n1,2.5,0.1\n2,2.25,0.05\n")
    yield Target(run / "config.yaml", (options, checked, lambda: read_parts(run, None, splits), page))
    yield Target(run / "versions.json", (checked, page))
    for name in ("metrics.json", "confusion.json", "mask-counts.json", "history.csv"):
        yield Target(run / name, (page,))
    yield Target(run / "provenance.jsonl", (provenance,), _change_records)
    yield Target(run / "labelmap.json", (converted,))
    yield Target(piece_path(run, dataset.samples[0]), (masks,))
    yield Target(run / "labels" / "a.png", (masks, converted))
    yield Target(made / "convert.yaml", (converted,))
    yield from _loose_files(home, dataset.classes, run)


def _loose_files(home: Path, classes: tuple[str, ...], run: Path) -> Iterator[Target]:
    """Predictions without a data set, a map of classes, and options of BANA's code."""
    loose, samples = home / "loose", Splits().load(Data(root=home / "coco")).samples
    shutil.copytree(run / "labels", loose / "labels")
    record_classes(loose, classes)
    record_photos(loose, samples)
    out = home / "from-loose"

    def converted() -> None:
        shutil.rmtree(out, ignore_errors=True)
        convert.run(ConvertJob(source=loose, out=out, format="voc", photos="link"))

    for name in ("labelmap.json", "photos.json"):
        yield Target(loose / name, (converted,))
    names, bana = home / "class_map.yaml", home / "bana.yaml"
    names.write_text("cat: animal\ndog: animal\n")
    bana.write_text(BANA)
    yield Target(names, (lambda: read_class_map(str(names)),))
    yield Target(
        bana, (lambda: convert_config.run(ConvertConfigJob(file=bana, out=home / "ours.yaml", overwrite=True)),)
    )


def _change_records(content: bytes, suffix: str, chance: random.Random) -> bytes:
    """Lines of JSON with one of them changed, or any bytes."""
    lines = content.splitlines() or [b"{}"]
    place = chance.randrange(len(lines))
    lines[place] = change_file(lines[place], chance.choice((".json", ".json", "")), chance)
    return b"\n".join(lines) + b"\n"


def _checkpoints(home: Path) -> Iterator[Target]:
    """Checkpoints of boxseg, of Lightning, and weights of other programs; with few tensors, to be read fast."""
    home.mkdir(parents=True, exist_ok=True)
    for kind in checkpoint.KINDS:
        file = home / f"{kind}.safetensors"
        meta = {"kind": kind, "classes": ["cat", "dog"], "options": {}, "palette": [[0, 0, 0]] * 3}
        meta |= {"model": {"backbone": "vgg16", "stride": 8}, "backbone": {}}
        checkpoint.save(file, {"a.weight": torch.ones(2, 3), "b": torch.zeros(1, dtype=torch.int64)}, meta)
        yield Target(file, (lambda file=file: _load(file),), change_safetensors)
    last = home / "run" / LAST
    last.parent.mkdir(parents=True)
    state = {"global_step": 7, "epoch": 1, "boxseg": {"stage": "segment"}, "state_dict": {"a": torch.ones(2)}}
    torch.save(state, last)
    yield Target(last, (lambda: last_checkpoint(home / "run", "segment"),), change_saved)
    weights = home / "weights.pth"
    torch.save({"state_dict": {"module.a.weight": torch.ones(2, 3)}, "epoch": 1}, weights)
    yield Target(weights, (lambda: read_state(weights),), change_saved)
    old = home / "old.pth"
    torch.save({"model": {"a.weight": torch.ones(2, 3)}}, old, _use_new_zipfile_serialization=False)
    yield Target(old, (lambda: read_state(old),))
    own = home / "own.safetensors"
    shutil.copy(home / "segmenter.safetensors", own)
    yield Target(own, (lambda: read_state(own),), change_safetensors)


def _load(file: Path) -> None:
    """A checkpoint's content, and what it says of its network."""
    for kind in (None, *checkpoint.KINDS):
        with contextlib.suppress(BoxsegError):
            checkpoint.load(file, kind)
    # Networks are built without memory for their weights, which the file does not hold.
    for load in (load_classifier, load_segmenter):
        with contextlib.suppress(BoxsegError), torch.device("meta"):
            load(file, torch.device("cpu"))
