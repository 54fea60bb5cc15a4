"""The command line: `boxseg VERB key=value …`. Only this module prints."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from boxseg import __version__
from boxseg.errors import BoxsegError, ConfigError, chain_of, did_you_mean, is_failure, require, say_failure
from boxseg.freed_memory import keep_freed_memory

if TYPE_CHECKING:
    from boxseg.tables import Table

_VERBS = """\
  demo      make a small data set and run all stages on it, offline, in minutes
  doctor    check a data set: counts, classes, everything that is broken
  run       all stages: boxes → labels → segmentation network → scores
  adapt     train the mask network on your own boxes
  classify  stage 1: train the box classifier with background-aware pooling
  label     stage 2: write pseudo labels for photos with boxes
  segment   stage 3: train a segmentation network from labels
  evaluate  score a network or a folder of labels against ground-truth masks
  report    show a run in one HTML file: scores, curves, confusions, photos with their labels
  predict   label new photos with a trained network
  export    write a trained network as ONNX, for programs without boxseg
  convert   write labels for other programs: CVAT, VOC, COCO, YOLO, Ultralytics' masks
  download  set up VOC 2012 or COCO 2017
  reproduce run a table of the paper, and print ours beside the published numbers
  background-masks  write masks of what lies outside all boxes, for other programs
  convert-config  turn a configuration file of BANA's public code into options of boxseg
"""
VERBS = [line.split()[0] for line in _VERBS.splitlines()]

# Verbs of earlier versions, with what became of them.
_RENAMED = {
    "masks": "the verb masks is now called background-masks, and in Python boxseg.background_masks; "
    "boxseg.masks makes masks of boxes",
}

SUMMARY = f"""boxseg {__version__}: from bounding boxes to segmentation masks and a trained network.

usage: boxseg VERB [key=value …] [-c FILE.yaml]

{_VERBS}
  boxseg VERB --help          all options of a verb
  boxseg VERB … --print-config  print the resolved options as YAML; run nothing
  -c FILE.yaml                options from a file, or a recipe by its name
  --verbose                   also say what is done, with what, and how long it takes
  --quiet                     no progress, and no remarks but warnings
  --debug                     show the traceback of an error
  --version                   print the version
  boxseg completion bash|zsh|fish  a script with which the Tab key completes words
  boxseg schema               a JSON schema of all options, for editors

Data sets: VOC (devkit), COCO (instances JSON), YOLO (data.yaml), CVAT (XML), Label Studio and labelme (JSON),
tables of boxes (CSV); the format is recognised.
Example: boxseg run data.root=photos out=runs/first
"""


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 the input cannot be used, 130 Ctrl-C."""
    # Pillow reads this when imported, and keeps the memory of that many pictures for reuse: getting it from the
    # system each time takes up to a fifth of the time of loading a training image.
    os.environ.setdefault("PILLOW_BLOCKS_MAX", "4")
    keep_freed_memory()
    sys.exit(execute(list(sys.argv[1:] if words is None else words)))


def execute(words: list[str]) -> int:
    """Run one command and return its exit status."""
    completed = words[:1] == ["completion"]  # words of a line that is being typed, flags included
    flags = {flag: flag in words and not completed for flag in ("--debug", "--verbose", "--quiet")}
    level = logging.DEBUG if flags["--verbose"] else logging.WARNING if flags["--quiet"] else logging.INFO
    _show_any_name()
    with _log_shown(level), _ctrl_c_noticed() as noticed, _progress(shown=not flags["--quiet"]):
        return _answer([word for word in words if not flags.get(word)], flags, noticed)


def _progress(shown: bool) -> AbstractContextManager[None]:
    if shown:
        return nullcontext()
    from boxseg.progress import progress_to

    return progress_to(False)


@contextmanager
def _ctrl_c_noticed() -> Iterator[list[int]]:
    """A list that is not empty once Ctrl-C was pressed, of which some libraries make other errors."""
    noticed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noticed.append(number)
        signal.default_int_handler(number, frame)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield noticed
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _answer(words: list[str], flags: Mapping[str, bool], noticed: list[int]) -> int:
    """Run one command, and say in one line what ended it."""
    try:
        require(
            not (flags["--quiet"] and flags["--verbose"]),
            "--quiet and --verbose exclude each other: give one of them",
        )
        return _in_company(words)
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except BrokenPipeError:
        # The reader of our output has closed (`boxseg … | head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if noticed:
            return _interrupted(error)
        ours = isinstance(error, BoxsegError)
        if not ours and not is_failure(error):
            raise
        if flags["--debug"]:
            traceback.print_exc()
        _close_progress(error)
        print(f"boxseg: {error if ours else say_failure(error)}", file=sys.stderr)
        return 2 if ours else 1


