"""Let the disk run full at random places in commands, make room, repeat them, and compare their results.

    sudo python tests/faults/fill_disk.py --tries 100 --seed 0
    unshare --user --map-root-user --mount python tests/faults/fill_disk.py --tries 100

Each try mounts a small disk in memory (Linux's tmpfs), as large as a random share of what the command writes,
and runs the command into it. It must end with one line that names a file and says that there is no space, and
leave nothing half written. Then the disk is made larger, and the same command must write what it writes on a
large disk. Any difference is printed, and the status is 1.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boxseg.runs.layout import CONFUSION, HISTORY, LABEL_MAP, METRICS, PROVENANCE, RECORD
from forked_commands import start, warm_up
from kill_commands import PATIENCE, Harness
from written_verbs import COMMANDS, QUICK, differences, leftovers, results

PAGE = 4096
# Written more than once while a command runs, so that what an interrupted one left may be an earlier state.
GROWING = (PROVENANCE, HISTORY, RECORD, METRICS, CONFUSION, LABEL_MAP)
SAID = re.compile(
    r"boxseg: (?P<path>.+): no space left on this disk; make room and give the same command again"
)


@dataclass
class Tally:
    """What was done to one command."""

    tries: int = 0
    full: int = 0  # how often it was stopped
    wrong: list[str] = field(default_factory=list)


def fill(harness: Harness, name: str, pages: int, tally: Tally) -> None:
    """Run a command on a disk of so many pages, then on a large one."""
    tally.tries += 1
    out = harness.folder / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "boxseg", str(out)], check=True)
    try:
        status, text = _run(harness, name)
        if status != 0:
            tally.full += 1
            tally.wrong += _faults(harness, name, status, text)
            subprocess.run(["mount", "-o", "remount,size=256m", str(out)], check=True)
            status, text = _run(harness, name)
            if status != 0:
                tally.wrong.append(f"repeated: status {status}: {text.splitlines()[-1:]}")
        tally.wrong += differences(harness.expected[name], results(out))
        tally.wrong += [f"{file} was left" for file in leftovers(out)]
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)
        out.rmdir()


def _run(harness: Harness, name: str) -> tuple[int | None, str]:
    command = start(
        list(COMMANDS[name]),
        harness.folder,
        temporary=harness.folder / "tmp",
        said=harness.folder / "log" / "said.txt",
    )
    return command.wait(PATIENCE), command.text()


def _faults(harness: Harness, name: str, status: int | None, text: str) -> list[str]:
    """What is wrong about how a command met the full disk."""
    last = (text.splitlines() or [""])[-1]
    said = SAID.fullmatch(last)
    wrong = [] if status == 1 and said and "Traceback" not in text else [f"status {status}: {last}"]
    if said and not (harness.folder / said["path"]).resolve().is_relative_to(harness.folder / "out"):
        wrong.append(f"names {said['path']}")
    found, expected = results(harness.folder / "out"), harness.expected[name]
    wrong += [
        f"half written: {file}"
        for file, content in found.items()
        if content != expected.get(file, content) and Path(file).name not in GROWING
    ]
    return wrong + [f"{file} was left by the full disk" for file in leftovers(harness.folder / "out")]


def fill_all(harness: Harness, names: Sequence[str], tries: int, seed: int) -> dict[str, Tally]:
    """Fill disks under commands in turn."""
    rng, tallies = random.Random(seed), {name: Tally() for name in names}
    for number in range(tries):
        name = names[number % len(names)]
        content = harness.expected[name].values()
        most = sum(2 + len(file) // PAGE for file in content)
        before = len(tallies[name].wrong)
        pages = rng.randint(1, most)
        fill(harness, name, pages, tallies[name])
        for line in tallies[name].wrong[before:]:
            print(f"WRONG, seed {seed}, try {number}, {name}, {pages} pages: {line}", flush=True)  # noqa: T201
    return tallies


def main() -> int:
    """Parse the options, fill disks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=tuple(COMMANDS), default=list(QUICK), metavar="NAME")
    options = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
        harness = Harness(Path(folder), Path(elsewhere))
        harness.prepare(options.commands)
        tallies = fill_all(harness, options.commands, options.tries, options.seed)
    rows = ["| command | tries | disk full | wrong |\n| --- | ---: | ---: | ---: |"]
    rows += [f"| {name} | {t.tries} | {t.full} | {len(t.wrong)} |" for name, t in tallies.items()]
    print("\n".join(rows))  # noqa: T201
    return 1 if any(tally.wrong for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
