"""Make a checked job from a flat mapping of options: pydantic checks them, errors name boxseg's options."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args, get_origin

from boxseg.errors import ConfigError, did_you_mean, require_path
from boxseg.jobs import JOBS, Job
from boxseg.options.files import preset
from boxseg.options.keys import (
    Flat,
    complete_key,
    default_options,
    flatten,
    kinds_in,
    options_of,
    placeholder,
    to_plain,
    to_word,
)
from boxseg.remote.places import with_addresses

if TYPE_CHECKING:
    from pydantic import TypeAdapter

JobT = TypeVar("JobT", bound=Job)

# Names of types in errors; other types are shown as on the help page.
KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}

# Values that options no longer have, and what to do instead.
FORMER_VALUES = {
    "label.background": {
        "auto": "leave it out: labels of BAP and GAP classifiers are both made with u_0, attention",
        "complement": "1 - max u_c was no setting of the paper: activation is its labels without u_0",
        "zero": "activation also scores 0 inside boxes, and outside them as the paper does without u_0",
    }
}


def from_python(verb: str, kind: type[JobT], options: Mapping[str, Any]) -> JobT:
    """A job from the keyword arguments of a Python call."""
    job = JOBS[verb]
    flat = {complete_key(key, job, verb): value for key, value in flatten(options).items()}
    return cast(JobT, build_job(verb, flat))


def build_job(verb: str, flat: Mapping[str, Any]) -> Job:
    """A checked job from a flat mapping of options.

    Raises:
        ConfigError: An option is missing, an empty path, or has a value of the wrong type.
    """
    from pydantic import ValidationError

    job: Any = JOBS[verb]
    options = options_of(job)
    values = {**default_options(job), **preset(verb, flat), **flat}
    for key, option in options.items():
        if Path in kinds_in(option.kind) and values.get(key) == "":
            require_path(key, "")
    missing = [option for key, option in options.items() if option.required and values.get(key) is None]
    for option in missing:
        if not option.left_out:
            raise ConfigError(f"missing option {option.key}=… (see `boxseg {verb} --help`)")
    # A recipe may set options of a section that this job leaves out.
    without = {option.left_out for option in missing}
    given = {key: values[key] for key, option in options.items() if option.left_out not in without}
    try:
        made = cast(Job, _validator(job).validate_python(_nested(given)))
    except ValidationError as error:
        raise _refusal(error.errors()[0]["loc"], job, values) from error
    made = with_addresses(made)
    for key, value in flatten(to_plain(made)).items():
        # pydantic also accepts 3.0 for a whole number, and 1 or y for true.
        if isinstance(value, int) and to_word(given[key]) != to_word(value):
            raise _refusal((key,), job, values)
    return made


@cache
def _validator(job: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # slow to import: not needed for --help

    return TypeAdapter(job)


def _nested(flat: Flat) -> dict[str, Any]:
    """Sections as mappings of their options, each value as text or as lists and mappings of text."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = _as_text(value)
    return nested


def _as_text(value: Any) -> Any:
    """A value as text, which pydantic converts to any type; it converts no number to text, but true to 1."""
    if isinstance(value, Mapping):
        return {str(key): _as_text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_text(item) for item in value]
    return None if value is None else to_word(value)


def _refusal(place: tuple[int | str, ...], job: type[Any], values: Flat) -> ConfigError:
    """The error at a place that pydantic names: the key of an option, then a place inside its value."""
    names = (".".join(map(str, place[:depth])) for depth in range(1, len(place) + 1))
    option = next(options_of(job)[name] for name in names if name in options_of(job))
    value, kinds = values[option.key], kinds_in(option.kind)
    got = repr(value) if isinstance(value, str) else to_word(value)
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    expected = " or ".join(map(_in_words, kinds))
    former = FORMER_VALUES.get(option.key, {}).get(str(value))
    near = f"; {former}" if former else did_you_mean(str(value), choices)
    if not near:
        others = [name for name in options_of(job) if name.endswith(f".{option.key}")]
        near = "".join(f"; {name}=… is another option" for name in others)
    return ConfigError(f'option "{option.key}": expected {expected}, got {got}{near}')


def _in_words(kind: Any) -> str:
    if kind in KIND_NAMES:
        return KIND_NAMES[kind]
    typed = placeholder(kind)
    if typed.startswith("["):
        return f"a list {typed}"
    return f"one of {typed.replace('|', ', ')}" if "|" in typed else typed
