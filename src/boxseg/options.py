"""From `key=value` words, YAML files or Python keywords to a checked job.

Every way of giving options becomes one flat mapping of dotted keys, which jsonargparse converts and checks
against the dataclasses of `boxseg.jobs`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from boxseg.errors import ConfigError, did_you_mean, require_path
from boxseg.jobs import JOBS, TABLE_RECIPES, Job

JobT = TypeVar("JobT", bound=Job)
Flat = dict[str, Any]

RECIPES = Path(__file__).parent / "configs"

# Options whose value is a mapping itself, so that its keys are no options.
MAPPINGS = frozenset({"class_map"})

# Options that their section's name alone stands for.
STAND_INS = ("root", "enabled")


def known_keys(job: type[Any]) -> tuple[str, ...]:
    """Dotted names of all options of a job or section, in their order."""
    keys: list[str] = []
    hints = get_type_hints(job)
    for item in dataclasses.fields(job):
        section = _section(hints[item.name])
        keys += [f"{item.name}.{key}" for key in known_keys(section)] if section else [item.name]
    return tuple(keys)


def _section(hint: Any) -> type[Any] | None:
    """The dataclass of a field that is a section of options, also one that may be None."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if dataclasses.is_dataclass(kind)]
    return cast("type[Any]", kinds[0]) if len(kinds) == 1 else None


def positional_keys(job: type[Any]) -> tuple[str, ...]:
    """Options that the command line also takes as bare words, in their order."""
    return tuple(item.name for item in dataclasses.fields(job) if item.metadata.get("positional"))


def default_options(job: type[Any]) -> Flat:
    """Options of a job or section that have a default, as they are written in YAML, by dotted key."""
    flat: Flat = {}
    hints = get_type_hints(job)
    for item in dataclasses.fields(job):
        section = _section(hints[item.name])
        if item.default_factory is not dataclasses.MISSING:
            flat |= flatten({item.name: to_plain(item.default_factory())})
        elif section:
            flat |= {f"{item.name}.{key}": value for key, value in default_options(section).items()}
        elif item.default is not dataclasses.MISSING:
            flat |= flatten({item.name: to_plain(item.default)})
    return flat


def recipe_path(name: str) -> Path:
    """Path of a YAML file: as given, or one of the shipped recipes by its name (`demo`, `voc_vgg16` …).

    Raises:
        ConfigError: There is neither such a file nor such a recipe.
    """
    shipped = RECIPES / f"{name}.yaml"
    if Path(name).is_file():
        return Path(name)
    if shipped.is_file():
        return shipped
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    raise ConfigError(
        f"no options file {name!r}{did_you_mean(name, names)} (a YAML file, or a recipe: {', '.join(names)})"
    )


def read_yaml(name: str, job: type[Job]) -> Flat:
    """Options of a YAML file, as far as the job has them.

    One recipe serves all verbs, so options that only other verbs have are left out; options that no verb
    has are errors.

    Raises:
        ConfigError: The file cannot be read, is no mapping, or holds an unknown option.
    """
    path = recipe_path(name)
    content = load_mapping(path)
    if any(str(key).isupper() for key in content):
        raise ConfigError(
            f"{path} has upper-case keys, as the files of other BANA code: "
            f"`boxseg convert-config {path}` makes them options of boxseg"
        )
    everywhere = {key for other in JOBS.values() for key in known_keys(other)}
    flat = flatten(content)
    for section in [key for key in flat if f"{key}.enabled" in everywhere]:
        flat[f"{section}.enabled"] = flat.pop(section)
    for key in flat:
        if key not in everywhere:
            raise ConfigError(f"unknown option {key!r} in {path}{did_you_mean(key, everywhere)}")
    return {key: value for key, value in flat.items() if key in known_keys(job)}


