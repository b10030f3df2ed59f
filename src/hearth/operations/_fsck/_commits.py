"""The journals of commits from sandboxes: each line's sum, and what an undo of them needs."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_commits"]

_LINE = re.compile(rb'\{"entry":(.*),"sum":"([0-9a-f]{64})"\}\n', re.DOTALL)
_NAME = re.compile(r"(.+)-\d+(\.undo)?\.jsonl")


def check_commits(root: Path, findings: Findings, facts: Facts) -> None:
    """Check every journal in `commits`; the earlier contents that it names have to be there."""
    folder = root / "commits"
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        where = f"commits/{path.name}"
        found = _NAME.fullmatch(path.name)
        execution_id = unquote(found[1]) if found else path.name
        findings.count("commits")
        try:
            entries, whole = _read(path)
        except OSError as error:
            findings.damage("commit", f"it cannot be read: {error.strerror}", where=where, records=[execution_id])
            continue
        if not whole:
            what = "a line's sum is not that of its bytes and of the lines before it"
            findings.damage("commit", what, where=where, records=[execution_id])
        if not {"done", "undone"} & {str(entry.get("type")) for entry in entries} and not facts.busy:
            findings.note(f"{where}: changes on their way to the host were cut off; `hearth recover` settles that")
        for entry in entries:
            old = entry.get("old")
            if isinstance(old, dict) and isinstance(old.get("stored"), str):
                facts.kept.setdefault(old["stored"], []).append(execution_id)
                facts.named.add(old["stored"])


def _read(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """Return the entries, and whether every sum holds; a torn last line is what a crash leaves."""
    total = "0" * 64
    entries: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return entries, True
            found = _LINE.fullmatch(line)
            if found is None:
                return entries, False
            total = hashlib.sha256(total.encode() + found[1]).hexdigest()
            if total.encode() != found[2]:
                return entries, False
            try:
                entry = json.loads(found[1])
            except ValueError:
                return entries, False
            if isinstance(entry, dict):
                entries.append(entry)
    return entries, True
