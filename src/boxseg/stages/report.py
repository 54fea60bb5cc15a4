"""The report of a run: one HTML file that opens offline, and pages of further photos if asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from boxseg.atomic import remove_temporaries, remove_temporaries_of
from boxseg.formats.splits import Splits
from boxseg.inference.networks import KeptSegmenter
from boxseg.jobs import ReportJob
from boxseg.reporting import contents
from boxseg.reporting.gallery import make_galleries
from boxseg.reporting.html.page import Neighbours, Page, write_page
from boxseg.reporting.parts import read_parts
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import check_file
from boxseg.runs.layout import REPORT, report_originals, report_page
from boxseg.scoring.doubtful_masks import RULE
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class ReportResult(Result):
    """A report.

    Attributes:
        file: The page.
        photos: Photos in it.
        size: Bytes of its files.
        missing: What it does not show, and why.
        pages: Of how many files it is.
    """

    file: Path
    photos: int
    size: int
    missing: tuple[str, ...]
    pages: int = 1

    def notes(self) -> list[str]:
        """Where the page is, how large it is, and what it does not show."""
        pages = f" on {self.pages} pages" if self.pages > 1 else ""
        return [
            f"Report: {self.file} ({counted(self.photos, 'photo')}{pages}, {self.size / 1e6:.1f} MB): "
            "open it in a browser",
            *(f"  {line}" for line in self.missing),
        ]


def run(job: ReportJob, splits: Splits | None = None, network: KeptSegmenter | None = None) -> ReportResult:
    """Write the report of a run, which may be unfinished."""
    file = job.out or job.run / REPORT
    check_file(file, REPORT)
    remove_temporaries_of(file)
    remove_temporaries(report_originals(file).glob(".*"))
    parts = read_parts(job.run, job.data, splits or IndexedSplits(job.run))
    originals = report_originals(file)
    galleries = make_galleries(parts, job.report, originals, network or parts.network())
    shown = first = next(galleries, None)
    photos, size = len(first.gallery.photos) if first else 0, 0
    for number, shown in enumerate(galleries, start=2):
        further = Page(
            title=contents.title(parts),
            gallery=shown.gallery,
            neighbours=_neighbours(file, number, shown.pages),
        )
        size += write_page(report_page(file, number), further)
        photos += len(shown.gallery.photos)
    pages = shown.pages if shown else 1
    _remove_further(file, pages)
    missing = (*parts.missing, *contents.unscored(parts), *contents.unread(shown))
    page = Page(
        title=contents.title(parts),
        facts=contents.facts(parts),
        missing=missing,
        headlines=contents.headlines(parts, shown),
        tables=contents.tables(parts),
        masks=contents.mask_table(parts),
        rule=RULE,
        curves=contents.curves(parts),
        matrices=contents.matrices(parts, shown),
        gallery=first.gallery if first and first.gallery.photos else None,
        details=contents.details(parts),
        neighbours=_neighbours(file, 1, pages),
    )
    size += write_page(file, page)
    return ReportResult(file=file, photos=photos, size=size, missing=missing, pages=pages)


def _neighbours(file: Path, number: int, count: int) -> Neighbours | None:
    """The pages before and behind one, and the first and last; None for an only page."""
    if count == 1:
        return None
    wanted = {"first": 1, "previous": number - 1, "next": number + 1, "last": count}
    here = report_page(file, number).parent
    links = {
        name: quote(Path(os.path.relpath(report_page(file, other), here)).as_posix()) + "#photos"
        for name, other in wanted.items()
        if 1 <= other <= count and other != number
    }
    return Neighbours(number=number, count=count, links=links)


def _remove_further(file: Path, count: int) -> None:
    """Remove the pages of an earlier report that had more of them."""
    numbers = (found for found in report_originals(file).glob("page-*.html") if found.stem[5:].isdigit())
    for page in list(numbers):
        if int(page.stem[5:]) > count or page.stem != report_page(file, int(page.stem[5:])).stem:
            page.unlink()
