"""The options of a job: their dotted keys, types and defaults, read from its dataclass."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from boxseg.errors import ConfigError, did_you_mean

Flat = dict[str, Any]

# Options whose value is a mapping: its keys are not options.
MAPPINGS = frozenset({"class_map", "merge"})

PLACEHOLDERS = {int: "INTEGER", float: "NUMBER", bool: "true|false", str: "TEXT", Path: "PATH"}

# Options of earlier versions by job: what each is called now, what its name says in other verbs, and what it
# took, by which it is told in a file from the option of these.
RENAMED: dict[str, dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "ConvertJob": {
        "labels": ("which", "where labels are", ("labels", "y_crf", "y_ret", "agreed", "ground-truth"))
    },
    "DemoJob": {"images": ("count", "where photos are", ())},
}

# The name of a section stands for one of these options in it: `data=DIR`, `crf=false`.
STAND_INS = ("root", "enabled")


# Options that are text and often name a file or folder: in Python they may be a Path.
NAMES_OF_FILES = frozenset(
    {"labels", "strong", "images", "weights", "classifier_weights", "backbone", "sam", "class_map", "mirror"}
    | {"test_archive"}
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a job."""

    key: str  # its dotted name
    kind: Any  # its type
    default: Any  # dataclasses.MISSING if there is none
    positional: bool  # whether the command line also takes it as a bare word
    left_out: str  # the section around it that may be left out as a whole; empty if there is none
    text: str  # what it does
    heading: str  # what its section is; empty for options of the job itself

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is dataclasses.MISSING


def options_of(job: type[Any]) -> dict[str, Option]:
    """All options of a job or section by dotted key, in the order of its fields."""
    return _options_of(cast(Any, job))


@cache
def _options_of(job: Any) -> dict[str, Option]:
    return {option.key: option for option in _walk(job)}


def _walk(
    section: type[Any],
    made: Any = None,
    prefix: str = "",
    left_out: str = "",
    heading: str = "",
    positional: bool = False,
) -> Iterator[Option]:
    """Options of a section; `made` is its default as a whole. A bare word for a section is its root."""
    hints, (_, texts) = get_type_hints(section), docstring(section)
    for item in dataclasses.fields(section):
        key, kind, text = f"{prefix}{item.name}", hints[item.name], texts.get(item.name, "")
        default = item.default if made is None else getattr(made, item.name)
        inner = next((part for part in kinds_in(kind) if dataclasses.is_dataclass(part)), None)
        if isinstance(inner, type):
            whole = default if isinstance(default, inner) else None
            without = left_out or (key if default is None else "")
            yield from _walk(inner, whole, f"{key}.", without, text, bool(item.metadata.get("positional")))
        else:
            yield Option(
                key=key,
                kind=kind,
                default=default,
                positional=bool(item.metadata.get("positional")) or (positional and item.name == STAND_INS[0]),
                left_out=left_out,
                text=text,
                heading=heading,
            )


def docstring(section: type[Any]) -> tuple[str, dict[str, str]]:
    """The summary of a dataclass on one line, and the text of each entry in its `Args:` and its bases'."""
    summary, texts = "", {}
    for kind in reversed(section.__mro__[:-1]):
        summary, _, arguments = inspect.cleandoc(kind.__doc__ or "").partition("\n\nArgs:\n")
        for entry in re.split(r"\n(?! )", textwrap.dedent(arguments).strip()):
            name, _, text = entry.partition(":")
            texts[name] = " ".join(text.split())
    return " ".join(summary.split()), texts


def kinds_in(hint: Any) -> tuple[Any, ...]:
    """The types in a type: those of a union, without None."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(kind for kind in kinds if kind is not NoneType)


def placeholder(hint: Any) -> str:
    """The placeholder for a value of a type: INTEGER, auto|voc, [NUMBER,…]."""
    kinds = kinds_in(hint)
    if len(kinds) > 1:
        return "|".join(map(placeholder, kinds))
    origin, items = get_origin(kinds[0]), get_args(kinds[0])
    if origin is Literal:
        return "|".join(items)
    if origin is dict:
        return "{KEY:VALUE}"
    if origin is list:
        items = (*items, Ellipsis)
    if origin in (list, tuple):
        return f"[{','.join('…' if item is Ellipsis else placeholder(item) for item in items)}]"
    return PLACEHOLDERS[kinds[0]]


def default_options(job: type[Any]) -> Flat:
    """Options of a job or section that have a default, by dotted key, as written in YAML."""
    return {key: to_plain(option.default) for key, option in options_of(job).items() if not option.required}


def flatten(options: Mapping[str, Any], prefix: str = "") -> Flat:
    """Nested mappings and dataclasses as one mapping of dotted keys."""
    flat: Flat = {}
    for key, value in options.items():
        if dataclasses.is_dataclass(value):
            value = to_plain(value)
        if isinstance(value, Mapping) and key not in MAPPINGS:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def to_plain(value: Any) -> Any:
    """Options as YAML types: mappings, lists, text, numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_word(value: Any) -> str:
    """A value as it is typed on the command line."""
    return str(value) if isinstance(value, (str, Path)) else json.dumps(value, default=str)


def refuse_renamed(key: str, job: type[Any]) -> None:
    """Raise a ConfigError for an option that has another name now."""
    name, elsewhere, _ = RENAMED.get(job.__name__, {}).get(key, ("", "", ()))
    if name:
        raise ConfigError(
            f"the option {key}=… of this verb is now called {name}=…; {key}= says {elsewhere}, in other verbs"
        )


def complete_key(key: str, job: type[Any], verb: str) -> str:
    """The full name of an option, from any unambiguous ending of it (`lr`, `crf.iterations`).

    A section stands for its root (`data` for data.root) or its switch (`crf` for evaluate.crf.enabled). If
    several options end alike, the verb's own section wins.

    Raises:
        ConfigError: There is no such option, or there are several.
    """
    known = options_of(job)
    refuse_renamed(key, job)
    names = (key, *(f"{key}.{option}" for option in STAND_INS))
    for candidate in (name for exact in names for name in (exact, f"{verb}.{exact}")):
        if candidate in known:
            return candidate
    endings = [name for name in known if name.endswith(tuple(f".{exact}" for exact in names))]
    if len(endings) > 1:
        raise ConfigError(f"option {key!r} could be any of {', '.join(endings)}: write it out")
    if not endings:
        words = {name.split(".", depth)[-1] for name in known for depth in range(name.count(".") + 1)}
        raise ConfigError(
            f"unknown option {key!r}{did_you_mean(key, sorted(words))} (see `boxseg {verb} --help`)"
        )
    return endings[0]