def load_mapping(path: Path) -> dict[Any, Any]:
    """The content of a YAML file that holds `key: value` lines.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read options from {path}: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold `key: value` lines, not a {type(content).__name__}")
    return content


def flatten(options: Mapping[str, Any], prefix: str = "") -> Flat:
    """Nested mappings and dataclasses as one mapping of dotted keys."""
    flat: Flat = {}
    for key, value in options.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, Mapping) and key not in MAPPINGS:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def complete_key(key: str, job: type[Any], verb: str) -> str:
    """The full name of an option; any unambiguous ending of it will do (`lr`, `crf.iterations`).

    A section stands for its root (`data` for data.root) or its switch (`crf` for evaluate.crf.enabled). Where
    several options end alike, the verb's own section wins.

    Raises:
        ConfigError: There is no such option, or there are several.
    """
    known = known_keys(job)
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


def parse_words(words: Iterable[str], verb: str) -> Flat:
    """Options from command-line words: `key=value`, `--key=value`, `--key value`, `-c FILE`.

    Words without a key fill the job's positional options, in their order (`convert-config FILE`).

    Raises:
        ConfigError: A word is no option, or an option is unknown.
    """
    job, flat = JOBS[verb], Flat()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.lstrip("-").partition("=")
        place = next((name for name in positional_keys(job) if name not in flat), None)
        if not equals and not word.startswith("-") and place:
            flat[place] = _parse_value(word)
            continue
        if not equals:
            if not word.startswith("-") or not rest:
                raise ConfigError(f"expected key=value, got {word!r} (see `boxseg {verb} --help`)")
            value = rest.pop(0)
        if word.startswith("-") and key in ("c", "config"):
            flat |= read_yaml(value, job)
        else:
            flat[complete_key(key, job, verb)] = _parse_value(value)
    return flat


def _parse_value(text: str) -> Any:
    if not text:
        return text  # an empty name, not none
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    # 1e-3 is a string to YAML 1.1, and dates or octal numbers are not wanted.
    return value if isinstance(value, (bool, list, type(None))) else text


def build_job(verb: str, flat: Mapping[str, Any]) -> Job:
    """A checked job from a flat mapping of options.

    Raises:
        ConfigError: An option is missing, or its value is not of its kind.
    """
    job = JOBS[verb]
    flat = {**_preset(verb, flat), **flat}
    given = {key: flat[key] for key in known_keys(job) if key in flat and not _is_idle(job, key, flat)}
    for item in known_keys(job):
        if item not in given and _is_required(job, item):
            raise ConfigError(f"missing option {item}=… (see `boxseg {verb} --help`)")
    parser = make_parser(verb)
    try:
        words = [
            f"--job.{key}={value if isinstance(value, str) else _dump(value)}" for key, value in given.items()
        ]
        return cast(Job, parser.instantiate(parser.parse_args(words)).job)
    except ArgumentError as error:
        raise ConfigError(_explain(str(error))) from error


def _preset(verb: str, flat: Mapping[str, Any]) -> Flat:
    """Options that hold unless given: a recipe of the verb's name (`demo`), or the paper's of a table."""
    name = verb
    if verb == "reproduce" and "model.backbone" not in flat:
        name = TABLE_RECIPES.get(str(flat.get("table")), "voc_vgg16")
    return read_yaml(name, JOBS[verb]) if (RECIPES / f"{name}.yaml").is_file() else {}


def _dump(value: Any) -> str:
    if isinstance(value, (Path, bool, int, float)) or value is None:
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return json.dumps(value, default=str)


def _is_idle(job: type[Any], key: str, flat: Flat) -> bool:
    """Whether an option, as of a recipe, is of a section that may be left out and lacks what it requires."""
    head, _, tail = key.partition(".")
    item = next(item for item in dataclasses.fields(job) if item.name == head)
    if not tail or item.default is not None:
        return False
    section = cast("type[Any]", _section(get_type_hints(job)[head]))
    return any(_is_required(section, name) and f"{head}.{name}" not in flat for name in known_keys(section))


def _is_required(job: type[Any], key: str) -> bool:
    head, _, tail = key.partition(".")
    item = next(item for item in dataclasses.fields(job) if item.name == head)
    if item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING:
        return False
    return _is_required(get_type_hints(job)[head], tail) if tail else True


# What the parser says of an option in a section that may be left out, and of an option of several kinds.
_IN_SECTION = re.compile(
    r'Parser key "([^"]+)":\n[^"]*Problem with given class_path [^\n]*\n\s+Parser key "([^"]+)":\s+(.*?)'
    r"\n    - Expected a <class 'NoneType'>.*",
    re.DOTALL,
)
_UNION = re.compile(
    r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors:(?P<errors>( - .*?)+)"
    r" Given value type: .*? Given value: (?P<value>.*)"
)


def _alternatives(match: re.Match[str]) -> str:
    errors = [error.removeprefix("Expected ") for error in match["errors"].split(" - ")[1:]]
    kinds = [error.partition(". Got value:")[0] for error in errors if "NoneType" not in error]
    return f"Expected {' or '.join(kinds)}. Got value: {match['value']}"


def _explain(message: str) -> str:
    """The parser's message on one line, with the key and the kinds as a user would write them."""
    message = _IN_SECTION.sub(r'Parser key "\1.\2": \3', message)
    text = _UNION.sub(_alternatives, " ".join(message.split()))
    text = re.sub(r"a typing\.Literal\[(.*?)\]", lambda match: f"one of {match[1]}", text)
    for theirs, ours in {
        'Parser key "job.': 'option "',
        "a <class 'int'>": "a whole number",
        "a <class 'float'>": "a number",
        "a <class 'bool'>": "true or false",
        "a <class 'str'>": "text",
        "a <class 'tuple'>": "a list",
        "a <class 'list'>": "a list",
    }.items():
        text = text.replace(theirs, ours)
    return text


