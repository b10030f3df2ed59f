"""Outputs and plans: each file is what its name says, and what a record refers to is there."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from hearth.operations._fsck._canonical import DIGEST, load
from hearth.operations._fsck._report import Mend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_contents", "check_plans", "content_digests", "plan_digests"]

_CHUNK = 1 << 20


def content_digests(folder: Path) -> frozenset[str]:
    """Return the digests by which contents are kept in `outputs` or `inputs`, from their names."""
    return frozenset(path.parent.name + path.name for path in _contents(folder))


def plan_digests(root: Path) -> frozenset[str]:
    """Return the digests by which plans are kept, from their names."""
    try:
        names = [path.name for path in (root / "plans").iterdir()]
    except OSError:
        return frozenset()
    return frozenset(name[:64] for name in names if re.fullmatch(r"[0-9a-f]{64}\.json", name))


def check_contents(root: Path, findings: Findings, facts: Facts, kind: str) -> None:
    """Check the content of every output (or input), and that no output is missing that a record refers to."""
    present: set[str] = set()
    # Of inputs only some are kept, for approvers to read.
    needed = facts.kept if kind == "output" else {}
    for path in _contents(root / f"{kind}s"):
        digest = path.parent.name + path.name
        findings.count(f"{kind}s")
        try:
            found = _digest(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            found = f"not to be read ({error.strerror})"
        present.add(digest)
        where = f"{kind}s/{path.parent.name}/{path.name}"
        if found != digest:
            what = f"its content has the SHA-256 {found}, not that of its name: it was changed, or the disk is bad"
            findings.damage(kind, what, where=where, records=needed.get(digest, ()))
        elif digest not in facts.named and not facts.busy and digest in facts.on_disk:
            what = f"nothing refers to this {kind}"
            findings.leftover("orphan", what, where=where, mend=Mend("remove", where))
    # A purge that died gave it that name; `_files` has it put back.
    aside = {path.name for path in _sorted(root / f"{kind}s" / "purged")}
    for digest in sorted(needed.keys() - present - aside - facts.purged_files):
        where = f"outputs/{digest[:2]}/{digest[2:]}"
        findings.damage("output", "the output is missing", where=where, records=needed[digest])


def check_plans(root: Path, findings: Findings, facts: Facts, known: frozenset[str]) -> None:
    """Check every kept plan; `known` are those that were there before the records were read."""
    present = plan_digests(root)
    for copy in sorted(present):
        where, path = f"plans/{copy}.json", root / "plans" / f"{copy}.json"
        findings.count("plans")
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            findings.damage(
                "plan", f"it cannot be read: {error.strerror}", where=where, records=facts.plans.get(copy, ())
            )
            continue
        facts.named.update(facts.on_disk.intersection(match.decode() for match in DIGEST.findall(data)))
        if hashlib.sha256(data).hexdigest() != copy:
            what = "its content does not have the SHA-256 of its name: it was changed, or the disk is bad"
            findings.damage("plan", what, where=where, records=facts.plans.get(copy, ()))
        elif copy in facts.plans:
            _digest_of_plan(findings, facts, copy, data, where)
        elif not facts.busy and copy in known:
            findings.leftover("orphan", "nothing refers to this plan", where=where, mend=Mend("remove", where))
    for copy in sorted(facts.plans.keys() - present - facts.purged_files):
        findings.damage("plan", "the kept plan is missing", where=f"plans/{copy}.json", records=facts.plans[copy])


def _digest_of_plan(findings: Findings, facts: Facts, copy: str, data: bytes, where: str) -> None:
    try:
        digest = load(data)["digest"]
    except (ValueError, TypeError, KeyError):
        digest = None
    others = [name for name, wanted in facts.plan_digests.get(copy, {}).items() if wanted != digest]
    if others:
        what = f"it is the plan {digest}, and its records name another digest"
        findings.damage("plan", what, where=where, records=others)


def _contents(place: Path) -> Iterator[Path]:
    for folder in _sorted(place):
        if re.fullmatch("[0-9a-f]{2}", folder.name) and folder.is_dir() and not folder.is_symlink():
            for path in _sorted(folder):
                if re.fullmatch("[0-9a-f]{62}", path.name):
                    yield path


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _digest(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
