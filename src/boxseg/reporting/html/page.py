"""What the report shows, and the page made of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from boxseg import __version__
from boxseg.atomic import atomic_path
from boxseg.palette import picture_palette
from boxseg.reporting.html.charts import HEIGHT, WIDTH, Curve, MatrixChart
from boxseg.tables import Table, cell_text

# The parts of the page's script, in templates/gallery/. Joined in this order they are one function.
SCRIPT = ("start", "pictures", "cards", "corrections", "detail", "tools")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A number at the top of the page.

    Attributes:
        value: A share, 0..1.
        label: What it is.
        note: More of it: the split, or what is among it.
        figure: What is printed in place of the percentage.
    """

    value: float
    label: str
    note: str = ""
    figure: str = ""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A picture that can be shown over a photo.

    Attributes:
        key: `photo` or `boxes`, otherwise a key of `GalleryPhoto.pictures`.
        short: The name in a few letters, for a narrow button.
        help: What it shows.
    """

    key: str
    name: str
    short: str
    help: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the page says of the mask of one box.

    Attributes:
        score: How sure the mask is, 0..1.
        source: What made it: `network`, `fallback`, or the name of another method.
        reasons: What speaks against it, in a word or two each; none if it need not be looked at.
        filled: Share of its box that it fills.
        outline: The data of an SVG path, in pixels of the photo.
    """

    score: float
    source: str
    reasons: tuple[str, ...]
    filled: float
    outline: str

    def summary(self) -> dict[str, Any]:
        """For the page's script, as JSON types."""
        return {
            "score": round(self.score, 4),
            "reason": ", ".join(self.reasons),
            "note": f"score {self.score:.2f}, fills {100 * self.filled:.0f} % of its box, by {self.source}",
            "outline": self.outline,
        }


@dataclass(frozen=True, kw_only=True)
class GalleryPhoto:
    """A photo of the gallery.

    Attributes:
        size: Width and height, pixels.
        boxes: x1, y1, x2, y2 in pixels and class, of each.
        classes: Classes 1..L of its boxes and its ground truth.
        agreement: Share of the pixels on which the labels agree, in the photo and inside its boxes.
        iou: By layer: mean IoU under "mean", and that of every class.
        pictures: By layer: an image as a data address, the photo itself as `photo`.
        originals: By layer: an image file beside the page.
        marks: Of the mask of each box, in their order; None where the photo has no masks.
    """

    id: str
    split: str
    size: tuple[int, int]
    boxes: Sequence[tuple[float, float, float, float, int]]
    classes: Sequence[int]
    agreement: tuple[float, float] | None
    iou: Mapping[str, Mapping[str, float]]
    pictures: Mapping[str, str]
    originals: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[Mark] | None = None

    @property
    def doubtful(self) -> int:
        """How many of its masks are worth a look."""
        return sum(bool(mark.reasons) for mark in self.marks or ())

    @property
    def doubt(self) -> tuple[int, float] | None:
        """What photos are ordered by, falling, to see those first whose masks need a look the most.

        The number of masks worth a look; among equal numbers 1 less the score of the worst, which is the lowest
        of these or, where none is worth a look, of all. None for a photo without masks.
        """
        scores = [mark.score for mark in self.marks or () if mark.reasons or not self.doubtful]
        return (self.doubtful, 1 - min(scores)) if scores else None

    @property
    def badge(self) -> str:
        """How many of its masks to look at, in words; empty where there is none."""
        every = len(self.marks or ())
        masks = "mask" if every == 1 else "masks"
        return f"{self.doubtful} of {every} {masks} to look at" if self.doubtful else ""

    def summary(self) -> dict[str, Any]:
        """All but the pictures, for sorting and filtering, as JSON types."""
        return {
            "id": self.id,
            "split": self.split,
            "size": self.size,
            "boxes": [[round(edge, 1) for edge in box[:4]] + [box[4]] for box in self.boxes],
            "classes": list(self.classes),
            "agreement": self.agreement,
            "iou": {key: {name: round(iou, 4) for name, iou in part.items()} for key, part in self.iou.items()},
            "marks": None if self.marks is None else [mark.summary() for mark in self.marks],
            "badge": self.badge,
        }


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Photos to look at.

    Attributes:
        classes: Names of classes 1..L.
        layers: What can be shown, in the order of the buttons.
        counts: How many photos of each split are shown, of how many, in words.
    """

    classes: tuple[str, ...]
    layers: tuple[Layer, ...]
    photos: tuple[GalleryPhoto, ...]
    counts: str

    @property
    def marked(self) -> bool:
        """Whether a photo has masks of its boxes."""
        return any(photo.marks is not None for photo in self.photos)

    def index(self) -> dict[str, Any]:
        """What the page's script needs to know of all photos, as JSON types."""
        names = ("background", *self.classes)
        colours = [
            f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in picture_palette(len(names)).tolist()
        ]
        return {
            "classes": [{"name": name, "colour": colour} for name, colour in zip(names, colours, strict=True)],
            "layers": [vars(layer) for layer in self.layers],
            "photos": [
                {**photo.summary(), "look": place}
                for photo, place in zip(self.photos, self.look_places(), strict=True)
            ],
        }

    def look_places(self) -> list[int | None]:
        """The place of each photo, from 0, where they are ordered by `doubt`; None for one without masks."""
        doubts = {number: doubt for number, photo in enumerate(self.photos) if (doubt := photo.doubt)}
        order = sorted(doubts, key=lambda number: doubts[number], reverse=True)  # equal ones as they are
        places = {number: place for place, number in enumerate(order)}
        return [places.get(number) for number in range(len(self.photos))]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The other pages of a report, by what links to them are called: their addresses."""

    number: int
    count: int
    links: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The report of the run `title`, or a further page of it.

    Attributes:
        facts: What was run on what: names and values.
        missing: What the run does not hold, and how to get it.
        headlines: The numbers that matter most.
        tables: Scores; floats are drawn with bars.
        masks: How many masks to look at, by size of the box.
        rule: Which masks these are, in words.
        details: Titles and texts at the foot: options, versions.
        neighbours: The other pages; None where this is the only one.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    headlines: tuple[Headline, ...] = ()
    tables: tuple[Table, ...] = ()
    masks: Table | None = None
    rule: str = ""
    curves: tuple[Curve, ...] = ()
    matrices: tuple[MatrixChart, ...] = ()
    gallery: Gallery | None = None
    details: tuple[tuple[str, str], ...] = ()
    neighbours: Neighbours | None = None


def write_page(path: Path, page: Page) -> int:
    """Write the page as one HTML file, whole or not at all; returns its bytes.

    Everything from data, such as class and file names, is escaped. The page allows only its own script, and no
    requests but for images beside it, if it has any.
    """
    script = "".join(_asset(f"gallery/{part}.js") for part in SCRIPT)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    beside = page.gallery is not None and any(photo.originals for photo in page.gallery.photos)
    images = "data: 'self' file:" if beside else "data:"
    stream = (
        _environment()
        .get_template("page.html")
        .stream(
            page=page,
            # Our own code, not data: inserted unescaped.
            style=Markup(_asset("style.css")),
            script=Markup(script),
            policy=f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            version=__version__,
            chart={"width": WIDTH, "height": HEIGHT},
        )
    )
    with atomic_path(path) as temporary:
        stream.dump(str(temporary), encoding="utf-8", errors="backslashreplace")
        return temporary.stat().st_size


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("boxseg.reporting.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    return environment


def _asset(name: str) -> str:
    return files("boxseg.reporting.html").joinpath("templates").joinpath(name).read_text(encoding="utf-8")
