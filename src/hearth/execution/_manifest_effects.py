"""A step's manifest as the observed effects that are recorded: each change, or of many a summary."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.execution._results import ObservedEffect
from hearth.execution.tasks._table_rows import did
from hearth.observe import ChangeKind, category_of, declared_path, unquoted
from hearth.record import Origin, SideEffectCategory, canonical_bytes, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hearth.execution._store import ContentStore
    from hearth.observe import Change, Node, Reconciliation, StepManifest
    from hearth.plan import Plan
    from hearth.record import Redactor

__all__ = [
    "MOST_ENTRIES",
    "NOT_KEPT",
    "action_effects",
    "kept_manifest",
    "path_effects",
    "row_effects",
    "told_effects",
    "without_secrets",
]

MOST_ENTRIES = 100
NOT_KEPT = "only the commit's journal can put it back"
_MOST_NAMED = 20
_LONGEST_WORDS = 4096  # characters


def kept_manifest(seen: StepManifest, store: ContentStore, redactor: Redactor) -> dict[str, Any]:
    """Keep a step's manifest, without secrets, by its digest; return what the record says of it."""
    document = without_secrets(seen, redactor).to_dict()
    content = canonical_bytes(document)
    counts = {str(kind): sum(change.kind is kind for change in seen.changes) for kind in ChangeKind}
    return {
        "manifest": {"sha256": store.put(content), "bytes": len(content)},
        "changes": {kind: number for kind, number in counts.items() if number},
    }


def without_secrets(seen: StepManifest, redactor: Redactor) -> StepManifest:
    """Return a step's manifest as it may be shown and kept.

    The words of programs have not been cut before, so that a secret in them is found; that is done here. They are
    looked at without their quotes, too, which could hide one; a line with a secret cannot be copied anyway.
    """

    def cut(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(text_of(redactor.text(text))[:_LONGEST_WORDS] for text in texts)

    def told_program(text: str) -> str:
        plain = unquoted(text)
        without = redactor.text(plain)
        return redactor.text(text) if without == plain else text_of(without)

    def clean(path: str) -> str:
        try:
            path.encode()
        except UnicodeEncodeError:  # bytes that are no text: no pattern of a secret is made of them
            return path
        return redactor.text(path)

    def told(node: Node | None) -> Node | None:
        return node if node is None or node.target is None else replace(node, target=clean(node.target))

    return replace(
        seen,
        changes=tuple(
            replace(one, path=clean(one.path), before=told(one.before), after=told(one.after)) for one in seen.changes
        ),
        rows=tuple(replace(row, database=text_of(row.database), examples=cut(row.examples)) for row in seen.rows),
        programs=tuple(told_program(text)[:_LONGEST_WORDS] for text in seen.programs),
        connections=cut(seen.connections),
        actions=cut(seen.actions),
        unseen=cut(seen.unseen),
        error=text_of(redactor.text(seen.error)),
    )


def action_effects(seen: StepManifest, covered: Mapping[str, str], manifest: str) -> Iterator[ObservedEffect]:
    """Yield the connections and actions of a step in place, or of very many a summary; the rest as `row_effects`."""
    for category, what, found in (
        (SideEffectCategory.NETWORK, "a connection to {} was made", seen.connections),
        (SideEffectCategory.SYSTEM, "{} was called", seen.actions),
    ):
        if len(found) > MOST_ENTRIES:
            words = what.format(f"{found[0]} and {len(found) - 1} more")
            details = {"number": len(found), "first": list(found[:_MOST_NAMED]), "manifest": manifest}
            yield ObservedEffect(category, words, details=details, origin=Origin.OBSERVED)
            continue
        for one in found:
            declared = {"declared": covered.get(one)}
            yield ObservedEffect(category, what.format(one), details=declared, origin=Origin.OBSERVED)


def row_effects(
    seen: StepManifest, covered: Mapping[str, str], manifest: str, *, reversible: bool
) -> Iterator[ObservedEffect]:
    """Yield what became of each table, or of very many a summary; `covered` says by what each is declared.

    `manifest` is the digest under which all of it is kept; `reversible` says that what takes it back is kept, too.
    """
    rows = [row for row in seen.rows if row.total or row.definition]
    if len(rows) > MOST_ENTRIES:
        details = {"tables": len(rows), "first": [row.counts() for row in rows[:_MOST_NAMED]], "manifest": manifest}
        total = sum(row.total for row in rows)
        words = f"changed {total} rows in {len(rows)} tables"
        yield ObservedEffect(
            SideEffectCategory.DATA_MUTATION, words, reversible=reversible, details=details, origin=Origin.OBSERVED
        )
        return
    for row in rows:
        yield ObservedEffect(
            SideEffectCategory.DATA_MUTATION,
            f"{did(row, row.table)} of {Path(row.database).name}",
            reversible=reversible,
            details={**row.counts(), "rows": row.total, "declared": covered.get(f"{row.database}:{row.table}")},
            origin=Origin.OBSERVED,
        )


def path_effects(
    seen: StepManifest, plan: Plan, covered: Mapping[str, str], kept: frozenset[str] | None, manifest: str
) -> list[ObservedEffect]:
    """Return what became of each path; `kept` are the digests of contents that are kept, the rest as `row_effects`.

    None for `kept`: it was done in place, so nothing was kept, and only what was made can be taken away again.
    """
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
                f"{change.path} was {change.kind.words}",
                reversible=kept is not None or change.kind is ChangeKind.CREATED,
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
            reversible=kept is not None,
            details={
                "paths": len(changes),
                "first": [change.path for change in changes[:_MOST_NAMED]],
                "manifest": manifest,
            },
            origin=Origin.OBSERVED,
        )
        for category, changes in by_category.items()
    ]


def told_effects(seen: StepManifest, plan: Plan, held: Reconciliation, manifest: str) -> list[dict[str, Any]]:
    """Return what is to be recorded of a step's changes as JSON, as if all that was there before were kept.

    It goes into the journal of a commit, so `seen` is to be `without_secrets`.
    """
    before = frozenset(one.before.sha256 for one in seen.changes if one.before is not None and one.before.sha256)
    effects = (
        *path_effects(seen, plan, held.covered, before, manifest),
        *row_effects(seen, held.covered, manifest, reversible=True),
    )
    return [
        {
            "category": str(effect.category),
            "description": effect.description,
            "reversible": effect.reversible,
            "details": dict(effect.details),
        }
        for effect in effects
    ]


def _told(change: Change, kept: frozenset[str] | None) -> dict[str, Any]:
    """Return a change as the record has it; of a file that is not kept under its own digest, the entry says so."""
    told = change.to_dict()
    before = told["before"]
    if before is None or "sha256" not in before:
        return told
    if kept is None:
        before["withheld"] = "it was not kept"
    elif before["sha256"] not in kept:
        before["withheld"] = NOT_KEPT
    return told
