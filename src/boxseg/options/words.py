"""Options as words of a command line, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from boxseg.errors import ConfigError
from boxseg.jobs import JOBS, Job
from boxseg.options.files import preset, read_yaml
from boxseg.options.keys import (
    MAPPINGS,
    Flat,
    complete_key,
    default_options,
    flatten,
    options_of,
    to_plain,
    to_word,
)


def parse_words(words: Iterable[str], verb: str) -> Flat:
    """Options from command-line words: `key=value`, `--key=value`, `--key value`, `-c FILE`.

    Words without a key fill the job's positional options, in order (`convert-config FILE`).

    Raises:
        ConfigError: A word is not an option, or an option is unknown.
    """
    job, flat = JOBS[verb], Flat()
    rest, places = list(words), _positional(job)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.lstrip("-").partition("=")
        if not equals and not word.startswith("-"):
            key, value = next((place for place in places if place not in flat), ""), word
        elif not equals:
            key, value = (key, rest.pop(0)) if rest else ("", "")
        if not key:
            raise ConfigError(
                f"expected key=value, got {word!r}{_meant(word, job)} (see `boxseg {verb} --help`)"
            )
        if word.startswith("-") and key in ("c", "config"):
            flat |= read_yaml(value, job)
        else:
            key = complete_key(key, job, verb)
            flat[key] = _parse_value(value, key)
    return flat


def _meant(word: str, job: type[Job]) -> str:
    """The option that a file or folder without a key may be meant for."""
    is_data = "data.root" in options_of(job) and Path(word).exists()
    return f", did you mean data={word}?" if is_data else ""


def _positional(job: type[Job]) -> list[str]:
    return [key for key, option in options_of(job).items() if option.positional]


def _parse_value(text: str, key: str) -> Any:
    if not text:
        return text  # an empty text, not None
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: the 13th month
        return text
    # YAML 1.1 reads 1e-3 as text and 007 as octal: numbers and dates stay text, the option's type decides.
    if isinstance(value, dict) and key.rpartition(".")[2] in MAPPINGS:
        return dict(_entry(name, item) for name, item in _as_given(yaml.load(text, yaml.BaseLoader)).items())
    if isinstance(value, list):
        return _as_given(yaml.load(text, yaml.BaseLoader))
    return value if isinstance(value, (bool, type(None))) else text


_NUMBER = tuple("+-.0123456789")


def _as_given(value: Any) -> Any:
    """A list or mapping of texts, in which what is written as a number is one: 007 and 2024_01_05 are not."""
    if isinstance(value, list):
        return [_as_given(item) for item in value]
    if isinstance(value, dict):
        return {name: _as_given(item) for name, item in value.items()}
    number = yaml.safe_load(value) if value[:1] in _NUMBER else value
    is_one = isinstance(number, (int, float)) and (
        str(number) == value or value[-4:].lower() in (".inf", ".nan")
    )
    return number if is_one else value


def _entry(name: Any, value: Any) -> tuple[Any, Any]:
    """An entry of a mapping; without a blank after the colon, YAML takes `{a:b}` for a name without a value."""
    if value in (None, "") and isinstance(name, str) and ":" in name:
        before, _, after = name.partition(":")
        return before, after
    return name, value


def to_words(verb: str, job: Job) -> list[str]:
    """The words after `boxseg` for this job, without options at their defaults."""
    kind = type(job)
    values = flatten(to_plain(job))
    usual = default_options(kind) | preset(verb, values)
    if verb == "reproduce":
        usual.pop("model.backbone")  # setting it turns off the paper's recipe
    bare = _positional(kind)
    words = [verb, *(str(values[key]) for key in bare)]
    for key in options_of(kind):
        if key in bare or key not in values:  # a left-out section has no keys
            continue
        if key not in usual or values[key] != usual[key]:
            words.append(f"{key}={to_word(values[key])}")
    return words
