"""A classifier on data of other classes: which of its classes stands for each class of the data.

A class of the data that none stands for is labelled without weights (`nn/pseudo.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boxseg.dataset import BACKGROUND, BACKGROUND_NAME
from boxseg.documents import read_yaml
from boxseg.errors import CheckpointError, ConfigError, did_you_mean
from boxseg.options import RECIPES
from boxseg.wording import counted, counted_of, listed

log = logging.getLogger("boxseg")

SHIPPED = RECIPES / "class_maps"

# The class map without entries: classes with equal names match.
MATCH_NAMES = "names"


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassWeights:
    """A classifier's weights, with a row for each class of the data.

    Attributes:
        weight: (L + 1, C), background first; zeros for a class that the classifier does not know.
        known: (L + 1,) bool, whether it knows the class.
    """

    weight: Tensor
    known: Tensor

    def on(self, device: torch.device) -> ClassWeights:
        """The same on another device."""
        return ClassWeights(weight=self.weight.to(device), known=self.known.to(device))


def select_weights(weight: Tensor, classifier: Sequence[str], matches: Sequence[str | None]) -> ClassWeights:
    """Select rows of a classifier's weights (M + 1, C), background first, for the classes of the data.

    `classifier` names its classes 1..M, `matches` one of these for each class 1..L of the data, or None.
    """
    places = {name: place for place, name in enumerate(classifier, start=1)}
    rows = [BACKGROUND, *(-1 if name is None else places[name] for name in matches)]
    chosen = torch.tensor(rows, device=weight.device)
    known = chosen >= 0
    return ClassWeights(weight=weight[chosen.clamp_min(0)] * known[:, None], known=known)


def match_classes(
    option: str | Mapping[str, str] | None, classifier: Sequence[str], data: Sequence[str], checkpoint: Path
) -> tuple[str | None, ...]:
    """For each class of the data, the name of the classifier's class that stands for it, or None.

    `option` is `label.class_map`; classes that are not in it match by equal names. Errors name `checkpoint`.

    Raises:
        CheckpointError: No map is given, and the classifier lacks a class of the data.
        ConfigError: The map cannot be read, or names classes that do not exist.
    """
    mapping = read_class_map(option)
    shipped = isinstance(option, str) and not Path(option).is_file()
    for ours, theirs in mapping.items():
        if ours not in data:
            if shipped:  # made for all of COCO; the data may have a part
                continue
            raise ConfigError(f"class_map: the data has no class {ours!r}{did_you_mean(ours, data)}")
        if theirs not in classifier:
            raise ConfigError(
                f"class_map: {ours}: {theirs}, but the classifier {checkpoint} knows no class {theirs!r}"
                f"{did_you_mean(theirs, classifier)}"
            )
    matches = tuple(mapping.get(name, name if name in classifier else None) for name in data)
    lacking = [name for name, match in zip(data, matches, strict=True) if match is None]
    if lacking and option is None:
        raise CheckpointError(
            f"{checkpoint} knows {counted(len(classifier), 'class')}, but not all {len(data)} of the data "
            "(missing: "
            f"{listed(lacking, 6)}): map them with label.class_map (a file, or voc_to_coco), or "
            f"give class_map={MATCH_NAMES} to label the missing ones without the classifier"
        )
    if lacking:
        log.info(
            f"label: the classifier does not know {counted_of(len(lacking), len(data), 'class')}; in their "
            f"boxes 1 minus the background attention replaces activation maps: {listed(lacking, 6)}"
        )
    return matches


def read_class_map(option: str | Mapping[str, str] | None) -> dict[str, str]:
    """A class map {class of the data: class of the classifier} from a mapping, a YAML or JSON file, or by name.

    Raises:
        ConfigError: There is no such map or file, or it maps something else than names to names.
    """
    if option is None or option == MATCH_NAMES:
        return {}
    content: Any = option if isinstance(option, Mapping) else _parse(option)
    if not isinstance(content, Mapping) or not all(
        isinstance(word, str) for item in content.items() for word in item
    ):
        raise ConfigError(f"class_map {option} must hold `class of the data: class of the classifier` lines")
    return dict(content)


def map_file(option: str | Mapping[str, str] | None) -> Path | None:
    """The file a class map is read from, shipped or the user's own."""
    if not isinstance(option, str) or option == MATCH_NAMES:
        return None
    return Path(option) if Path(option).is_file() else SHIPPED / f"{option}.yaml"


def label_map(
    data: Sequence[str], matches: Sequence[str | None], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """What the pixel values of label masks stand for: name, COCO category, class of the classifier.

    `matches` and `category_ids` have an entry for each class 1..L; empty ones are left out.
    """
    entries: list[dict[str, Any]] = [{"value": BACKGROUND, "name": BACKGROUND_NAME}]
    for place, name in enumerate(data):
        entries.append({"value": place + 1, "name": name})
        if category_ids:
            entries[-1]["category_id"] = category_ids[place]
        if matches:
            entries[-1]["classifier_class"] = matches[place]
    return entries


def _parse(option: str) -> Any:
    path = map_file(option)
    if path is None or not path.is_file():
        names = [MATCH_NAMES, *sorted(file.stem for file in SHIPPED.glob("*.yaml"))]
        raise ConfigError(
            f"label.class_map={option}: no such class map{did_you_mean(option, names)} "
            f"(a YAML or JSON file, or {', '.join(names)})"
        )
    try:
        return read_yaml(path, ConfigError)
    except ConfigError as error:
        raise ConfigError(f"label.class_map={option}: {error}") from error
