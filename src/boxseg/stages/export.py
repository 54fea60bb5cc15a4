"""Write a segmentation network for other programs, and check that it computes the same there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from boxseg.atomic import atomic_path
from boxseg.config import Evaluate
from boxseg.data.toy import painted_photos
from boxseg.errors import ConfigError, ExportError, did_you_mean, one_line, refusal_of
from boxseg.extras import import_extra
from boxseg.inference.export_formats import FORMATS, Compute
from boxseg.inference.multiscale import network_probabilities
from boxseg.inference.networks import Loaded, load_segmenter
from boxseg.jobs import ExportJob
from boxseg.nn.deeplab import Segmenter
from boxseg.nn.portable import PortableSegmenter
from boxseg.progress import track
from boxseg.results import Result
from boxseg.runs.folder import check_file
from boxseg.runs.layout import checkpoint_file
from boxseg.tables import Table

# Photos of the check, (batch, height, width): multiples of the stride and others, wide and tall, one and more.
SIZES = ((1, 224, 224), (2, 97, 161), (3, 64, 48), (1, 31, 200), (1, 375, 500))

# Convolutions elsewhere sum in another order. Measured: about 1e-5 apart, all labels equal.
TOLERANCE = 1e-4
LEAST_EQUAL = 0.999


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The exported network against the original, on photos of one size (batch, height, width).

    Attributes:
        difference: Largest difference of a probability.
        equal: Share of pixels with the same label.
    """

    size: tuple[int, int, int]
    difference: float
    equal: float

    @property
    def passed(self) -> bool:
        """Whether the differences are small enough; NaN is not."""
        return self.difference <= TOLERANCE and self.equal >= LEAST_EQUAL


@dataclass(frozen=True, kw_only=True)
class ExportResult(Result):
    """An exported network that computes what the original does.

    Attributes:
        file: The file.
        format: Name of its format.
        size: Bytes of the file.
        parity: Results of the check, by photo size.
        usage: A line of Python that uses it.
    """

    file: Path
    format: str
    size: int
    parity: tuple[Parity, ...]
    usage: str

    def tables(self) -> list[Table]:
        """Results of the check."""
        rows = tuple(
            (" x ".join(map(str, part.size)), f"{part.difference:.1e}", f"{100 * part.equal:.2f}")
            for part in self.parity
        )
        title = f"Check: at most {TOLERANCE:g} apart, at least {LEAST_EQUAL:.1%} of labels equal"
        columns = ("photos x height x width", "largest difference of a probability", "% of labels equal")
        return [Table(title=title, columns=columns, rows=rows)]

    def notes(self) -> list[str]:
        """Where the file is, and what goes in and out."""
        return [
            f"Exported: {self.file} ({self.format}, {self.size / 1e6:.1f} MB)",
            "  in: photos, uint8 RGB (batch, height, width, 3)",
            "  out: probabilities, float32 (batch, classes, height, width), background first",
            f"  {self.usage}",
        ]


def run(job: ExportJob) -> ExportResult:
    """Export a network; the file appears only if it passes the check."""
    name = choose_format(job)
    kind = FORMATS[name]
    out = job.out or Path(f"model{kind.suffix}")
    check_file(out, f"network{kind.suffix}")
    for package in kind.needs:
        import_extra(package, extra="onnx", purpose=f"export to {name}")
    source = checkpoint_file(job.checkpoint, "segmenter")
    if out.exists() and source.exists() and out.samefile(source):
        raise ConfigError(f"out={out} is the checkpoint itself: choose another file")
    loaded = load_segmenter(job.checkpoint, torch.device("cpu"))
    with atomic_path(out) as temporary:
        try:
            kind.write(temporary, PortableSegmenter(loaded.network), source)
        except Exception as error:
            if refused := refusal_of(error):
                raise refused from error
            if loaded.network.backbone.own_layers or isinstance(error, OSError):
                raise
            raise ExportError(
                f"torch cannot write this backbone as {name} for photos of any size "
                f"({one_line(error, 160)} …); format=safetensors works for every backbone, and `boxseg "
                "predict` takes the checkpoint itself"
            ) from error
        parity = tuple(compare(loaded, kind.open(temporary)))
        wrong = [part for part in parity if not part.passed]
        if wrong:
            raise ExportError(
                f"the {name} file does not compute what {job.checkpoint} does: probabilities differ by up to "
                f"{wrong[0].difference:.1e}, {wrong[0].equal:.1%} of labels are equal (photos of "
                f"{wrong[0].size}); expected at most {TOLERANCE:g} and at least {LEAST_EQUAL:.1%}; "
                f"{out} was not written"
            )
    usage = kind.usage.format(path=out.as_posix())
    return ExportResult(file=out, format=name, size=out.stat().st_size, parity=parity, usage=usage)


def choose_format(job: ExportJob) -> str:
    """The format given, or that of the file's ending."""
    if job.format != "auto":
        return job.format
    if job.out is None:
        raise ConfigError(f"give out=FILE, or format={'|'.join(FORMATS)}")
    by_suffix = {kind.suffix: name for name, kind in FORMATS.items()}
    suffix = job.out.suffix.lower()
    if suffix not in by_suffix:
        raise ConfigError(
            f"out={job.out}: no format has the ending {suffix or '(none)'}{did_you_mean(suffix, by_suffix)} "
            f"(there are {', '.join(by_suffix)}; or name it by format={'|'.join(FORMATS)})"
        )
    return by_suffix[suffix]


def compare(loaded: Loaded[Segmenter], exported: Compute) -> Iterator[Parity]:
    """Compare the exported network with the original on painted photos of several sizes."""
    once = Evaluate(tta=False)
    for batch, height, width in track(SIZES, "check"):
        photos = painted_photos(batch, height, width)
        there = exported(photos)
        here = np.stack([network_probabilities(loaded, torch.from_numpy(p), once).numpy() for p in photos])
        if there.shape != here.shape:
            raise ExportError(
                f"the exported network gives {there.shape} for photos {photos.shape}, expected {here.shape}"
            )
        yield Parity(
            size=(batch, height, width),
            difference=float(np.abs(there - here).max()),
            equal=float((there.argmax(1) == here.argmax(1)).mean()),
        )
