"""What the report says of a run: scores, curves and confusions, from the files that its stages left."""

from __future__ import annotations

import logging
from pathlib import Path

from boxseg.errors import DataError
from boxseg.formats.sample_counts import box_counts
from boxseg.reporting.gallery import Shown
from boxseg.reporting.html.charts import Curve, MatrixChart, confusion, training_curve
from boxseg.reporting.html.page import Headline
from boxseg.reporting.parts import Parts
from boxseg.reporting.stored import (
    PRECISIONS,
    SCORED,
    StageScores,
    evaluations,
    read_confusion,
    read_scores,
    stored_history,
)
from boxseg.runs.layout import CONFIG, FINAL, MASK_COUNTS, PAIR, VERSIONS, Y_CRF
from boxseg.scoring.box_agreement import agreement_table
from boxseg.scoring.confusion import StoredScores
from boxseg.scoring.mask_counts import MaskCounts, count_table, read_counts
from boxseg.tables import Cell, Table
from boxseg.wording import counted

log = logging.getLogger("boxseg")


def title(parts: Parts) -> str:
    """Name of the run: its folder, with the folder above if the name is short."""
    folder = parts.folder.absolute()
    short = len(folder.name) < 4 and folder.parent.name
    return f"{folder.parent.name}/{folder.name}" if short else folder.name


def facts(parts: Parts) -> tuple[tuple[str, str], ...]:
    """What was run, on what data."""
    lines = [("Made by", f"boxseg {parts.verb}"), ("Data set", str(parts.data.root))]
    for split in parts.splits:
        data = split.dataset
        boxes = int(box_counts(data.samples).sum())
        lines.append((f"Split {data.split}", f"{counted(len(data), 'photo')}, {counted(boxes, 'box')}"))
    if parts.splits:
        data = parts.splits[0].dataset
        lines += [("Format", data.format), ("Classes", str(len(data.classes)))]
    return tuple(lines)


def unscored(parts: Parts) -> list[str]:
    """Splits without ground truth, and data sets with problems."""
    lines = []
    for split in parts.splits:
        data = split.dataset
        if not data.has_ground_truth:
            lines.append(f"No ground-truth masks for split {data.split}, so nothing is scored on it.")
        if data.problems:
            lines.append(
                f"Items of split {data.split} that were left out or mended: {len(data.problems)} "
                "(boxseg doctor lists them)."
            )
    return lines


def unread(shown: Shown | None, most: int = 5) -> list[str]:
    """Photos and masks that could not be read."""
    if shown is None:
        return []
    lines = [f"Left out: {name}: {reason}" for name, reason in list(shown.skipped.items())[:most]]
    more = len(shown.skipped) - most
    return [*lines, f"… and {more} more."] if more > 0 else lines


def _split(parts: Parts, stage: str, scores: StageScores) -> str:
    """The split that a stage is scored on; labels are scored on the split they were made for."""
    return str(scores.split or (parts.data.split if stage == "label" else parts.data.val_split))


def _scored(parts: Parts) -> list[tuple[str, str, StoredScores, StageScores]]:
    """(key, split, scores under that key, all scores of the stage), in order."""
    found: list[tuple[str, str, StoredScores, StageScores]] = []
    for stage in ("label", "segment"):
        folder = parts.stages.get(stage)
        for place in [folder, *evaluations(folder)]:
            scores = read_scores(place)
            split = _split(parts, stage, scores) + (" (evaluate)" if place != folder else "")
            found += [(key, split, part, scores) for key, part in scores.parts.items()]
    return found


def headlines(parts: Parts, shown: Shown | None) -> tuple[Headline, ...]:
    """How many boxes have a mask; the whole box, the best labels, the reliable pixels, and the network."""
    # Of several scores of one kind, the run's own count, which come first.
    found = {key: (scores, split, stage) for key, split, scores, stage in reversed(_scored(parts))}
    items = _mask_headline(parts)
    network = "after_crf" if "after_crf" in found else "before_crf"
    for key, label in (
        ("whole_box", "mIoU of the boxes alone"),
        (Y_CRF, "mIoU of the labels (by CRF)"),
        (FINAL, "mIoU of the labels"),
        (network, f"mIoU of the {SCORED[network]}"),
    ):
        if key in found and (miou := found[key][0].miou) is not None:
            items.append(Headline(value=miou, label=label, note=found[key][1]))
    reliable = [(stage.reliable_fraction, split) for _, split, stage in reversed(found.values())]
    agreed = shown.agreed if shown else []
    if agreed:
        reliable.append((sum(agreed) / len(agreed), "photos shown"))
    shares = [(share, note) for share, note in reliable if share is not None][:1]
    reliable_pixels = "of the pixels are reliable: both ways to label them agree"
    items += [Headline(value=s, label=reliable_pixels, note=note) for s, note in shares]
    return tuple(items)


