"""The length of a training, and how its learning rate falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boxseg.config import Adapt, Classify, Segment


def schedule_length(options: Adapt | Classify | Segment, images: int, scale: float = 1.0) -> int:
    """Steps of a stage's schedule: `iterations`, or `epochs` passes over the images, rounded up.

    The passes have at least `min_iterations`, the mask network's at most `max_iterations`. Multiplied by
    `scale` and rounded, at least 1. The milestones of stage 1, the end of the polynomial decay and the β of
    bootstrapping are shares of it.
    """
    whole = options.iterations
    if whole is None:
        passes = max(1, math.ceil(options.epochs * images / options.batch))
        if isinstance(options, Adapt):
            whole = min(passes, options.max_iterations)
        else:
            whole = max(passes, options.min_iterations)
    return max(1, round(whole * scale))


def checkpoint_interval(every: int, scale: float) -> int:
    """Iterations between checkpoints of a scaled schedule; scaling makes them no fewer than 10."""
    return max(min(every, 10), round(every * scale))


def resume_points(every: int) -> int:
    """Iterations between two points at which a training on a processor may write a checkpoint.

    At most 10, of which `every` is a multiple. Where that is almost every step, which would empty the loader's
    queue each time, it is `every` itself.
    """
    divisor = max(steps for steps in range(1, 11) if every % steps == 0)
    return divisor if divisor >= 5 else every


@dataclass(frozen=True)
class Poly:
    """Factor (1 - step / iterations) ** power of the learning rate."""

    iterations: int
    power: float

    def __call__(self, step: int) -> float:  # noqa: D102
        return float(max(0.0, 1 - step / self.iterations) ** self.power)


@dataclass(frozen=True)
class StepsDown:
    """Factor 0.1 after each of these shares of the schedule."""

    iterations: int
    milestones: tuple[float, ...]

    def __call__(self, step: int) -> float:  # noqa: D102
        return float(0.1 ** sum(step >= round(share * self.iterations) for share in self.milestones))


@dataclass(frozen=True)
class OneCycle:
    """Factor of the learning rate that rises from 1/25 over a share of the schedule, then falls to 0.

    Both along half a cosine. Source: Smith and Topin, "Super-convergence", 2018.
    """

    iterations: int
    rise: float

    def __call__(self, step: int) -> float:  # noqa: D102
        top = self.rise * self.iterations
        if step < top:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * step / top)) / 2
        fall = min(1.0, (step - top) / max(1.0, self.iterations - top))
        return (1 + math.cos(math.pi * fall)) / 2