def _interrupted(stop: BaseException) -> int:
    _close_progress(stop)
    print("boxseg: interrupted; the same command goes on where it stopped", file=sys.stderr)
    return 130


def _close_progress(error: BaseException) -> None:
    """End what the error has left unfinished, such as progress bars, so that its message comes last."""
    for part in chain_of(error):
        traceback.clear_frames(part.__traceback__)


def _in_company(words: list[str]) -> int:
    """Run one command: of processes that a launcher has started, in the first, while the others train along.

    The others print nothing, but for what the first cannot say any more: one of each machine says that.
    """
    from boxseg.training.launch import launched

    launch = launched()
    if launch is None:
        return _dispatch(words)
    # torch reads this when it is imported: no remarks on its network.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from boxseg.training.crew import follow, leading

    if launch.rank == 0:
        with leading(launch) as leader:
            leader.result = status = _dispatch(words)
            return status
    try:
        return follow(launch).status
    except KeyboardInterrupt:
        return 130
    except BoxsegError:
        if launch.local_rank == 0:
            raise
        return 2


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(SUMMARY, end="")
        return 0
    if words[0] in ("--version", "version"):
        print(f"boxseg {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb in _TOOLS:
        print(_TOOLS[verb](rest), end="")
        return 0
    if verb in _RENAMED:
        raise ConfigError(_RENAMED[verb])
    if verb not in VERBS:
        known = [*VERBS, *_TOOLS]
        raise ConfigError(f"unknown verb {verb!r}{did_you_mean(verb, known)} (one of {', '.join(known)})")
    from boxseg import options

    if "-h" in rest or "--help" in rest:
        print(options.help_text(verb), end="")
        return 0
    given = [word for word in rest if word not in ("--print-config", "--print_config")]
    job = options.build_job(verb, options.parse_words(given, verb))
    if len(given) < len(rest):
        print(options.to_yaml(job), end="")
        return 0
    from boxseg.stages import run_verb

    outcome = run_verb(verb, job)
    text = outcome.output()
    if text is None:
        _show(outcome.tables(), outcome.notes())
    else:
        print(text)
    return outcome.status


def _completion(words: Sequence[str]) -> str:
    from boxseg.options import completion

    return completion.answer(words)


def _schema(words: Sequence[str]) -> str:
    from boxseg.options import schema

    return schema.answer(words)


# What prints something about the options and runs no verb.
_TOOLS = {"completion": _completion, "schema": _schema}


def _show(tables: Sequence[Table], notes: Sequence[str]) -> None:
    from rich import box, console, table, text

    screen = console.Console(width=None if sys.stdout.isatty() else 120, highlight=False, soft_wrap=True)
    for content in tables:
        # Texts come from data: as plain texts, their brackets are not read as markup.
        title = text.Text(content.title, style="bold")
        grid = table.Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for place, name in enumerate(content.columns):
            grid.add_column(text.Text(name), justify="left" if place == 0 else "right", overflow="fold")
        for row in content.texts():
            grid.add_row(*map(text.Text, row))
        screen.print(grid)
    for note in notes:
        screen.print(note, markup=False, emoji=False)


def _show_any_name() -> None:
    """Print what the terminal's encoding lacks, and names that are no UTF-8, by the codes of characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _log_shown(level: int) -> Iterator[None]:
    """Send log messages from a level on to stderr, one plain line each; with details, also the time."""
    log = logging.getLogger("boxseg")
    before = log.handlers, log.level, log.propagate
    handler = logging.StreamHandler()
    if level < logging.INFO:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.handlers, log.propagate = [*log.handlers, handler], False
    log.setLevel(level)
    try:
        yield
    finally:  # the process may go on with calls from Python
        log.handlers, log.propagate = before[0], before[2]
        log.setLevel(before[1])
