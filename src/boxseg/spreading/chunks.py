"""Cut photos into chunks that cost about the same, the smaller the fewer photos are left."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from boxseg.dataset import Sample

# Pixels of a chunk: at least those of 4 photos of 500 x 375, so that handing it over costs nothing beside the
# work; at most those of 32 for a core and of 256 for an accelerator, as that of a dead worker is done again.
_LEAST, MOST_FOR_A_CORE, MOST_FOR_AN_ACCELERATOR = 750_000, 6_000_000, 48_000_000
# What a small photo costs at least, in pixels: its boxes are seen at a size of their own.
_SMALL = 100_000


class Cut:
    """The photos that nobody works on yet. They are cut when somebody is free: workers come and go."""

    def __init__(self, samples: Sequence[Sample], together: int | None = None) -> None:
        self._samples, self._next, self._together = samples, 0, together
        self._again: deque[tuple[int, list[Sample]]] = deque()
        self._cost = sum(map(_cost, samples))

    def __bool__(self) -> bool:
        return bool(self._next < len(self._samples) or self._again)

    def take(self, slots: int, most: int) -> tuple[int, list[Sample]]:
        """The next chunk, and the place of its first photo: half the share of each of so many slots.

        So all end at about the same time, although some are faster. `most` is in pixels; of photos that are to
        be `together` a chunk has at most so many, of any size. What was given back comes first.
        """
        if self._again:
            return self._again.popleft()
        aim = max(_LEAST, self._cost / (2 * max(1, slots)))
        aim = aim if self._together else min(most, aim)
        place, chunk, cost = self._next, list[Sample](), 0
        while self._next < len(self._samples) and len(chunk) < (self._together or len(self._samples)):
            sample = self._samples[self._next]
            if chunk and cost + _cost(sample) > aim:
                break
            chunk.append(sample)
            cost += _cost(sample)
            self._next += 1
        self._cost -= cost
        return place, chunk

    def give_back(self, place: int, chunk: list[Sample]) -> None:
        """Have a chunk done again, whose worker is gone."""
        self._again.append((place, chunk))


def _cost(sample: Sample) -> int:
    """What a photo costs: reading, networks and the CRF take time by its pixels."""
    return max(_SMALL, sample.width * sample.height)


def named(chunk: Sequence[Sample]) -> str:
    """The photos of a chunk, in words."""
    return f"photos {chunk[0].id} to {chunk[-1].id}" if len(chunk) > 1 else f"photo {chunk[0].id}"
