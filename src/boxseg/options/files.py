"""Options in YAML files: the user's, the shipped recipes, and a run's config.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from boxseg.documents import read_yaml as read_yaml_file
from boxseg.errors import ConfigError, did_you_mean
from boxseg.jobs import JOBS, TABLE_RECIPES, Job
from boxseg.options.keys import RENAMED, Flat, flatten, options_of, refuse_renamed, to_plain

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_path(name: str) -> Path:
    """Path of a YAML file as given, or of a shipped recipe by its name (`demo`, `voc_vgg16` …).

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

    One recipe serves all verbs, so options of other verbs are left out; options that no verb has are errors.
    """
    path = recipe_path(name)
    content = load_mapping(path)
    if any(key.isupper() for key in content):
        raise ConfigError(
            f"{path} has upper-case keys, like the files of BANA's public code: "
            f"`boxseg convert-config {path}` converts them to options of boxseg"
        )
    everywhere = {key for other in JOBS.values() for key in options_of(other)}
    flat = flatten(content)
    for section in [key for key in flat if f"{key}.enabled" in everywhere]:
        flat[f"{section}.enabled"] = flat.pop(section)
    for key in flat:
        if key not in everywhere:
            raise ConfigError(f"unknown option {key!r} in {path}{did_you_mean(key, everywhere)}")
    for key, (_, _, values) in RENAMED.get(job.__name__, {}).items():
        if flat.get(key) in values:  # else it is another verb's
            refuse_renamed(key, job)
    return {key: value for key, value in flat.items() if key in options_of(job)}


def load_mapping(path: Path) -> dict[str, Any]:
    """The content of a YAML file of `key: value` lines, the keys as text: YAML takes some for numbers or dates.

    Raises:
        ConfigError: It has no such lines, or cannot be read.
    """
    content = read_yaml_file(path, ConfigError) or {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold `key: value` lines, not a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def to_yaml(job: Any) -> str:
    """The resolved options as YAML, usable with `-c`."""
    return str(yaml.safe_dump(to_plain(job), sort_keys=False, allow_unicode=True))


def preset(verb: str, flat: Mapping[str, Any]) -> Flat:
    """Defaults that a verb takes from a recipe: from its namesake (`demo`), or from the paper's for a table."""
    name = verb
    if verb == "reproduce" and "model.backbone" not in flat:
        name = TABLE_RECIPES.get(str(flat.get("table")), "voc_vgg16")
    return read_yaml(name, JOBS[verb]) if (RECIPES / f"{name}.yaml").is_file() else {}
