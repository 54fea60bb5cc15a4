"""How a data set was read, and why, in words: what `doctor` shows."""

from __future__ import annotations

from collections.abc import Iterator

from boxseg.config import Data
from boxseg.dataset import BoxDataset, Decision
from boxseg.formats.listing import Listing
from boxseg.formats.sample_counts import box_counts, truth_flags, truth_is_outlines
from boxseg.wording import counted_of

_SHOWN = 6  # names of classes


def decisions_on(dataset: BoxDataset, data: Data, listing: Listing, sign: str) -> tuple[Decision, ...]:
    """What was decided about a data set as a whole.

    Args:
        dataset: What was read.
        data: What was asked for.
        listing: What its reader said.
        sign: How its format is known.
    """
    return tuple(_decisions(dataset, data, listing, sign))


def _decisions(dataset: BoxDataset, data: Data, listing: Listing, sign: str) -> Iterator[Decision]:
    yield Decision(about="format", decided=dataset.format, why=sign)
    if dataset.annotations is not None:
        why = f"data.annotations={data.annotations}" if data.annotations else f"the file of split {data.split}"
        inside = dataset.annotations.is_relative_to(dataset.root)
        file = dataset.annotations.relative_to(dataset.root) if inside else dataset.annotations
        yield Decision(about="annotations", decided=str(file), why=why)
    own = dataset.choice.own if dataset.choice else dataset.classes
    more = " …" if len(own) > _SHOWN else ""
    decided = f"{len(own)}: {', '.join(own[:_SHOWN])}{more}"
    yield Decision(about="class list", decided=decided, why=listing.classes_from)
    yield from _choice(dataset, data)
    yield _ground_truth(dataset, data)
    empty = int((box_counts(dataset.samples) == 0).sum())
    if empty:
        of = "the chosen classes" if dataset.choice else "the classes"
        why = f"they show none of {of}; the trainings on boxes leave them out"
        yield Decision(about="images without a box", decided=f"{empty} kept, as background", why=why)


def _choice(dataset: BoxDataset, data: Data) -> Iterator[Decision]:
    choice = dataset.choice
    if choice is None:
        return
    if data.merge:
        merged = ", ".join(f"{name} → {target}" for name, target in data.merge.items())
        yield Decision(about="merged classes", decided=merged, why="data.merge")
    if data.classes:
        left_out = [name for name, label in zip(choice.own, choice.labels, strict=True) if not label]
        decided = f"{', '.join(dataset.classes)}, in this order"
        yield Decision(about="chosen classes", decided=decided, why="data.classes")
        why = (
            f"data.classes leaves out {counted_of(len(left_out), len(choice.own), 'class')}, and "
            f"{counted_of(choice.boxes_left_out, sum(choice.boxes), 'box')}"
        )
        yield Decision(about="other classes", decided="background", why=why)


def _ground_truth(dataset: BoxDataset, data: Data) -> Decision:
    count = int(truth_flags(dataset.samples).sum())
    if not count:
        why = "no masks, and no outlines that differ from their boxes; data.masks=DIR names masks ID.png"
        return Decision(about="ground truth", decided="none", why=why)
    decided = f"for {counted_of(count, len(dataset), 'image')}"
    if data.masks is not None:
        why = f"masks ID.png in {data.masks} (data.masks)"
    elif truth_is_outlines(dataset.samples):
        why = "the outlines (polygons, masks) of all their objects"
    else:
        why = "the masks of the data set"
    return Decision(about="ground truth", decided=decided, why=why)
