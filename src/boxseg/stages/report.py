"""The report of a run: one HTML file that opens offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxseg.atomic import remove_temporaries, remove_temporaries_of
from boxseg.formats.splits import Splits
from boxseg.inference.networks import KeptSegmenter
from boxseg.jobs import ReportJob
from boxseg.reporting import contents
from boxseg.reporting.gallery import make_gallery
from boxseg.reporting.html.page import Page, write_page
from boxseg.reporting.parts import read_parts
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import check_file
from boxseg.runs.layout import REPORT, report_originals
from boxseg.scoring.doubtful_masks import RULE
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class ReportResult(Result):
    """A report.

    Attributes:
        file: The page.
        photos: Photos in it.
        size: Bytes of the file.
        missing: What it does not show, and why.
    """

    file: Path
    photos: int
    size: int
    missing: tuple[str, ...]

    def notes(self) -> list[str]:
        """Where the page is, how large it is, and what it does not show."""
        return [
            f"Report: {self.file} ({counted(self.photos, 'photo')}, {self.size / 1e6:.1f} MB): "
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
    shown = make_gallery(parts, job.report, report_originals(file), network or parts.network())
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
        gallery=shown.gallery if shown else None,
        details=contents.details(parts),
    )
    write_page(file, page)
    photos = len(shown.gallery.photos) if shown else 0
    return ReportResult(file=file, photos=photos, size=file.stat().st_size, missing=missing)
