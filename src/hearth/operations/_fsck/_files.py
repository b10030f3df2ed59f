"""The folder itself: who may read it, and what lies there that nobody needs."""

from __future__ import annotations

import os
import re
import stat
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from hearth.operations._fsck._report import Mend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_files"]

_OTHERS = 0o077
_OWN = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "policy.yaml", ".gitignore")
_FOLDERS = (
    "journals", "outputs", "inputs", "plans", "quarantine", "runs", "locks", "reports", "sandboxes", "commits",
    "transparency",
)  # fmt: skip
_DRAFTS = (
    re.compile(r"ledger\.db\.[0-9a-f]{16}\.new(-wal|-shm|-journal)?"),
    re.compile(r"(outputs|inputs)/(tmp|purged)/[0-9a-f]+"),
    re.compile(r"plans/\.[0-9a-f]{64}\.json\.[0-9a-f]{8}"),
    re.compile(r"plans/purged-[0-9a-f]{64}\.json"),
    re.compile(r"journals/.*\.journal\.recovering"),
)
_ASIDE = re.compile(r"plans/[0-9a-f]{64}\.json\.changed-[0-9a-f]{8}")
_ASIDE_BY_PURGE = re.compile(r"(?:outputs|inputs)/purged/([0-9a-f]{64})|plans/purged-([0-9a-f]{64})\.json")
_FOLDER_OF_RUN = re.compile(r"runs/(.+)\.[^./]+")
_MOMENT = 60  # seconds
_EMPTYING = "locks/emptying"
_SANDBOXES = re.compile(r"sandboxes/[^/]+|runs/(new-)?hearth-[^/.]+")


def check_files(root: Path, findings: Findings, facts: Facts, live: Callable[[Path], bool]) -> None:
    """Look at every name in the folder: its mode, its kind, and whether a dead process left it."""
    waiting = {journal.path.name.removesuffix(".journal") for journal in facts.journals.values()}
    for path, status in _walk(root):
        name = path.relative_to(root).as_posix() if path != root else "."
        findings.count("files")
        if stat.S_ISLNK(status.st_mode):
            findings.damage("file", "a link lies where a file or a folder belongs", where=name)
            continue
        private = name not in {"policy.yaml", ".gitignore"}
        if private and os.name == "posix" and status.st_mode & _OTHERS:
            what = f"others may use it (mode {stat.S_IMODE(status.st_mode):04o})"
            findings.derived("mode", what, where=name, mend=Mend("mode", name))
        if not facts.busy and not _left(findings, facts, name, path, live, waiting):
            _unknown(findings, facts, name, path, root)


def _left(
    findings: Findings, facts: Facts, name: str, path: Path, live: Callable[[Path], bool], waiting: set[str]
) -> bool:
    """Look whether a dead process left this; it is finished under another name, or not at all."""
    wanted = facts.named | {*facts.kept, *facts.plans}
    if (aside := _ASIDE_BY_PURGE.fullmatch(name)) and (aside[1] or aside[2]) in wanted:
        what = "a purge put it aside and died, and a record refers to it"
        findings.derived("aside", what, where=name, mend=Mend("put-back", name))
    elif any(draft.fullmatch(name) for draft in _DRAFTS):
        if name.startswith("journals/") and live(path.with_name(path.name.removesuffix(".recovering"))):
            return True
        findings.leftover("leftover", "a draft of a process that is gone", where=name, mend=Mend("remove", name))
    elif name == _EMPTYING:
        what = "of what was erased or purged, bytes may still be in the database's files"
        findings.leftover("erased", what, where="ledger.db", mend=Mend("empty", name))
    elif (run := _FOLDER_OF_RUN.fullmatch(name)) and path.is_dir():
        if run[1] not in waiting:
            what = "private copies of inputs, of a run that is over"
            findings.leftover("leftover", what, where=name, mend=Mend("remove", name))
    elif _SANDBOXES.fullmatch(name):
        if _has_living_owner(path, live):
            return True
        what = "sandboxes" if name.startswith("sandboxes/") else "private copies of a preview's inputs,"
        findings.leftover("leftover", f"{what} of a process that is gone", where=name, mend=Mend("remove", name))
    else:
        return False
    return True


def _has_living_owner(path: Path, live: Callable[[Path], bool]) -> bool:
    """Whether the folder's lock is held. One that only gets it now is not tried: that would be to take it."""
    if not path.name.startswith("new-"):
        return live(path / ".owner")
    try:
        return time.time() - path.lstat().st_mtime < _MOMENT
    except OSError:
        return True  # it has its name by now


def _unknown(findings: Findings, facts: Facts, name: str, path: Path, root: Path) -> None:
    if _ASIDE.fullmatch(name):
        findings.note(f"{name} is not the plan that was kept under its name: somebody had changed that")
    elif (purged := _of_purged(name, facts)) is not None:
        what = "the journal as it was found, of a record that is purged"
        findings.leftover("leftover", what, where=name, records=[purged], mend=Mend("remove", name))
    elif path.parent == root and name not in {".", *_OWN, *_FOLDERS} and not name.startswith("."):
        findings.note(f"{name} is none of the names that a ledger's folder is known to hold")


def _of_purged(name: str, facts: Facts) -> str | None:
    if ".journal.original" not in name:
        return None
    stem = name.partition("/")[2].partition(".journal.original")[0]
    return next((one for one in facts.tombstones if quote(one, safe="").replace("~", "%7E") == stem), None)


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything in the folder, itself first; what goes meanwhile is left out."""
    yield root, root.lstat()
    waiting = [root]
    while waiting:
        for path in _listed(waiting.pop()):
            try:
                status = path.lstat()
            except OSError:
                continue
            yield path, status
            # The copies of a run's inputs, and the layers of its sandboxes, are that run's own business.
            if stat.S_ISDIR(status.st_mode) and path.parent.name not in ("runs", "sandboxes"):
                waiting.append(path)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
