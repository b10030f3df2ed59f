"""A manifest for a person: what each step did, a line for each path, and what could not be seen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hearth._visible import is_visible, visible
from hearth.cli._ran_text import SIGNS, print_missing
from hearth.cli._text import bytes_text, count
from hearth.observe import loose_columns, loosely_compared, program_name, risky_patterns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hearth.cli._screen import Part, Screen
    from hearth.observe import Change, Loose, Manifest, Node, Reconciliation, RowChanges, StepManifest

__all__ = ["copyable", "print_manifest"]

_QUOTED = re.compile(r"'([^']*)'|\"'\"")
_MOST_LINES = 60
_MOST_NAMES = 12
_MOST_DIFF_LINES = 200
_WAYS = {
    "sandbox": "in a sandbox",
    "transaction": "as one transaction",
    "request": "held back: nothing was sent",
    "in-place": "on the host",
    "not-run": "not run",
}


def print_manifest(
    screen: Screen,
    manifest: Manifest,
    *,
    held: Mapping[int, Reconciliation] | None = None,
    diffs: Mapping[tuple[int, str], list[str]] | None = None,
    volatile: Sequence[Sequence[str]] = (),
    whole: bool = False,
) -> None:
    """Print what each step did. Of very many paths the first are shown, and how many more; `whole` shows them all.

    `held` has what of it the plan declares, by the step's index: what it does not is marked. `volatile` are the steps'
    patterns: so are the paths that a run may leave otherwise than they are shown.
    """
    for step in manifest.steps:
        patterns = volatile[step.index] if step.index < len(volatile) else ()
        loose = loosely_compared(step, patterns, Path(manifest.cwd) if manifest.cwd else None)
        declared = (held or {}).get(step.index)
        wrong = step.error or (declared is not None and (declared.undeclared or declared.must))
        screen.line(
            (f"{screen.symbols.failed if wrong else screen.symbols.done} ", "red" if wrong else "green"),
            (f"{step.index} {step.name}", "bold"),
            (f"  {_WAYS.get(step.way, step.way)}", "dim"),
        )
        _print_step(screen, step, declared, diffs, loose, volatile=patterns, whole=whole)
        for pattern in risky_patterns(patterns):
            told = f"volatile {pattern}: what others run or trust is not held to what is shown here"
            screen.line((f"! {told}", "bold red"), indent=4)


def _print_step(
    screen: Screen,
    step: StepManifest,
    held: Reconciliation | None,
    diffs: Mapping[tuple[int, str], list[str]] | None,
    loose: Mapping[str, Loose],
    *,
    volatile: Sequence[str],
    whole: bool,
) -> None:
    if step.error:
        screen.line((f"failed: {step.error}", "red"), indent=4)
    shown = step.changes if whole or len(step.changes) <= _MOST_LINES else step.changes[:_MOST_LINES]
    for change in shown:
        sign, style = SIGNS[change.kind]
        marks = _mark(screen, held, change.path), _volatile(loose.get(change.path))
        screen.line((f"{sign} ", style), change.path, *_about(change), *marks, indent=4)
        _print_diff(screen, (diffs or {}).get((step.index, change.path), ())[2:], whole=whole)
    hidden = step.changes[len(shown) :]
    if hidden:
        below = os.path.commonpath([change.path for change in hidden])
        screen.line((f"… and {count(len(hidden), 'path')} more below {below}; --whole shows them all", "dim"), indent=4)
        if held is not None and (wrong := sum(change.path not in held.covered for change in hidden)):
            screen.line((f"{screen.symbols.failed} {count(wrong, 'path')} of these not declared", "bold red"), indent=6)
    if risky := sum(change.path in loose and loose[change.path].risky for change in hidden):
        screen.line((f"of these {count(risky, 'path')} that others run or trust may differ", "bold red"), indent=6)
    _print_other(screen, step, held, volatile, with_rows=diffs is not None)
    _print_programs(screen, step.programs, whole=whole)
    if step.is_empty and not step.error:
        screen.line(("changed nothing", "dim"), indent=4)
    if held is not None:
        _print_held(screen, held)
    for reason in step.unseen:
        screen.line((f"? not all may be seen: {reason}", "yellow"), indent=4)


def _print_diff(screen: Screen, lines: Sequence[str], *, whole: bool) -> None:
    """Print the hunks of a text's diff; of very long ones the beginning."""
    shown = lines if whole else lines[:_MOST_DIFF_LINES]
    for line in shown:
        screen.line((line, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")), indent=8)
    if hidden := len(lines) - len(shown):
        screen.line((f"… and {count(hidden, 'line')} more; --whole shows them all", "dim"), indent=8)


def _print_other(
    screen: Screen, step: StepManifest, held: Reconciliation | None, volatile: Sequence[str], *, with_rows: bool
) -> None:
    """Print what of a step is no path: rows, requests, connections."""
    for row in (row for row in step.rows if row.total or row.definition):
        counts = (f"+{row.inserted} ~{row.updated} -{row.deleted}" if row.total else "changed", "yellow")
        marks = _mark(screen, held, f"{row.database}:{row.table}"), _loose_rows(row, volatile)
        screen.line(("# ", "yellow"), f"{row.database}: {row.table} ", counts, *marks, indent=4)
        for line in row.examples if with_rows else ():
            screen.line((line, {"+": "green", "-": "red"}.get(line[:1], "cyan")), indent=8)
        if with_rows and row.examples and (hidden := row.total - len(row.examples)) > 0:
            screen.line((f"… and {count(hidden, 'row')} more", "dim"), indent=8)
    for request in step.requests:
        sent = ("" if request.sent else "  would be sent", "dim")
        name = f"{request.method} {request.url}"
        screen.line(("> ", "yellow"), name, sent, _mark(screen, held, name), indent=4)
    for connection in step.connections:
        screen.line(("> ", "yellow"), f"connection: {connection}", _mark(screen, held, connection), indent=4)


def _mark(screen: Screen, held: Reconciliation | None, key: str) -> Part:
    """Return what stands behind something that the plan does not declare."""
    return ("" if held is None or key in held.covered else f"  {screen.symbols.failed} not declared", "bold red")


def _volatile(loose: Loose | None) -> Part:
    """Return what stands behind a path that a run need not leave as it is shown."""
    if loose is None:
        return ("", "dim")
    if loose.risky:
        return (f"  (volatile: {loose.words}, and others run or trust it)", "bold red")
    return (f"  (volatile: {loose.words})", "yellow")


def _loose_rows(row: RowChanges, volatile: Sequence[str]) -> Part:
    """Return what stands behind a table whose values a run is not held to, or not to all of them."""
    if row.total and not (row.before or row.after):
        return ("  (a run is held to these numbers, not to values)", "yellow")
    columns = loose_columns(row, volatile)
    return (f"  (volatile: values of {', '.join(columns)} may differ)" if columns else "", "yellow")


def _print_held(screen: Screen, held: Reconciliation) -> None:
    """Print what is not declared and has no line of its own, and what is declared and did not happen."""
    for words in held.undeclared:
        if words.startswith("the program ") or words.endswith(" is declared)"):
            screen.line((f"{screen.symbols.failed} not declared: {words}", "bold red"), indent=4)
    print_missing(screen, (effect.to_dict() for effect in held.missing), indent=4)


def _print_programs(screen: Screen, programs: Sequence[str], *, whole: bool) -> None:
    """Print what was started: each with its words, or only the names."""
    if whole:
        for program in programs:
            screen.line(("$ ", "dim"), (copyable(program), "dim"), indent=4)
    elif programs:
        names = sorted({os.path.basename(program_name(program)) for program in programs})  # noqa: PTH119 - any text
        hidden = len(names) - _MOST_NAMES
        more = f" and {hidden} more" if hidden > 0 else ""
        screen.line((f"$ started {', '.join(names[:_MOST_NAMES])}{more}", "dim"), indent=4)


def copyable(line: str) -> str:
    """Return a line of quoted words in such a form that what is shown of it on one line can be copied."""
    return _QUOTED.sub(_as_escapes, line)


def _as_escapes(quoted: re.Match[str]) -> str:
    """Return a quoted word so that it can still be copied where it is more than one line: with escapes, in `$'…'`."""
    if quoted[1] is None or is_visible(quoted[1]):
        return quoted[0]
    escaped = visible(quoted[1].replace("\\", "\\\\"))
    return f"$'{escaped}'"


def _about(change: Change) -> Sequence[Part]:
    before, after = change.before, change.after
    if before is not None and after is not None:
        if before.type is not after.type:
            return [(f"  {before.type} → {after.type}", "dim")]
        said = []
        if before.size != after.size:
            said.append(f"{bytes_text(before.size or 0)} → {bytes_text(after.size or 0)}")
        if before.mode != after.mode:
            said.append(f"mode {before.mode:04o} → {after.mode:04o}")
        if (before.uid, before.gid) != (after.uid, after.gid):
            said.append(f"owner {before.uid}:{before.gid} → {after.uid}:{after.gid}")
        if before.target != after.target:
            said.append(f"→ {after.target}")
        said += _attributes(before, after)
        return [(f"  {', '.join(said)}", "dim")] if said else []
    node = after or before
    return [] if node is None else [(f"  {_node(node)}", "dim")]


def _attributes(before: Node, after: Node) -> list[str]:
    """Return which kinds of extended attributes differ: ACLs are some of them, but nobody calls them so."""
    names = {name for name in {*before.xattrs, *after.xattrs} if before.xattrs.get(name) != after.xattrs.get(name)}
    lists = {name for name in names if name.startswith("system.posix_acl_")}
    return [*(["ACL"] if lists else []), *(["extended attributes"] if names - lists else [])]


def _node(node: Node) -> str:
    said = [f"{node.uid}:{node.gid}"]
    if node.type.value != "symlink":  # whose permissions mean nothing
        said.insert(0, f"{node.mode:04o}")
    if node.size is not None:
        said.append(bytes_text(node.size))
    if node.target is not None:
        said.append(f"→ {node.target}")
    if node.type.value not in ("file", "symlink"):
        said.insert(0, node.type.value)
    return " ".join(said)
