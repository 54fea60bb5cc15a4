"""Kill commands at random moments, repeat them until they end, and compare their results byte by byte.

    python tests/faults/kill_commands.py --kills 300 --seed 0

Each round takes one command and an empty folder. The command is started and gets SIGKILL, SIGTERM or SIGINT
after a random time, up to how long it takes undisturbed; then the same again, at most three times; then it may
end. A third of the commands have TMPDIR on another disk (/dev/shm), and a third a slow disk. What it wrote must
then be what an undisturbed command wrote, and no temporary file and no process may be left. Only signals that
met a running command count. Any loss is printed, and the status is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from forked_commands import Forked, slow_disk, start, warm_up
from written_verbs import COMMANDS, QUICK, differences, in_group, leftovers, prepare, results

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What a command may answer: done before it noticed, killed, or interrupted.
ENDED = {signal.SIGKILL: (0, -9), signal.SIGTERM: (0, -15, 130), signal.SIGINT: (0, -2, 130)}
# Signals in a round.
MOST = 3
# Seconds in which a command must end by itself: far more than any takes on a busy machine.
PATIENCE = 900.0
# Seconds in which it must end after a signal, and in which its helpers must.
GRACE = 60.0


@dataclass
class Tally:
    """What was done to one command."""

    rounds: int = 0
    signals: Counter[int] = field(default_factory=Counter)
    elsewhere: int = 0  # signals while TMPDIR was on another disk
    slow: int = 0  # signals while the disk was slow
    lost: list[str] = field(default_factory=list)


@dataclass
class Harness:
    """Commands in a folder, and a folder on another disk.

    Attributes:
        folder: Where everything lies.
        elsewhere: The other TMPDIR.
        expected: Results of undisturbed commands, by the command's name.
        seconds: How long those took.
    """

    folder: Path
    elsewhere: Path
    expected: dict[str, dict[str, bytes]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def prepare(self, names: Sequence[str]) -> None:
        """Make what commands read, and their undisturbed results."""
        for name in ("tmp", "log"):
            (self.folder / name).mkdir()
        prepare(self.folder, self._undisturbed)
        for name in names:
            began = time.monotonic()
            self._undisturbed(list(COMMANDS[name]), self.folder)
            self.seconds[name] = time.monotonic() - began
            self.expected[name] = results(self.folder / "out")
            shutil.rmtree(self.folder / "out")

    def round(self, name: str, rng: random.Random, tally: Tally, kills: int) -> None:
        """Disturb one command at most `kills` times, let it end, and note what was lost."""
        tally.rounds += 1
        for _ in range(min(kills, rng.randint(1, MOST))):
            if not self._disturbed(name, rng, tally):
                break
        elsewhere = rng.random() < 1 / 3
        command = self._start(list(COMMANDS[name]), self.folder, elsewhere)
        status = command.wait(PATIENCE)
        if status != 0:
            tally.lost.append(f"repeated: status {status}: {_end_of(command)}")
        out = self.folder / "out"
        tally.lost += differences(self.expected[name], results(out))
        tally.lost += [f"{file} was left" for file in leftovers(out, self.folder / "tmp", self.elsewhere)]
        shutil.rmtree(out, ignore_errors=True)
        for place in (self.folder / "tmp", self.elsewhere):
            shutil.rmtree(place)
            place.mkdir()

    def _disturbed(self, name: str, rng: random.Random, tally: Tally) -> bool:
        """Start a command and disturb it; False if it has ended before."""
        elsewhere, slow, how = rng.random() < 1 / 3, rng.random() < 1 / 3, rng.choice(SIGNALS)
        moment = rng.uniform(0, self.seconds[name])
        before = partial(slow_disk, str(moment)) if slow else None
        command = self._start(list(COMMANDS[name]), self.folder, elsewhere, before)
        status = command.wait(moment)
        if status is not None:
            if status != 0:
                tally.lost.append(f"undisturbed: status {status}: {_end_of(command)}")
            return False
        os.kill(command.pid, how)
        status = command.wait(GRACE)
        tally.signals[how] += 1
        tally.elsewhere += elsewhere
        tally.slow += slow
        if status is None:
            os.killpg(command.pid, signal.SIGKILL)
            command.wait(GRACE)
            tally.lost.append(f"did not end after {how.name}")
        elif status not in ENDED[how] or _has_traceback(command.text()):
            tally.lost.append(f"{how.name}: status {status}: {_end_of(command)}")
        tally.lost += _left_behind(command)
        return status != 0

    def _start(
        self, words: list[str], folder: Path, elsewhere: bool, before: partial[None] | None = None
    ) -> Forked:
        temporary = self.elsewhere if elsewhere else self.folder / "tmp"
        return start(words, folder, temporary=temporary, said=self.folder / "log" / "said.txt", before=before)

    def _undisturbed(self, words: list[str], folder: Path) -> None:
        command = self._start(words, folder, elsewhere=False)
        if command.wait(PATIENCE) != 0:
            raise RuntimeError(f"{' '.join(words)}: {command.text()}")


def _left_behind(command: Forked) -> list[str]:
    """Processes of a command that do not end; they are killed."""
    end = time.monotonic() + GRACE
    while (left := in_group(command.pid)) and time.monotonic() < end:
        time.sleep(0.01)
    if left:
        os.killpg(command.pid, signal.SIGKILL)
    return [f"process {pid} was left" for pid in left]


def _has_traceback(text: str) -> bool:
    """Whether a command showed a traceback; Python itself shows one if Ctrl-C meets it within an import."""
    return "Traceback" in text and "Exception ignored in" not in text


def _end_of(command: Forked) -> str:
    return " | ".join(command.text().splitlines()[-12:])


def disturb(harness: Harness, names: Sequence[str], kills: int, seed: int) -> dict[str, Tally]:
    """Disturb commands in turn until so many signals have met one."""
    tallies = {name: Tally() for name in names}
    done = number = 0
    while done < kills:
        name = names[number % len(names)]
        tally = tallies[name]
        before = sum(tally.signals.values()), len(tally.lost)
        harness.round(name, random.Random(f"{seed}/{number}"), tally, kills - done)
        done += sum(tally.signals.values()) - before[0]
        for line in tally.lost[before[1] :]:
            print(f"LOST, seed {seed}, round {number}, {name}: {line}", flush=True)  # noqa: T201
        number += 1
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    """As Markdown."""
    rows = [["command", "rounds", *(how.name for how in SIGNALS), "TMPDIR elsewhere", "slow disk", "lost"]]
    rows.append(["---", *("---:" for _ in rows[0][1:])])
    numbers = [
        [t.rounds, *(t.signals[how] for how in SIGNALS), t.elsewhere, t.slow, len(t.lost)]
        for t in tallies.values()
    ]
    rows += [[name, *map(str, row)] for name, row in zip(tallies, numbers, strict=True)]
    rows.append(["all", *(str(sum(column)) for column in zip(*numbers, strict=True))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    """Parse the options, disturb, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--commands", nargs="+", choices=tuple(COMMANDS), default=list(COMMANDS), metavar="NAME"
    )
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    options = parser.parse_args()
    names = list(QUICK) if options.quick else options.commands
    warm_up()
    shm = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as elsewhere,
    ):
        harness = Harness(Path(folder), Path(elsewhere))
        harness.prepare(names)
        tallies = disturb(harness, names, options.kills, options.seed)
    print(table(tallies))  # noqa: T201
    return 1 if any(tally.lost for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
