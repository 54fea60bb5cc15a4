"""Completion in shells: the scripts, and what a word may become.

Libraries for this (argcomplete, shtab) read parsers of argparse, whose options begin with dashes: they know no
`key=value`, no shorter names and no recipes. So a script asks `boxseg completion words -- WORDS`, which reads
the same options as the help page and imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from boxseg import plugins
from boxseg.config import PRECISIONS
from boxseg.errors import BoxsegError, ConfigError, did_you_mean
from boxseg.jobs import JOBS
from boxseg.options.files import RECIPES
from boxseg.options.keys import (
    NAMES_OF_FILES,
    STAND_INS,
    Option,
    complete_key,
    docstring,
    kinds_in,
    options_of,
)

SHELLS = ("bash", "zsh", "fish")

# What may stand after a verb besides its options.
FLAGS = {
    "-c": "options from a file, or a recipe by its name",
    "--help": "all options of the verb",
    "--print-config": "print the resolved options as YAML; run nothing",
    "--verbose": "also say what is done, with what, and how long it takes",
    "--quiet": "no progress, and no remarks but warnings",
    "--debug": "show the traceback of an error",
}

# What may stand in place of a verb.
OTHERS = {
    "completion": "a script for your shell, with which the Tab key completes words",
    "schema": "a JSON schema of all options, for editors",
    "--help": "the verbs",
    "--version": "the version",
}

# Values of options that take any text, which their descriptions name.
TEXTS = {
    "labels": ("ground-truth",),
    "strong": ("ground-truth",),
    "adapt.weights": ("shipped", "imagenet"),
    "model.weights": ("default", "imagenet", "none"),
    "model.backbone": ("hf:", "timm:"),
    "label.class_map": ("voc_to_coco", "names"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "mps"),
    "trainer.precision": PRECISIONS,
}

_PLUGGED: dict[str, plugins.PluginKind] = {
    "model.backbone": "backbone",
    "segment.loss": "loss",
    "label.method": "label_method",
    "data.format": "format",
}

# Longest description: lists of candidates have a line for each.
_LONGEST = 70


def answer(words: Sequence[str]) -> str:
    """What `boxseg completion WORDS` prints.

    Raises:
        ConfigError: The words name no shell.
    """
    if words and words[0] == "words":
        return "".join(f"{word}\t{about}\n" for word, about in sorted(candidates(words[2:]).items()))
    if not words or words[0] in ("-h", "--help"):
        return f"usage: boxseg completion {'|'.join(SHELLS)}\n\n{_USAGE}"
    if words[0] not in SHELLS:
        raise ConfigError(
            f"no completion for {words[0]!r}{did_you_mean(words[0], SHELLS)} (one of {', '.join(SHELLS)})"
        )
    return script(words[0])


_USAGE = """\
Prints a script with which the Tab key completes verbs, options, their values, recipes and paths. Once:
  bash  boxseg completion bash > ~/.local/share/bash-completion/completions/boxseg
  zsh   boxseg completion zsh > FOLDER/_boxseg, a folder of $fpath
  fish  boxseg completion fish > ~/.config/fish/completions/boxseg.fish
