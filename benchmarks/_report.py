"""The table of results: measured figures, ratios with their spread, and the budget that binds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks._timing import Samples

__all__ = ["Line", "budget_line", "figure_line", "peer_line", "table"]


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what was measured, the figure, its spread, the budget and whether it is kept (None: no budget)."""

    what: str
    figure: str
    spread: str = ""
    budget: str = ""
    kept: bool | None = None


def peer_line(what: str, samples: Samples, unit: str = "µs") -> Line:
    """A figure without a budget."""
    low, high = samples.spread
    return Line(what, f"{samples.median:.2f} {unit}", f"{low:.2f}–{high:.2f}")


def budget_line(what: str, samples: Samples, most: float, named: str) -> Line:
    """A ratio and the most that it may be; `named` is the budget in words."""
    low, high = samples.spread
    return Line(what, f"{samples.median:.2f} ×", f"{low:.2f}–{high:.2f}", named, samples.median <= most)


def figure_line(what: str, figure: float, most: float, unit: str) -> Line:
    """A single figure and the most that it may be."""
    return Line(what, f"{figure:,.0f} {unit}", "", f"≤ {most:,.0f} {unit}", figure <= most)


def table(lines: Iterable[Line]) -> str:
    """Return the rows as a Markdown table."""
    rows = ["| what | median | least–greatest | budget | |", "|---|---:|---:|---|---|"]
    rows += [
        f"| {line.what} | {line.figure} | {line.spread} | {line.budget} | "
        f"{'' if line.kept is None else 'kept' if line.kept else '**missed**'} |"
        for line in lines
    ]
    return "\n".join(rows)
