"""Run folders: the recorded job and versions, and whether a job can continue there."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from boxseg.atomic import write_json, write_text
from boxseg.documents import read_record
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options import default_options, flatten, load_mapping, to_plain, to_yaml
from boxseg.runs.layout import BEFORE_LAST, CONFIG, LAST, VERSIONS
from boxseg.runs.lock import hold
from boxseg.runs.provenance import Origin, check_origins, write_provenance
from boxseg.runs.stage_files import RESULTS, WRITTEN, clear_folder, has_results

# Options that change the speed or place of a result, not the result.
FREE = (
    "out",
    "overwrite",
    "dry_run",
    "cluster",
    "scores",  # files beside the results
    "data.root",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.workers",
    "trainer.checkpoint_every",
    "trainer.checkpoint_minutes",
    "trainer.loggers",
    "label.masks.min_component",  # masks.json is written by every call
    "label.masks.fill_holes",
    "label.masks.simplify",
    "label.instances",  # files beside the labels
    "label.formats",
    "label.shards.most_photos",
    "label.shards.most_megabytes",
    "label.corrections",  # a photo whose corrections change is labelled anew
    "report.max_photos",
    "report.per_page",
    "report.size",
    "report.originals",
    "report.predict",
)


def open_folder(
    job: Any, *, inputs: Mapping[str, Path] | None = None, origins: Mapping[str, Origin] | None = None
) -> Path:
    """Make or reopen the folder `job.out`, and record the job in it as config.yaml and versions.json.

    Args:
        job: A job with `out` and `overwrite`.
        inputs: Files the result depends on, by name; identified by their content.
        origins: The photos that a training is of.

    Raises:
        ConfigError: The folder holds the result of another job, or cannot be made.
    """
    folder = Path(job.out)
    known = check_job(job, inputs=inputs, origins=origins)
    hold(folder)
    if job.overwrite and _is_recorded(folder):
        clear_folder(folder)
    write_text(folder / CONFIG, to_yaml(job))
    # Digests of deleted inputs stay: the result still depends on them.
    write_json(folder / VERSIONS, {**versions(), "inputs": known})
    if origins is not None:
        write_provenance(folder, origins)
    return folder


def check_job(
    job: Any, *, inputs: Mapping[str, Path] | None = None, origins: Mapping[str, Origin] | None = None
) -> dict[str, str]:
    """Check that the folder `job.out` can take a job; arguments and errors as for `open_folder`.

    Returns:
        Digests of the inputs, and those recorded in the folder for files that no longer exist.
    """
    folder = Path(job.out)
    check_folder(folder)
    _check_config(folder / CONFIG, job)
    digests = {name: file_digest(path) for name, path in (inputs or {}).items()}
    if not (folder / CONFIG).is_file():
        found = next((file for pattern in _results_of(job) for file in folder.glob(pattern)), None)
        if found is not None:
            raise ConfigError(
                f"{found} has the name of a result, but no command recorded that it wrote it: "
                "choose another out=…"
            )
    if job.overwrite or not _is_recorded(folder) or not has_results(folder):
        return digests
    recorded, known = load_mapping(folder / CONFIG), _known_inputs(folder / VERSIONS)
    changes = _changes(recorded, job, known, digests)
    foreign = [name for name in recorded if name not in to_plain(job)]
    if changes and foreign:
        raise ConfigError(
            f"{folder} holds the results of another command, with {', '.join(foreign)}: "
            "choose another out=…, or start again with overwrite=true"
        )
    if changes:
        raise ConfigError(
            f"{folder} holds a run with other options ({'; '.join(changes[:4])}): "
            "choose another out=…, or start again with overwrite=true"
        )
    if origins is not None:
        check_origins(folder, origins)
    return {**known, **digests}


def _check_config(file: Path, job: Any) -> None:
    """Check that a config.yaml without versions.json, which is written after it, has all options of a job."""
    if not file.is_file() or file.with_name(VERSIONS).is_file():
        return
    try:
        ours = set(load_mapping(file)) == set(to_plain(job))
    except ConfigError:
        ours = False
    if not ours:
        raise ConfigError(
            f"{file} was not written by boxseg, which keeps the options of a run there: move it, or choose "
            "another out=…"
        )


def _results_of(job: Any) -> set[str]:
    """Patterns of the results that a job writes to its own folder, which a user may have called so, too."""
    verb = next((name for name, kind in JOBS.items() if type(job) is kind), "")
    return (set(RESULTS) - {LAST, BEFORE_LAST}) & set(WRITTEN.get(verb, ()))


def _is_recorded(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / VERSIONS).is_file()


def check_folder(folder: Path) -> None:
    """Check that the folder `out` exists or can be made, before anything is computed for it.

    Raises:
        ConfigError: A file is in its way, or the user may not write there.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out={folder} is a file; give a folder")
    _check_above(folder, folder)


def check_file(file: Path, name: str) -> None:
    """The same for an output file; `name` is an example for the error message."""
    if file.is_dir():
        raise ConfigError(f"out={file} is a folder; give a file, such as {file / name}")
    _check_above(file, file.parent)


def _check_above(out: Path, folder: Path) -> None:
    above = folder.absolute()
    there = next(path for path in (above, *above.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"out={out} lies below {there}, which is a file; choose another place")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"out={out}: you may not write in {there}; choose another place")


def _changes(
    recorded: Mapping[str, Any], job: Any, known: Mapping[str, str], digests: Mapping[str, str]
) -> list[str]:
    # Options added since that run count with their defaults.
    before = default_options(type(job)) | flatten(recorded)
    after = flatten(to_plain(job))
    # Inputs are compared by content if it was recorded, else by name: a renamed file is the same.
    options = dict.fromkeys(name for name in (*before, *after) if name not in FREE)
    compared = [name for name in options if name not in digests or name not in known]
    changes = [
        f"{name}: {before.get(name)} → {after.get(name)}"
        for name in compared
        if before.get(name) != after.get(name)
    ]
    inputs = [name for name in digests if name in known or name not in options]
    return changes + [f"{name} changed" for name in inputs if known.get(name) != digests[name]]


@dataclass(frozen=True)
class _Versions:
    """What is read of versions.json."""

    inputs: dict[str, str] = field(default_factory=dict)


def _known_inputs(versions_file: Path) -> dict[str, str]:
    mend = "versions: remove it to keep the results in the folder, or start again with overwrite=true"
    return read_record(_Versions, versions_file, mend, ConfigError).inputs


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:  # hashlib.file_digest is new in Python 3.11
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ("boxseg", "torch", "lightning", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