def make_parser(verb: str, job: type[Any] | None = None) -> ArgumentParser:
    """The jsonargparse parser of a verb, or of another job in its place; also the source of its help text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = ArgumentParser(prog=f"boxseg {verb}", exit_on_error=False, add_help=False)
        parser.add_class_arguments(job or JOBS[verb], "job")
    return parser


def _with_all_sections(job: type[Any]) -> type[Any]:
    """The job with sections that may be left out as sections that are always there: a parser lists those."""
    hints = get_type_hints(job)
    fields = [
        (item.name, _section(hints[item.name]) or hints[item.name], item) for item in dataclasses.fields(job)
    ]
    if all(hints[name] is kind for name, kind, _ in fields):
        return job
    plain = [
        (name, kind, dataclasses.field() if item.default is None and kind is not hints[name] else item)
        for name, kind, item in fields
    ]
    return dataclasses.make_dataclass(job.__name__, plain, kw_only=True, namespace={"__doc__": job.__doc__})


def help_text(verb: str) -> str:
    """Help of a verb, with options spelt as they are typed: key=VALUE."""
    job = JOBS[verb]
    bare = positional_keys(job)
    required = "".join(f"{key.upper()} " for key in bare)
    required += "".join(f"{key}=… " for key in known_keys(job) if _is_required(job, key) and key not in bare)
    summary = " ".join((job.__doc__ or "").partition("Args:")[0].split())
    text = make_parser(verb, _with_all_sections(job)).format_help()
    text = text[text.index("\n\n") :].strip("\n").replace(f"{summary.rstrip('.')}:", "Input and output:")
    for pattern, replacement in (
        (r"^ +--job[\w.]* CONFIG\s+Path to a configuration file\.\n", ""),
        (r", --job[\w.]*\+ \w+", ""),
        (r"--job\.([\w.]+) ", r"\1="),
        (r"\(required,\s+type:[^()]*\)", "(required)"),
        (r"\(type:\s[^()]*?default:\s+", "(default: "),
    ):
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    usage = f"usage: boxseg {verb} {required}[key=value …] [-c FILE.yaml]"
    return f"{usage}\n\n{summary}\n\n{text}\n"


def to_plain(value: Any) -> Any:
    """Options as YAML knows them: mappings, lists, text, numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_yaml(job: Any) -> str:
    """The resolved options as YAML, fit for `-c`."""
    return str(yaml.safe_dump(to_plain(job), sort_keys=False, allow_unicode=True))


def to_words(verb: str, job: Job) -> list[str]:
    """The words after `boxseg` that make this job, without those that say what holds anyway."""
    kind = type(job)
    values = flatten(to_plain(job))
    usual = default_options(kind) | _preset(verb, values)
    if verb == "reproduce":
        usual.pop("model.backbone")  # given, it says that no recipe is meant
    bare = positional_keys(kind)
    words = [verb, *(str(values[key]) for key in bare)]
    for key in known_keys(kind):
        if key in bare or key not in values:  # a section that was left out has no keys
            continue
        value = values[key]
        if key not in usual or value != usual[key]:
            words.append(f"{key}={value if isinstance(value, str) else _dump(value)}")
    return words


def from_python(verb: str, kind: type[JobT], options: Mapping[str, Any]) -> JobT:
    """A job from the keyword arguments of a Python call.

    Raises:
        ConfigError: An option is unknown, missing or not of its kind.
    """
    job = JOBS[verb]
    flat = {complete_key(key, job, verb): value for key, value in flatten(options).items()}
    return cast(JobT, build_job(verb, flat))


def refuse_empty_paths(job: type[Any], options: Mapping[str, Any]) -> None:
    """Check the options that name a file or folder.

    Args:
        job: Their job.
        options: By dotted key, as they were given.

    Raises:
        ConfigError: One is empty.
    """
    for key, value in options.items():
        if isinstance(value, str) and _is_path(job, key):
            require_path(key, value)


def _is_path(job: type[Any], key: str) -> bool:
    kinds: tuple[Any, ...] = (job,)
    for name in key.split("."):
        section = next(kind for kind in kinds if dataclasses.is_dataclass(kind))
        hint = get_type_hints(section)[name]
        kinds = get_args(hint) or (hint,)
    return Path in kinds
