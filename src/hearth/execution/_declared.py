"""What a step did, held against what its plan declares: for its commit, for its preview, and for who approves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.observe import Way, declared_path, reconcile
from hearth.plan import parse_effect
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from hearth.observe import Manifest, Reconciliation, StepManifest
    from hearth.plan import DeclaredEffect

__all__ = ["held_manifest", "held_step", "says_nothing"]

# What of a transaction stays though no row tells it, as the recorders begin to say it.
_LASTS = ("ANALYZE ", "the sequence ", "rows: ", "which rows ")
_ROOT = Path("/")


def held_step(seen: StepManifest, declared: Sequence[DeclaredEffect], cwd: Path, *, sql: bool) -> Reconciliation:
    """Hold what a step did against its declared effects; of a sql step also what it changed besides rows."""
    held = reconcile(seen, declared, cwd)
    if not sql or any(
        effect.category is SideEffectCategory.DATA_MUTATION or declared_path(effect, cwd) is not None
        for effect in declared
    ):
        return held
    more = (f"{reason} (no change of a database is declared)" for reason in seen.unseen if reason.startswith(_LASTS))
    return replace(held, undeclared=(*held.undeclared, *more))


def says_nothing(document: Mapping[str, Any], index: int) -> bool:
    """Whether a plan says nothing at all of a step's effects: where a preview is approved, it is held to that alone."""
    return document["steps"][index].get("effects") is None


def held_manifest(
    manifest: Manifest, document: Mapping[str, Any], cwd: Path | None
) -> dict[int, Reconciliation] | None:
    """Hold each step of a preview against what the plan's document declares of it, by the step's index.

    Left out are steps that failed, were not run, or declare nothing. Relative paths start where they did in the
    preview; where it does not tell that, at `cwd`. None where neither is known and a relative path is declared.
    """
    cwd = Path(manifest.cwd) if manifest.cwd else cwd
    found = {}
    for seen in manifest.steps:
        if seen.error or seen.way is Way.NOT_RUN or says_nothing(document, seen.index):
            continue
        declared = [parse_effect(entry) for entry in document["steps"][seen.index]["effects"]]
        if cwd is None and any(effect.is_path and not effect.pattern.startswith("/") for effect in declared):
            return None
        found[seen.index] = held_step(seen, declared, cwd or _ROOT, sql="sql" in document["steps"][seen.index])
    return found
