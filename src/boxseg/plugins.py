"""Losses, backbones, label methods and annotation formats from other packages, found by name.

An installed package lists them as entry points; a script or notebook calls `register`. Entry points are not
read for boxseg's own names, and a plug-in is imported when its name is first used: start-up stays fast.
"""

from __future__ import annotations

import pickle
import re
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from boxseg.errors import ConfigError, did_you_mean, one_line

PluginKind = Literal["loss", "backbone", "label_method", "format"]

LossName = Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"]
BackboneName = Literal["efficientnet_lite0", "vgg16", "resnet50", "resnet101"]
LabelMethod = Literal["auto", "network", "bap", "gap", "box", "ellipse", "grabcut", "sam"]
FormatName = Literal["auto", "voc", "coco", "yolo", "cvat", "label-studio", "labelme", "csv"]

BUILT_IN: dict[PluginKind, tuple[str, ...]] = {
    "loss": get_args(LossName),
    "backbone": get_args(BackboneName),
    "label_method": get_args(LabelMethod),
    "format": get_args(FormatName),
}
GROUPS: dict[PluginKind, str] = {
    "loss": "boxseg.losses",
    "backbone": "boxseg.backbones",
    "label_method": "boxseg.label_methods",
    "format": "boxseg.formats",
}

# No colon (used by hf:NAME and timm:NAME), and nothing that a command line would split.
_NAME = re.compile(r"\w[\w.-]*")

_registered: dict[tuple[PluginKind, str], Any] = {}


def register(kind: PluginKind, name: str, plugin: Any) -> None:
    """Add a loss, backbone, label method or format under a name, for this process.

    A name may be registered again, as when a notebook cell is run twice; the last one counts, even before that
    of an installed package. With `trainer.devices` above 1 the object is sent to other processes, which must be
    able to import it: define it at the top level of a file, not in a notebook. The command line knows only
    entry points of packages; docs/extending.md shows both.

    Args:
        kind: `loss`, `backbone`, `label_method` or `format`.
        name: What the option is set to: letters, digits, `_`, `-` and `.`.
        plugin: A loss is a function like those in `boxseg.nn.losses.LOSSES`; a backbone a subclass of
            `boxseg.nn.backbones.base.Backbone` or a function that returns one; a label method a function
            `start(job, dataset)` that returns a `boxseg.labelling.method.Method`; a format a function
            `read(data)` that returns a `boxseg.formats.listing.Listing`, or a module with that function and,
            for `data.format=auto`, `matches(root)`.

    Raises:
        ConfigError: There is no such kind, the name is invalid or one of boxseg's own, or the object cannot be
            called.
    """
    if kind not in GROUPS:
        raise ConfigError(f"unknown kind {kind!r}{did_you_mean(kind, GROUPS)} (one of {', '.join(GROUPS)})")
    _check_name(kind, name, "boxseg.register")
    if not callable(plugin) and not (kind == "format" and callable(getattr(plugin, "read", None))):
        raise ConfigError(f"{_noun(kind)} {name!r}: expected a function or class, got {type(plugin).__name__}")
    _registered[kind, name] = plugin


def names(kind: PluginKind) -> tuple[str, ...]:
    """Names that plug-ins add, sorted, without importing any; ConfigError if two packages add the same one."""
    return tuple(sorted({name for of, name in _registered if of == kind} | set(_listed(kind))))


def is_known(kind: PluginKind, name: str) -> bool:
    """Whether a name is one of boxseg's own or a plug-in's."""
    return name in BUILT_IN[kind] or (kind, name) in _registered or name in _listed(kind)


def require_name(kind: PluginKind, option: str, name: str, others: str = "") -> None:
    """Check the value of an option that plug-ins may extend; `others` names further values in the error."""
    if is_known(kind, name):
        return
    added = names(kind)
    plugged = f"of plug-ins: {', '.join(added)}" if added else "no plug-in adds one"
    raise ConfigError(
        f"unknown {option}={name}{did_you_mean(name, (*BUILT_IN[kind], *added))} "
        f"(one of {', '.join(BUILT_IN[kind])}; {others}{plugged})"
    )


def find(kind: PluginKind, name: str) -> Any:
    """The plug-in of a name, imported if necessary; ConfigError if that fails."""
    if (kind, name) in _registered:
        return _registered[kind, name]
    require_name(kind, _noun(kind), name)
    entry = _listed(kind)[name]
    try:
        return entry.load()
    except Exception as error:  # foreign code may raise anything
        raise ConfigError(
            f"{_noun(kind)} {name!r}: {entry.value} of {_package(entry)} cannot be imported "
            f"({type(error).__name__}: {one_line(error, 300)}): fix that package, or uninstall it"
        ) from error


def package_of(kind: PluginKind, name: str) -> str | None:
    """The installed package and version that add a name (`tiny-plugin 0.1`), or None."""
    if name in BUILT_IN[kind] or (kind, name) in _registered:
        return None
    entry = _listed(kind).get(name)
    return _package(entry) if entry else None


def require_sendable(thing: object, what: str, cluster: str | None = None) -> None:
    """Check that an object can be sent to another process, which must import its class or function."""
    home = getattr(thing, "__module__", None) or type(thing).__module__
    reason = "it is defined in a notebook or prompt"
    if home != "__main__" or hasattr(sys.modules["__main__"], "__file__"):
        try:
            pickle.dumps(thing)
            return
        except Exception as error:  # foreign code may raise anything
            reason = one_line(error, 300)
    if cluster:
        raise ConfigError(
            f"{what} cannot be sent to the workers of cluster={cluster} ({reason}): put it into a package that "
            "is installed there, too, or leave out cluster="
        )
    raise ConfigError(
        f"{what} cannot be sent to the processes of several devices ({reason}): define it at the top level "
        "of a file that they can import, or use trainer.devices=1"
    )


def _listed(kind: PluginKind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUPS[kind]):
        _check_name(kind, entry.name, _package(entry))
        if entry.name in found and found[entry.name] != entry:
            raise ConfigError(
                f"two packages add a {_noun(kind)} {entry.name!r}: {_package(found[entry.name])} and "
                f"{_package(entry)}; uninstall one"
            )
        found[entry.name] = entry
    return found


def _check_name(kind: PluginKind, name: str, source: str) -> None:
    if name in BUILT_IN[kind]:
        raise ConfigError(f"{source}: {_noun(kind)} {name!r} is one of boxseg's own; choose another name")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{source}: {name!r} cannot name a {_noun(kind)}; use letters, digits, '_', '-' and '.'"
        )


def _package(entry: EntryPoint) -> str:
    package = entry.dist
    return f"{package.name} {package.version}" if package else "an unknown package"


def _noun(kind: PluginKind) -> str:
    return kind.replace("_", " ")
