"""The categories of a COCO file that become classes.

Tools add categories that no object has: one of the name of another, and the group that all others belong to
(Roboflow's category 0). Neither is a class, or else networks would have a class that nothing is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from boxseg.dataset import Problem
from boxseg.errors import DataError
from boxseg.formats.loose_numbers import whole_number

Content = dict[str, Any]


def list_categories(
    content: Content, path: Path, others: Callable[[], Iterable[Content]]
) -> Iterator[dict[str, Any] | Problem]:
    """The categories that are classes, by ascending id, each name once.

    Args:
        content: Of the annotation file.
        path: The file, named in problems.
        others: Gives the contents of the data set's other files, which have the same classes. It is called only
            where these matter.

    Raises:
        DataError: A category has no id or name, or two with objects have the same.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for category in _each_category(content["categories"], path):
        by_name.setdefault(str(category["name"]), []).append(category)
    left_out: set[int] = set()
    used: set[int | None] = set()
    if any(len(alike) > 1 for alike in by_name.values()):
        used = _used(content)
        for alike in by_name.values():
            for category in _doubles(alike, used, path):
                left_out.add(number_of(category))
                kind = "category without annotations has the name of another"
                yield Problem(file=path, kind=kind, detail=_called(category), action="left out")
    known = [category for alike in by_name.values() for category in alike]
    known = sorted((one for one in known if number_of(one) not in left_out), key=number_of)
    group = _group(known)
    if (
        group is not None
        and number_of(group) not in (used or _used(content))
        and not any(_uses(other, group["name"]) for other in others())
    ):
        kind = "category without annotations is the group of all others"
        yield Problem(file=path, kind=kind, detail=_called(group), action="left out")
        known.remove(group)
    yield from known


def _group(categories: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The category that all others name as their group, if there is one."""
    parts = Counter(str(category.get("supercategory")) for category in categories)
    for category in categories:
        others = parts[str(category["name"])] - (str(category.get("supercategory")) == str(category["name"]))
        if others == len(categories) - 1 > 0:
            return category
    return None


def _uses(content: Content, name: Any) -> bool:
    """Whether a category of this name has annotations."""
    ids = {
        whole_number(fields_of(one).get("id"))
        for one in content["categories"]
        if fields_of(one).get("name") == name
    }
    return not ids.isdisjoint(_used(content))


def _used(content: Content) -> set[int | None]:
    """Ids of categories that have annotations."""
    annotations = content["annotations"]
    # Columns make no annotation for this.
    column = getattr(annotations, "column", None)
    ids = column("category_id") if column else (fields_of(one).get("category_id") for one in annotations)
    return set(map(whole_number, set(filter(_can_be_counted, ids))))


def _can_be_counted(value: Any) -> bool:
    return isinstance(value, (int, float, str))


def _called(category: dict[str, Any]) -> str:
    return f"id {category['id']!r}, {category['name']!r}"


def _each_category(categories: list[Any], path: Path) -> Iterator[dict[str, Any]]:
    """The categories by ascending id, each id once."""
    alike: dict[int, dict[str, Any]] = {}
    for place, category in enumerate(categories):
        number, name = whole_number(fields_of(category).get("id")), fields_of(category).get("name")
        if number is None:
            raise DataError(f"{path}: the id of category number {place} is no whole number: {category}")
        if not isinstance(name, (str, int, float)) or not str(name).strip():
            raise DataError(f"{path}: category number {place} has no name: {category}")
        known = alike.setdefault(number, category)["name"]
        if known != name:
            raise DataError(
                f"{path}: 2 categories of id {number}, {known!r} and {name!r}: number one of them anew"
            )
    yield from (category for _, category in sorted(alike.items()))


def _doubles(alike: list[dict[str, Any]], used: set[int | None], path: Path) -> list[dict[str, Any]]:
    """Which categories of one name to leave out: tools add one, without objects, as the group of the others."""
    empty = [category for category in alike if number_of(category) not in used]
    if len(alike) - len(empty) > 1:
        raise DataError(
            f"{path}: 2 categories of name {alike[0]['name']!r}, both with annotations (ids "
            f"{' and '.join(str(category['id']) for category in alike)}): rename one or give both one id"
        )
    return empty if len(empty) < len(alike) else empty[:-1]


def number_of(category: dict[str, Any]) -> int:
    """The id of a category that was listed."""
    value = whole_number(category["id"])
    assert value is not None
    return value


def fields_of(entry: Any) -> dict[str, Any]:
    """An entry of a list, as long as it is an object of JSON."""
    return entry if isinstance(entry, dict) else {}
