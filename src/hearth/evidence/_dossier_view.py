"""What a dossier's page shows, in which order: pointers into the data, and nothing that the data do not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from hearth.evidence._dossier_checks import CHECKS, DossierCheck
from hearth.evidence._dossier_record import entries_of
from hearth.evidence._dossier_show import pointer
from hearth.record import canonical_bytes

__all__ = ["Row", "StepView", "View", "view_of"]

_MOST_ROWS, _EDGE = 2000, 500
_MOST_EFFECTS, _FOLDED_FROM = 200, 12
_LARGEST_DETAILS = 4096
_SNAPSHOT = "security_snapshot"


@dataclass(frozen=True, slots=True)
class Row:
    """An entry: its pointer, itself, and whether its details are shown in full (they are large otherwise)."""

    at: str
    entry: dict[str, Any]

    @property
    def has_details(self) -> bool:
        """Whether there are details."""
        return bool(self.entry["details"])

    @property
    def shows_details(self) -> bool:
        """Whether the details are small enough to be shown."""
        return len(canonical_bytes(self.entry["details"])) <= _LARGEST_DETAILS


@dataclass(slots=True)
class StepView:
    """One run of a step: where its start and its end stand, its effects; `planned` where it never started."""

    index: int | None
    start: Row | None = None
    end: Row | None = None
    planned: str = ""
    effects: list[Row] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """Return completed, failed, unknown (no end) or not-run."""
        if self.planned:
            return "not-run"
        return "unknown" if self.end is None else str(self.end.entry["event_type"]).removeprefix("step_")

    @property
    def name_at(self) -> str:
        """Where its name stands."""
        one = self.start or self.end
        return self.planned or (f"{one.at}/step_name" if one is not None else "")

    @property
    def declared(self) -> list[str]:
        """Where the effects stand that it declared."""
        found = self.start.entry.get("declared_effects", []) if self.start is not None else []
        return [f"{self.start.at}/declared_effects/{n}" for n in range(len(found))] if self.start is not None else []

    @property
    def shown_effects(self) -> list[Row]:
        """The effects that are shown; a step may have very many."""
        return self.effects[:_MOST_EFFECTS]

    @property
    def hidden_effects(self) -> int:
        """How many effects are not shown here, but checked all the same."""
        return len(self.effects) - len(self.shown_effects)

    @property
    def is_long(self) -> bool:
        """Whether its effects are folded."""
        return len(self.effects) > _FOLDED_FROM

    def detail(self, name: str) -> Any:  # noqa: ANN401 - a JSON tree
        """Return what its end says under a name."""
        return self.end.entry["details"].get(name) if self.end is not None else None

    def detail_at(self, *names: object) -> str:
        """Return where that stands."""
        return f"{self.end.at}/details{pointer(*names)}" if self.end is not None else ""

    def told(self, name: str) -> list[str]:
        """Return where the items of a list stand that its end tells of: undeclared, missing."""
        found = self.detail(name)
        return [self.detail_at(name, n) for n in range(len(found))] if isinstance(found, list) else []

    def stream(self, name: str) -> bool:
        """Whether the end of an output stream stands in the record."""
        found = self.detail(name)
        return isinstance(found, dict) and bool(found.get("tail")) and isinstance(found["tail"], str)


@dataclass(frozen=True, slots=True)
class View:
    """The page's content."""

    groups: list[tuple[str, list[DossierCheck]]]
    steps: list[StepView]
    loose: list[Row]
    rows: list[Row]
    rows_left: int
    sealed: Row | None
    opened: Row

    @property
    def took_at(self) -> str:
        """Where the end stands, from which the time since the start is told."""
        return "/record/timestamp_end"


def view_of(document: dict[str, Any]) -> View:
    """Return what a page of these data shows."""
    record = document["record"]
    rows = [Row(at, entry) for at, entry in entries_of(record)]
    shown = rows if len(rows) <= _MOST_ROWS else [*rows[:_EDGE], *rows[-_EDGE:]]
    last = rows[-1]
    steps, loose = _steps(rows)
    return View(
        groups=[(name, list(checks)) for name, checks in groupby(CHECKS, key=lambda check: check.group)],
        steps=[*steps, *_not_run(document, steps)],
        loose=loose,
        rows=shown,
        rows_left=len(rows) - len(shown),
        sealed=last if last.entry["event_type"] == "execution_sealed" else None,
        opened=rows[0],
    )


def _steps(rows: list[Row]) -> tuple[list[StepView], list[Row]]:
    """Pair each end with the latest open start of its index; an effect belongs to the latest run of its step."""
    steps: list[StepView] = []
    loose: list[Row] = []
    for row in rows:
        kind, index = row.entry["event_type"], row.entry["step_index"]
        if kind == "step_started":
            steps.append(StepView(index, start=row))
        elif kind in ("step_completed", "step_failed"):
            begun = next((one for one in reversed(steps) if one.index == index and one.end is None), None)
            if begun is None:
                steps.append(begun := StepView(index))
            begun.end = row
        elif kind == "side_effect":
            owner = next((one for one in reversed(steps) if one.index == index), None)
            (loose if owner is None else owner.effects).append(row)
    return steps, loose


def _not_run(document: dict[str, Any], steps: list[StepView]) -> list[StepView]:
    kept = document["plan"]
    if kept is None:
        return []
    ran = {step.index for step in steps}
    planned = kept["plan"]["steps"]
    return [
        StepView(index, planned=pointer("plan", "plan", "steps", index, "name"))
        for index, step in enumerate(planned)
        if index not in ran and "name" in step
    ]
