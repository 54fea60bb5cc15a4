"""The masks of the boxes of a shard's photos as a Parquet file, a row for each box."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from boxseg.atomic import atomic_path
from boxseg.extras import import_extra
from boxseg.shards.home import TABLES
from boxseg.shards.keys import key_of
from boxseg.shards.shard_file import FACTS, member_of

_MASKS = member_of("masks")


def parquet() -> ModuleType:
    """PyArrow's reader and writer of Parquet.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra("pyarrow.parquet", extra="arrow", purpose="label.store=shards")


def table_of(shard: Path) -> Path:
    """The Parquet file of a shard."""
    return shard.parents[1] / TABLES / f"{shard.stem}.parquet"


def write_table(shard: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the file of a shard, whole or not at all."""
    arrow = import_extra("pyarrow", extra="arrow", purpose="label.store=shards")
    table = arrow.Table.from_pylist(list(rows), schema=_schema())
    with atomic_path(table_of(shard)) as temporary:
        parquet().write_table(table, temporary, compression="zstd")


def mask_rows(shard: Path, members: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """The rows of one photo of a shard, from its members."""
    photo = json.loads(members[FACTS])
    masks = json.loads(members[_MASKS])
    known = {
        "photo": _text(photo["id"]),
        "image_id": _text(photo["image_id"]),
        "shard": shard.name,
        "key": key_of(photo["id"]),
        "height": photo["height"],
        "width": photo["width"],
    }
    for place, (box, mask) in enumerate(zip(photo["boxes"], masks, strict=True)):
        annotation = box["annotation_id"]
        yield {
            **known,
            "box": place,
            "annotation_id": None if annotation is None else _text(annotation),
            "class": box["class"],
            "name": _text(box["name"]),
            **dict(zip(("x1", "y1", "x2", "y2"), box["box"], strict=True)),
            "counts": mask["segmentation"]["counts"],
            "area": box["area"],
            "score": mask["score"],
            "source": mask["source"],
            "corrected": mask.get("corrected"),
        }


def _text(value: object) -> str:
    """A name as text in UTF-8, which names of files need not be."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _schema() -> Any:
    arrow = import_extra("pyarrow", extra="arrow", purpose="label.store=shards")
    text, whole, real = arrow.string(), arrow.int32(), arrow.float64()
    kinds = {
        **dict.fromkeys(("photo", "image_id", "annotation_id"), text),
        **dict.fromkeys(("box", "class"), whole),
        "name": text,
        **dict.fromkeys(("x1", "y1", "x2", "y2"), real),
        **dict.fromkeys(("height", "width"), whole),
        "counts": text,
        "area": arrow.int64(),
        "score": real,
        **dict.fromkeys(("source", "corrected", "shard", "key"), text),
    }
    return arrow.schema(list(kinds.items()))
