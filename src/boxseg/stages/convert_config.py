"""Convert a configuration file of BANA's public code, or of its reproduction, to options of boxseg."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from boxseg.atomic import remove_temporaries_of, write_text
from boxseg.documents import require_small
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS, ConvertConfigJob
from boxseg.jobs.bana_keys import Meaning, Seen, backbone_in, meaning_of
from boxseg.jobs.job import Stage
from boxseg.options import Flat, build_job, flatten, load_mapping, options_of
from boxseg.results import Result
from boxseg.tables import Table
from boxseg.wording import counted_of

STAGE_NAMES: dict[str, Stage] = {"stage1": "classify", "stage2": "label", "stage3": "segment"}


@dataclass(frozen=True, kw_only=True)
class ConvertConfigResult(Result):
    """A converted file, key by key.

    Attributes:
        source: The file of BANA's code.
        file: The file of boxseg's options made from it.
        keys: Each key of the source with its value and what it became, in order.
        command: What to run next.
    """

    source: Path
    file: Path
    keys: tuple[tuple[str, Any, Meaning], ...]
    command: str

    def tables(self) -> list[Table]:
        """What each key became."""
        rows = []
        for key, value, meaning in self.keys:
            ours = ", ".join(f"{name}={_written(part)}" for name, part in meaning.options.items())
            became = ours or ("kept as a comment" if meaning.lost else "no option")
            rows.append((key, _written(value), became, meaning.remark))
        return [Table(title=str(self.source), columns=("key", "value", "became", ""), rows=tuple(rows))]

    def notes(self) -> list[str]:
        """Where it is, what was lost, and what to run next."""
        lost = [key for key, _, meaning in self.keys if meaning.lost]
        lines = [
            f"Options: {self.file} ({counted_of(len(self.keys) - len(lost), len(self.keys), 'key')} understood)"
        ]
        if lost:
            lines.append(f"Not converted: {', '.join(lost)}; the table says why.")
        return [*lines, f"Next: {self.command}"]


def run(job: ConvertConfigJob) -> ConvertConfigResult:
    """Write the file's options as YAML for `-c`.

    Options the file does not set come from its network's recipe, which the printed command names first.
    """
    target = job.out or job.file.with_name(f"{job.file.stem}.boxseg.yaml")
    if target.is_dir():
        raise ConfigError(f"out={target} is a folder; give a file")
    content = load_mapping(job.file)
    if not any(key.isupper() for key in content):
        raise ConfigError(
            f"{job.file} has no upper-case keys such as DATA or MODEL, so it is no file of BANA's code; "
            f"for options of boxseg use -c {job.file}"
        )
    theirs = {str(key).upper(): _plain(value) for key, value in flatten(content).items()}
    seen = _look(job, theirs)
    keys = _convert(theirs, seen)
    recipe = "coco_from_voc" if seen.labels_coco else f"voc_{_backbone(job.file, keys)}"
    text = _yaml(job.file, recipe, keys)
    # What the same command wrote may stay: it may have been killed after that.
    if target.exists() and not job.overwrite and target.read_bytes() != text.encode():
        raise ConfigError(f"{target} already exists: give out=FILE, or overwrite=true")
    remove_temporaries_of(target)
    write_text(target, text)
    command = _command(target, recipe, seen, keys)
    return ConvertConfigResult(source=job.file, file=target, keys=keys, command=command)


def _plain(value: Any) -> Any:
    """Parse tuples: such files write them as Python does, `(321, 321)`, which YAML reads as text."""
    if isinstance(value, str) and re.fullmatch(r"[(\[].*[)\]]", value):
        try:
            made = ast.literal_eval(value)
            require_small(made)
            yaml.safe_dump(made)  # refuses what options cannot be
            value = made
        except (ValueError, SyntaxError, MemoryError, RecursionError, yaml.YAMLError):
            return value
    return list(value) if isinstance(value, tuple) else value


def _look(job: ConvertConfigJob, theirs: Flat) -> Seen:
    """The keys, with the stage that the file's name, its NAME or the keys themselves tell."""
    names = {key.split(".")[-1] for key in theirs}
    told = [job.file.stem.lower(), str(theirs.get("NAME", "")).lower()]
    stage = next((kind for text in told for name, kind in STAGE_NAMES.items() if name in text), None)
    if job.stage != "auto":
        stage = job.stage
    elif stage is None and "LOSS" in names:
        stage = "segment"
    elif stage is None and names & {"GAP", "ROI_SIZE"} and names & {"LR", "BASE_LR", "MAX_ITER"}:
        stage = "classify"
    elif stage is None and "DCRF" in names:
        stage = "label"
    if stage is None:
        raise ConfigError(
            f"{job.file} does not say which stage it is for: give stage=classify, label or segment"
        )
    return Seen(stage=stage, keys=theirs)


