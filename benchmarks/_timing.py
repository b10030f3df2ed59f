"""Rounds in which every contender takes its turn, so that all of them see the same noise."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Samples", "compare", "ratio"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Microseconds an event, one for each round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest."""
        return min(self.values), max(self.values)


def compare(contenders: Mapping[str, Callable[[], int]], *, rounds: int) -> dict[str, Samples]:
    """Run each contender once a round; it returns the number of events that it handled.

    The order turns around from round to round, and garbage is collected before each turn, not within.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            gc.collect()
            start = time.perf_counter_ns()
            events = contenders[name]()
            elapsed = (time.perf_counter_ns() - start) / 1000 / events
            if number:  # the first round warms up
                taken[name].append(elapsed)
    return {name: Samples(tuple(values)) for name, values in taken.items()}


def ratio(ours: Samples, theirs: Samples) -> Samples:
    """Return ours divided by theirs, round by round: noise that lasts a round cancels out."""
    return Samples(tuple(a / b for a, b in zip(ours.values, theirs.values, strict=True)))
