"""Change files of every kind, led by coverage: atheris (libFuzzer) keeps what reaches new lines of boxseg.

    pip install -e '.[fuzz]'
    python tests/faults/cover_files.py readers -max_total_time=1800    or run_folders, or checkpoints
    python tests/faults/cover_files.py readers --replay FILE…    without atheris, with the traceback

A find is anything that is raised but a BoxsegError, or that takes more than 20 s or 4 GB; libFuzzer writes it
to a file, prints its name, and ends. Its corpus is kept in build/corpus/KIND, for the next time. What follows
KIND goes to libFuzzer. The lines that a corpus reaches:

    corpus=build/corpus/readers
    python -m coverage run --source=src/boxseg tests/faults/cover_files.py readers --replay $corpus/*
"""

from __future__ import annotations

import concurrent.futures
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]


class InThisThread(Executor):
    """Takes the place of pools of threads: starting one takes longer than the work, and coverage would vary."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*given, **named))
        except Exception as error:
            future.set_exception(error)
        return future


OPTIONS = ("-timeout=20", "-rss_limit_mb=4096", "-max_len=65536", "-len_control=0", "-print_final_stats=1")
# How many inputs of ten are changed in what they say; the others by libFuzzer, in their bytes.
SPEAKING = 6


def main(words: list[str]) -> None:
    """Replay files, or hand over to libFuzzer, which does not return."""
    kind, *rest = words
    logging.disable()
    concurrent.futures.ThreadPoolExecutor = InThisThread  # type: ignore[misc,assignment]
    warnings.simplefilter("ignore")
    if rest[:1] == ["--replay"]:
        replay(kind, [Path(name) for name in rest[1:]])
        return
    import atheris

    with atheris.instrument_imports(include=["boxseg"], enable_loader_override=False):
        from file_targets import Targets
    with tempfile.TemporaryDirectory(dir=memory()) as home:
        targets = Targets(kind, Path(home))
        corpus = Path("build") / "corpus" / kind
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(targets.seeds()):
            (corpus / f"valid-{number:02}").write_bytes(seed)

        def mutate(data: bytes, most: int, seed: int) -> bytes:
            changed = targets.change(data, seed) if seed % 10 < SPEAKING else atheris.Mutate(data, len(data))
            return changed[:most]

        atheris.Setup([sys.argv[0], *OPTIONS, *rest, str(corpus)], targets.one, custom_mutator=mutate)
        atheris.Fuzz()


def replay(kind: str, files: list[Path]) -> None:
    """Run inputs once, as they are."""
    from file_targets import Targets

    with tempfile.TemporaryDirectory(dir=memory()) as home:
        targets = Targets(kind, Path(home))
        for file in files:
            targets.one(file.read_bytes())
    print(f"{len(files)} inputs of {kind}: no find")


def memory() -> Any:
    """A folder in memory where there is one: a file is written for each input."""
    place = Path("/dev/shm")
    return place if place.is_dir() else None


if __name__ == "__main__":
    main(sys.argv[1:])