def _convert(theirs: Flat, seen: Seen) -> tuple[tuple[str, Any, Meaning], ...]:
    """What each key becomes; options that boxseg would refuse are marked as lost."""
    known = {key for kind in JOBS.values() for key in options_of(kind)}
    meanings = {key: meaning_of(key, value, seen) for key, value in theirs.items()}
    usable = [meaning.options for meaning in meanings.values() if set(meaning.options) <= known]
    # Checking is slow: options are checked one by one only if they fail together. If keys set the same option,
    # the first counts.
    together = {name: part for options in reversed(usable) for name, part in options.items()}
    faulty = _fault(together) is not None
    chosen: dict[str, tuple[str, Any]] = {}
    for key, meaning in meanings.items():
        double = [n for n, part in meaning.options.items() if n in chosen and chosen[n][1] != part]
        if not set(meaning.options) <= known:
            meanings[key] = Meaning(remark=f"`boxseg {seen.stage}` has no use for it")
        elif double:
            meanings[key] = Meaning(remark=f"{double[0]} is set by {chosen[double[0]][0]}", lost=True)
        elif fault := _fault(meaning.options) if faulty else None:
            meanings[key] = Meaning(remark=fault, lost=True)
        chosen |= {name: (key, part) for name, part in meanings[key].options.items()}
    return tuple((key, value, meanings[key]) for key, value in theirs.items())


def _fault(options: Mapping[str, Any]) -> str | None:
    """Why boxseg refuses these options; None if it accepts them."""
    try:
        if options:
            build_job("run", {"data.root": ".", "out": ".", **options})
    except ConfigError as error:
        return " ".join(str(error).split())  # it ends in a comment of one line, and may quote any value
    return None


def _backbone(file: Path, keys: tuple[tuple[str, Any, Meaning], ...]) -> str:
    """The network whose recipe fills the gaps; VGG-16, the paper's, if the file names none."""
    said = [meaning.options["model.backbone"] for _, _, meaning in keys if "model.backbone" in meaning.options]
    name = said[0] if said else backbone_in(file.stem)
    return "resnet101" if name and name.startswith("resnet") else "vgg16"


def _command(file: Path, recipe: str, seen: Seen, keys: tuple[tuple[str, Any, Meaning], ...]) -> str:
    others = {"val": "evaluate", "test": "predict"} if seen.stage == "segment" else {}
    verb = others.get(seen.mode, seen.stage)
    needs = {
        "label": "checkpoint=CLASSIFIER ",
        "segment": "labels=LABELS ",
        "evaluate": "checkpoint=NETWORK ",
        "predict": "checkpoint=NETWORK submission=voc2012 ",
    }
    root = "" if any("data.root" in meaning.options for _, _, meaning in keys) else "data.root=DIR "
    named = seen.last("NAME", "OUTPUT_DIR", "SAVE_DIR") or file.name.partition(".")[0]
    out = "" if verb == "evaluate" else f"out=runs/{Path(str(named)).name}"
    return f"boxseg {verb} -c {recipe} -c {file} {root}{needs.get(verb, '')}{out}".rstrip()


def _yaml(source: Path, recipe: str, keys: tuple[tuple[str, Any, Meaning], ...]) -> str:
    """The file's text: our options, each with its source key as a comment, then the keys not converted."""
    nested: dict[str, Any] = {}
    for key, value, meaning in keys:
        for name, part in meaning.options.items():
            *path, last = name.split(".")
            place = nested
            for section in path:
                place = place.setdefault(section, {})
            place[last] = f"{_written(part)}  # {key}: {_written(value)}"
    lost = [f"#   {key}: {_written(value)}  ({meaning.remark})" for key, value, meaning in keys if meaning.lost]
    head = [f"# From {source.name} by `boxseg convert-config`; for use after the recipe: -c {recipe} -c FILE"]
    tail = ["# Not taken over:", *lost] if lost else []
    return "\n".join([*head, *_lines(nested), *tail]) + "\n"


def _lines(nested: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in nested.items():
        section = isinstance(value, Mapping)
        lines.append(f"{indent}{key}:" if section else f"{indent}{key}: {value}")
        lines += _lines(value, indent + "  ") if section else []
    return lines


def _written(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()[1:-1]
    return json.dumps(value, default=str) if "\n" in text else text  # YAML quotes line breaks as line breaks
