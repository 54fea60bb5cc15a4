"""The verbs as Python functions: `boxseg.label(checkpoint=..., data=..., out=...)`.

Options are the command line's, as keywords: nested (`data={"root": DIR, "split": "val"}`), as dataclasses of
`boxseg.config`, or by any unambiguous name (`grid=3`). Each function returns what the command prints.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from boxseg.config import Crf
from boxseg.config.data import MOST_PIXELS
from boxseg.errors import ConfigError, require
from boxseg.jobs import JOBS, Job
from boxseg.options import docstring, from_python, wrapped
from boxseg.options.keys import kinds_in
from boxseg.progress import ProgressTo, progress_to
from boxseg.results import Result

if TYPE_CHECKING:
    from boxseg.inference.prediction import BasePredictor


# Verbs that train and so also take callbacks and loggers of Lightning.
TRAINING_VERBS = ("adapt", "classify", "segment", "run")
# Arguments of the functions that are not options of the command line.
OTHERS = {
    "callbacks": "A list of Lightning callbacks; `run` uses them in both trainings. With several devices they "
    "run in other processes: they must be picklable, and your objects do not change.",
    "loggers": "A list of names, as in `trainer.loggers`, and Lightning loggers.",
    "progress": "Whether progress is shown on stderr, or a function that gets each `ProgressState`.",
    "options": "Options of sections by any unambiguous shorter name: `grid=3`.",
}


def _verb(name: str) -> Callable[..., Result]:
    """The function of a verb; its exact type, with every option, is in `__init__.pyi`."""
    job = JOBS[name]
    signature = _signature(name, job)
    unset = {key for key, parameter in signature.parameters.items() if parameter.default is None}

    def call(*, progress: ProgressTo = True, **options: Any) -> Result:
        from boxseg.stages import run_verb

        require(
            isinstance(progress, bool) or callable(progress),
            f"progress={progress!r}: expected True, False or a function of a boxseg.ProgressState",
        )
        lightnings: dict[str, list[Any]] = {}
        if name in TRAINING_VERBS:
            options, lightnings = _split_lightnings(options)
        # None leaves out an optional option or section.
        given = {key: value for key, value in options.items() if not (key in unset and value is None)}
        with progress_to(progress):
            return run_verb(name, from_python(name, job, given), **lightnings)

    call.__name__ = call.__qualname__ = name.replace("-", "_")
    call.__module__ = "boxseg"
    call.__signature__ = signature  # type: ignore[attr-defined]
    summary, texts = docstring(job)
    lines = [summary, "", "Args:"]
    for key in signature.parameters:
        stars = "**" if key == "options" else ""
        first, *others = wrapped(f"{stars}{key}: {(texts | OTHERS)[key]}", 100)
        lines += [f"    {first}", *(f"        {line}" for line in others)]
    call.__doc__ = "\n".join([*lines, "", "Raises:", "    BoxsegError: Something given cannot be used.", ""])
    return call


def _signature(verb: str, job: type[Job]) -> inspect.Signature:
    """What `help` shows: the job's fields as keywords, then options of its sections by shorter names."""
    own = inspect.signature(job, eval_str=True)
    parameters = list(own.parameters.values())
    if verb in TRAINING_VERBS:
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=(), annotation="Sequence[Any]")
            for key in ("callbacks", "loggers")
        ]
    told = inspect.Parameter(
        "progress",
        inspect.Parameter.KEYWORD_ONLY,
        default=True,
        annotation="bool | Callable[[ProgressState], None]",
    )
    parameters.append(told)
    if any(dataclasses.is_dataclass(kind) for item in parameters for kind in kinds_in(item.annotation)):
        parameters.append(inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD, annotation=Any))
    return own.replace(parameters=parameters, return_annotation=Result)


def _split_lightnings(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Separate Lightning's callbacks and loggers, which are not options, from the options."""
    options = dict(options)
    callbacks, given = _listed(options.pop("callbacks", None)), options.pop("loggers", None)
    loggers = [item for item in _listed(given) if not isinstance(item, str)]
    names = [item for item in _listed(given) if isinstance(item, str)] if loggers else given
    if names:
        options["loggers"] = names
    return options, {"callbacks": callbacks, "loggers": loggers}


def _listed(given: Any) -> list[Any]:
    """A list as it is, a single object as a list of one, None as an empty list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def load(
    path: Path | str,
    *,
    device: str = "auto",
    tta: bool = False,
    crf: bool | Crf = False,
    tile: int | Literal["auto"] = "auto",
    max_pixels: int = MOST_PIXELS,
) -> BasePredictor:
    """A trained segmentation network, called with photos: `boxseg.load("model.safetensors")("photo.jpg")`.

    By default the network sees a photo once and no CRF follows: this is fast, and the same as an exported
    network. With `tta=True, crf=True` it labels like `boxseg predict`.

    Args:
        path: model.safetensors or its run folder; or a file made by `boxseg export format=onnx`, which then
            runs on onnxruntime.
        device: `auto`, `cpu` or `gpu`.
        tta: See each photo at several scales and mirrored.
        crf: Dense CRF after the network: on, off, or a `Crf` with other options.
        tile: Photos longer than this many pixels are seen in windows of that side, which overlap and are
            blended; 0 for never; `auto`: windows of 2048 for photos too large for the memory of usual machines.
        max_pixels: Photo files of more pixels are refused: decoded, a small file may be of any size.

    Raises:
        CheckpointError: There is no segmentation network.
        ConfigError: The device is missing, `tile` is not a valid size, or an ONNX file was given with options
            that it cannot follow.
    """
    if Path(path).suffix.lower() == ".onnx":
        if tta or crf or device != "auto":
            raise ConfigError(
                f"{path}: tta, crf and device are for checkpoints (model.safetensors); "
                "boxseg.OnnxPredictor takes providers="
            )
        from boxseg.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor(path, tile=tile, max_pixels=max_pixels)
    from boxseg.inference import torch_predictor

    return torch_predictor.load(path, device=device, tta=tta, crf=crf, tile=tile, max_pixels=max_pixels)


# The verbs by their names in Python, which `__init__.pyi` declares.
globals().update({verb.replace("-", "_"): _verb(verb) for verb in JOBS})
