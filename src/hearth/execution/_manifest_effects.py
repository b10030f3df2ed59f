"""A step's manifest as the observed effects that are recorded: each change, or of many a summary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.execution._results import ObservedEffect
from hearth.execution.tasks._table_rows import did
from hearth.observe import category_of, declared_path
from hearth.record import Origin, SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hearth.observe import Change, StepManifest
    from hearth.plan import Plan

__all__ = ["MOST_ENTRIES", "path_effects", "row_effects"]

MOST_ENTRIES = 100
_MOST_NAMED = 20


def row_effects(seen: StepManifest, covered: Mapping[str, str], manifest: str) -> Iterator[ObservedEffect]:
    """Yield what became of each table, or of very many a summary; `covered` says by what each is declared.

    `manifest` is the digest under which all of it is kept.
    """
    rows = [row for row in seen.rows if row.total]
    if len(rows) > MOST_ENTRIES:
        details = {"tables": len(rows), "first": [row.to_dict() for row in rows[:_MOST_NAMED]], "manifest": manifest}
        total = sum(row.total for row in rows)
        words = f"changed {total} rows in {len(rows)} tables"
        yield ObservedEffect(SideEffectCategory.DATA_MUTATION, words, details=details, origin=Origin.OBSERVED)
        return
    for row in rows:
        yield ObservedEffect(
            SideEffectCategory.DATA_MUTATION,
            f"{did(row, row.table)} of {Path(row.database).name}",
            details={**row.to_dict(), "rows": row.total, "declared": covered.get(f"{row.database}:{row.table}")},
            origin=Origin.OBSERVED,
        )


def path_effects(
    seen: StepManifest, plan: Plan, covered: Mapping[str, str], kept: frozenset[str], manifest: str
) -> list[ObservedEffect]:
    """Return what became of each path; `kept` are the digests of contents that are kept, the rest as `row_effects`."""
    configuration = [
        pattern
        for step in plan.steps
        for effect in step.effects
        if effect.category is SideEffectCategory.CONFIGURATION
        and (pattern := declared_path(effect, plan.cwd)) is not None
    ]
    by_category: dict[SideEffectCategory, list[Change]] = {}
    for change in seen.changes:
        by_category.setdefault(category_of(change, configuration), []).append(change)
    if len(seen.changes) <= MOST_ENTRIES:
        return [
            ObservedEffect(
                category,
                f"{change.path} was {change.kind}",
                reversible=True,
                details={**_told(change, kept), "declared": covered.get(change.path)},
                origin=Origin.OBSERVED,
            )
            for category, changes in by_category.items()
            for change in changes
        ]
    return [
        ObservedEffect(
            category,
            f"{len(changes)} paths were changed below {os.path.commonpath([change.path for change in changes])}",
            reversible=True,
            details={
                "paths": len(changes),
                "first": [change.path for change in changes[:_MOST_NAMED]],
                "manifest": manifest,
            },
            origin=Origin.OBSERVED,
        )
        for category, changes in by_category.items()
    ]


def _told(change: Change, kept: frozenset[str]) -> dict[str, Any]:
    """Return a change as the record has it; of a file that is not kept under its own digest, the entry says so."""
    told = change.to_dict()
    before = told["before"]
    if before is not None and "sha256" in before and before["sha256"] not in kept:
        before["withheld"] = "only the commit's journal can put it back"
    return told
