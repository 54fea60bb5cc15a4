"""Several entries of one photo in a data set: joined, as each may list objects that another lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from boxseg.dataset import Instance, Problem
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto
from boxseg.formats.regions import painter


def join_entries(photos: Sequence[AnnotatedPhoto]) -> Iterator[AnnotatedPhoto | Problem]:
    """Each photo once, at its first place, with the objects of all its entries."""
    entries: defaultdict[tuple[str, str], list[AnnotatedPhoto]] = defaultdict(list)
    for photo in photos:
        entries[photo.id, str(photo.image)].append(photo)
    for first, *others in entries.values():
        if not others:
            yield first
            continue
        sizes = {photo.stated_size for photo in (first, *others)} - {None}
        problem = Problem.skipped(first.source, "several entries of one photo", first.image.name)
        if len(sizes) > 1:
            stated = " and ".join("{} x {}".format(*size) for size in sorted(filter(None, sizes)))
            yield replace(problem, detail=f"{first.image.name}, of sizes {stated}")
            continue
        yield replace(problem, action="objects joined")
        for other in others:
            first = _joined(first, other)
        yield first


def _joined(first: AnnotatedPhoto, other: AnnotatedPhoto) -> AnnotatedPhoto:
    new = new_boxes(first.boxes, other.boxes)
    photo = replace(
        first,
        boxes=[*first.boxes, *(box for box, is_new in zip(other.boxes, new, strict=True) if is_new)],
        left_out=[*first.left_out, *other.left_out],
        stated_size=first.stated_size or other.stated_size,
        more_image_ids=(*first.more_image_ids, *([] if other.image_id is None else [other.image_id])),
        unusable=first.unusable or other.unusable,
        ground_truth=None,
        instances=None,
    )
    if first.instances is None or other.instances is None:
        return photo
    known = [(instance.label, instance.region) for instance in first.instances]
    more = [instance for instance in other.instances if (instance.label, instance.region) not in known]
    instances: tuple[Instance, ...] = (*first.instances, *more)
    source = f"{first.source}: {first.image.name}"
    return replace(photo, ground_truth=painter(instances, source), instances=instances)


def new_boxes(first: Sequence[AnnotatedBox], other: Sequence[AnnotatedBox]) -> list[bool]:
    """Which boxes of a second entry the first does not have."""
    known = {(box.label, box.corners) for box in first}
    return [(box.label, box.corners) not in known for box in other]