def _mask_headline(parts: Parts) -> list[Headline]:
    """How many boxes have a mask of their own, and how many masks to look at first."""
    counts = _mask_counts(parts)
    if counts is None or not counts["all"].boxes:
        return []
    every = counts["all"]
    made = every.boxes - every.fallback
    boxes = "box has a mask" if every.boxes == 1 else "boxes have a mask"
    notes = [f"{every.fallback:,} only the ellipse in the box"] if every.fallback else []
    notes += [f"{every.doubtful:,} to look at"] if every.doubtful else ["none to look at"]
    return [
        Headline(
            value=made / every.boxes,
            label=boxes,
            note="; ".join(notes),
            figure=f"{made:,} of {every.boxes:,}",
        )
    ]


def tables(parts: Parts) -> tuple[Table, ...]:
    """Mean scores, scores of every class, AP of single boxes, and the mask network on held-out boxes."""
    return (*_class_tables(parts), *_held_out(parts))


def _class_tables(parts: Parts) -> tuple[Table, ...]:
    found = _scored(parts)
    if not found:
        return ()
    rows: list[tuple[Cell, ...]] = []
    for key, split, scores, stage in found:
        share = stage.reliable_fraction if key == "reliable_region_only" else 1.0
        means = (scores.miou, scores.mean_accuracy, scores.pixel_accuracy)
        rows.append((SCORED[key], split, stage.images, *means, share))
    columns = ("", "split", "photos", "mIoU", "mean accuracy", "pixel accuracy", "pixels scored")
    heads = [f"{SCORED[key].removesuffix(' (baseline)')}, {split}" for key, split, _, _ in found]
    # The classes of labels and network are the same, unless the folder was mixed from several runs.
    names = list(dict.fromkeys(name for _, _, scores, _ in found for name in scores.iou))
    by_class = [(name, *(scores.iou.get(name) for _, _, scores, _ in found)) for name in names]
    return (
        Table(title="All classes", columns=columns, rows=tuple(rows)),
        Table(title="IoU of every class", columns=("class", *heads), rows=tuple(by_class)),
        *_precision(parts),
    )


def _precision(parts: Parts) -> list[Table]:
    """COCO's AP and the mean IoU of masks of single boxes, where they were asked for."""
    instances = read_scores(parts.stages.get("label")).instances
    if not instances:
        return []
    rows = tuple(
        (SCORED.get(name, name), *(scores.get(key) for key in PRECISIONS)) for name, scores in instances.items()
    )
    return [Table(title="Masks of single boxes", columns=("masks", *PRECISIONS.values()), rows=rows)]


def _held_out(parts: Parts) -> list[Table]:
    """What training the mask network gained on held-out boxes, as `adapt` wrote it."""
    rows = read_scores(parts.stages.get("adapt")).agreements
    return [agreement_table("Masks on held-out boxes, as far as boxes can tell", rows)] if rows else []


def mask_table(parts: Parts) -> Table | None:
    """How many masks to look at, by size of the box."""
    counts = _mask_counts(parts)
    return count_table("Masks to look at", counts) if counts else None


def _mask_counts(parts: Parts) -> dict[str, MaskCounts] | None:
    """What `label` counted; None if it did not, or the file is damaged."""
    folder = parts.stages.get("label")
    if folder is None or not (folder / MASK_COUNTS).is_file():
        return None
    try:
        return read_counts(folder / MASK_COUNTS)
    except DataError as error:
        log.warning(f"report: left out: {error}")
        return None


def curves(parts: Parts) -> tuple[Curve, ...]:
    """Training curves of the networks."""
    titles = {
        "adapt": "Mask network",
        "classify": "Stage 1: box classifier",
        "segment": "Stage 3: segmentation network",
    }
    drawn = [training_curve(titles[s], stored_history(parts.stages[s])) for s in titles if s in parts.stages]
    return tuple(curve for curve in drawn if curve is not None)


def matrices(parts: Parts, shown: Shown | None) -> tuple[MatrixChart, ...]:
    """Confusions of labels and network: as the stages stored them, else of the photos shown."""
    found: list[MatrixChart | None] = []
    for stage, keys in (("label", (*PAIR, FINAL)), ("segment", ("before_crf", "after_crf"))):
        folder = parts.stages.get(stage)
        names, counts = read_confusion(folder)
        split = _split(parts, stage, read_scores(folder))
        found += [
            confusion(key, f"{SCORED[key]}, {split}", names, counts[key]) for key in keys if key in counts
        ]
        if counts or shown is None:
            continue
        # Earlier versions stored none.
        layers = keys if stage == "label" else ("prediction",)
        found += [
            confusion(key, f"{SCORED.get(key, key)}, photos of {name} shown here", matrix.names, matrix.counts)
            for (name, key), matrix in shown.confusion.items()
            if key in layers and name == split
        ]
    return tuple(matrix for matrix in found if matrix is not None)


def details(parts: Parts) -> tuple[tuple[str, str], ...]:
    """Options and versions, as the run recorded them."""
    files = (("Options", CONFIG), ("Versions", VERSIONS))
    texts = [(f"{head}: {name}", parts.folder / name) for head, name in files]
    return tuple((head, _text(path)) for head, path in texts if path.is_file())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="backslashreplace")
