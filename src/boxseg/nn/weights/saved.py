"""What torch.save wrote, read without running code from it."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

# Characters without a space between them at most. When torch refuses a file it quotes from it, and searches its
# message in a time that grows with their square: hours for a megabyte.
_LONGEST_WORD = 10_000
# Pickles one after the other in torch's older format.
_PICKLES = 5


def load_saved(path: Path, *, mmap: bool = False) -> Any:
    """Tensors and plain values of a file, on the CPU; the argument is torch.load's.

    Raises:
        Exception: Of any type, as pickle raises it: the file is damaged, or holds something else.
    """
    _require_short_words(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def _require_short_words(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                if part.filename.endswith("data.pkl"):
                    with archive.open(part) as stream:
                        _check(stream)
        return
    with path.open("rb") as stream:
        for number in range(_PICKLES):
            if number and not stream.peek(1):
                return  # one pickle alone: torch says what it lacks
            _check(stream)


def _check(stream: IO[bytes]) -> None:
    for _, text, _ in pickletools.genops(stream):
        if isinstance(text, str) and len(text) > _LONGEST_WORD:
            longest = max(map(len, text.split()), default=0)
            if longest > _LONGEST_WORD:
                raise pickle.UnpicklingError(f"a word of {longest} characters")
