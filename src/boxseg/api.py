"""The verbs as Python functions: `boxseg.label(checkpoint=..., data=..., out=...)`.

Options are those of the command line, by keyword: nested (`data={"root": DIR, "split": "val"}`), as the
dataclasses of `boxseg.config`, or by any unambiguous name (`grid=3`). Each returns what the command prints.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from boxseg.jobs import JOBS, Job
from boxseg.options import from_python


def _verb(name: str, function: str = "") -> Callable[..., Any]:
    job: type[Job] = JOBS[name]
    function = function or name.replace("-", "_")
    module = f"boxseg.stages.{name.replace('-', '_')}"

    def call(**options: Any) -> Any:
        checked = from_python(name, job, options)
        return importlib.import_module(module).run(checked)

    call.__name__ = call.__qualname__ = function
    call.__module__ = "boxseg"
    call.__doc__ = f"{job.__doc__}\n\n    Raises:\n        BoxsegError: Something given cannot be used.\n"
    parameters = [
        inspect.Parameter(
            item.name, inspect.Parameter.KEYWORD_ONLY, default=_default(item), annotation=item.type
        )
        for item in dataclasses.fields(job)
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return inspect.Parameter.empty if item.default is dataclasses.MISSING else item.default


run = _verb("run")
classify = _verb("classify")
label = _verb("label")
segment = _verb("segment")
evaluate = _verb("evaluate")
write_report = _verb("report", "write_report")  # boxseg.report is the package of tables and pages
predict = _verb("predict")
doctor = _verb("doctor")
masks = _verb("masks")
download = _verb("download")
reproduce = _verb("reproduce")
convert_config = _verb("convert-config")
demo = _verb("demo")