"""


def script(shell: str) -> str:
    """The script of a shell."""
    return (Path(__file__).with_name("shells") / f"boxseg.{shell}").read_text(encoding="utf-8")


def candidates(words: Sequence[str]) -> dict[str, str]:
    """What the last of these words, which follow `boxseg`, may become, each with its description."""
    *before, word = words or [""]
    try:
        found = _after_verb(before[0], before[1:], word) if before else _first_words()
        return {name: _short(about) for name, about in found.items() if name.startswith(word)}
    except BoxsegError:
        return {}


def _short(about: str) -> str:
    sentence = " ".join(about.split()).partition(". ")[0]
    return sentence if len(sentence) <= _LONGEST else sentence[: _LONGEST - 1].rstrip() + "…"


def _first_words() -> dict[str, str]:
    return {verb: docstring(job)[0] for verb, job in JOBS.items()} | OTHERS


def _after_verb(verb: str, before: Sequence[str], word: str) -> dict[str, str]:
    if verb == "completion":
        return dict.fromkeys(SHELLS if not before else (), "")
    if verb not in JOBS:
        return {}
    last = before[-1] if before else ""
    if last in ("-c", "--config"):
        return {path.stem: "a recipe" for path in RECIPES.glob("*.yaml")} | _paths(word)
    if last.startswith("-") and last not in FLAGS and "=" not in last:  # --key value
        return _values(_named(last.lstrip("-"), verb), word)
    if word.startswith("-"):
        return FLAGS
    key, equals, value = word.partition("=")
    if equals:
        return {f"{key}={found}": about for found, about in _values(_named(key, verb), value).items()}
    given = _given(before, verb)
    bare = next((o for o in options_of(JOBS[verb]).values() if o.positional and o.key not in given), None)
    return _names(verb, word, given) | (_values(bare, word) if bare else {})


def _named(key: str, verb: str) -> Option:
    return options_of(JOBS[verb])[complete_key(key, JOBS[verb], verb)]


def _given(before: Sequence[str], verb: str) -> set[str]:
    """Keys of the options that these words set."""
    keys: list[str] = []
    bare = [option.key for option in options_of(JOBS[verb]).values() if option.positional]
    for place, word in enumerate(before):
        key, equals, _ = word.lstrip("-").partition("=")
        if equals:
            try:
                keys.append(complete_key(key, JOBS[verb], verb))
            except ConfigError:
                continue
        elif not word.startswith("-") and not (place and before[place - 1].startswith("-")):
            keys += [name for name in bare if name not in keys][:1]
    return set(keys)


def _names(verb: str, word: str, given: set[str]) -> dict[str, str]:
    """Options and sections one level below the word, and options by a shorter name that begins with it."""
    job, found = JOBS[verb], dict[str, str]()
    above = word.rpartition(".")[0] + "." if "." in word else ""
    for key, option in options_of(job).items():
        if key in given:
            continue
        section, _, last = key.rpartition(".")
        if key.startswith(above):
            name, dot, _ = key[len(above) :].partition(".")
            found.setdefault(f"{above}{name}{'.' if dot else '='}", option.heading if dot else option.text)
        if last in STAND_INS and section.startswith(above) and "." not in section[len(above) :]:
            found[f"{section}="] = option.text
        if word and not above and last not in STAND_INS and _stands_for(last, key, verb):
            found.setdefault(f"{last}=", option.text)
    return found


def _stands_for(word: str, key: str, verb: str) -> bool:
    try:
        return complete_key(word, JOBS[verb], verb) == key
    except ConfigError:
        return False


def _values(option: Option, typed: str) -> dict[str, str]:
    """Values of an option; of a list, those of the item that is being typed."""
    found: dict[str, str] = {}
    for kind in kinds_in(option.kind):
        if get_origin(kind) in (list, tuple):
            head, item = _split_list(typed)
            inner = [part for part in get_args(kind) if part is not Ellipsis]
            for part in kinds_in(inner[0]):
                for value in _of_kind(part, option, item):
                    ends = ("",) if value.endswith(("/", ":")) else (",", "]")
                    found |= {f"{head}{value}{end}": "" for end in ends}
        else:
            found |= dict.fromkeys(_of_kind(kind, option, typed), "")
    if kind_of_plugin := _PLUGGED.get(option.key):
        found |= dict.fromkeys(plugins.BUILT_IN[kind_of_plugin], "")
        found |= dict.fromkeys(plugins.names(kind_of_plugin), "of a plug-in")
    return found


def _split_list(typed: str) -> tuple[str, str]:
    """A list as far as it is typed, and the item at its end."""
    place = max(typed.rfind("["), typed.rfind(",")) + 1
    return typed[:place] or "[", typed[place:].lstrip("[")


def _of_kind(kind: Any, option: Option, typed: str) -> Iterable[str]:
    if get_origin(kind) is Literal:
        return map(str, get_args(kind))
    if kind is bool:
        return ("true", "false")
    name = option.key.rpartition(".")[2]
    texts = TEXTS.get(option.key, ()) if kind is str or Path in kinds_in(option.kind) else ()
    if kind is Path or (kind is str and name in NAMES_OF_FILES):
        return (*texts, *_paths(typed))
    return texts


def _paths(typed: str) -> dict[str, str]:
    """Files and folders whose path begins with what is typed."""
    return dict.fromkeys(_listed(typed), "")


def _listed(typed: str) -> Iterator[str]:
    head, name = os.path.split(typed)
    above = typed[: len(typed) - len(name)]
    try:
        entries = list(os.scandir(Path(head).expanduser() if head else "."))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home of this user
        return
    for entry in entries:
        if entry.name.startswith(name) and (name.startswith(".") or not entry.name.startswith(".")):
            yield f"{above}{entry.name}{'/' if entry.is_dir() else ''}"
