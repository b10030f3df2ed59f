"""fsck: all checks, in the order in which one's findings help the next."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import LedgerError, LedgerNotFoundError
from hearth.execution import running_executions
from hearth.operations._fsck._approvals import check_approvals
from hearth.operations._fsck._commits import check_commits
from hearth.operations._fsck._database import check_file, check_identity, check_numbers, check_schema, connect
from hearth.operations._fsck._envelope import Keys
from hearth.operations._fsck._erasures import check_erasures
from hearth.operations._fsck._executions import check_executions
from hearth.operations._fsck._facts import Facts
from hearth.operations._fsck._files import check_files
from hearth.operations._fsck._journals import check_journals, compare_journals
from hearth.operations._fsck._kept import check_contents, check_plans, content_digests, plan_digests
from hearth.operations._fsck._log_leaves import check_log_leaves, check_noted_log
from hearth.operations._fsck._postures import check_postures
from hearth.operations._fsck._repair import KEPT
from hearth.operations._fsck._repair import repair as mend_all
from hearth.operations._fsck._report import Findings
from hearth.operations._fsck._retention import check_holds, check_tombstones
from hearth.operations._fsck._transparency import check_log_files, read_log
from hearth.operations._fsck._wal import damaged_log
from hearth.operations._unreferenced import remove_unreferenced
from hearth.operations._upkeep import upkeep
from hearth.recorder import journal_is_live

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.ledger import LedgerHome
    from hearth.operations._fsck._report import FsckReport
    from hearth.operations._fsck._transparency import Logged

__all__ = ["fsck"]

_TRIES = 5
_PAUSE_SECONDS = 0.05


def fsck(
    home: LedgerHome | Path | str, repair: bool = False, *, progress: Callable[[str, int], None] | None = None
) -> FsckReport:
    """Check everything in a ledger's folder, beside whatever runs on it, and return what is wrong.

    `repair` first mends what is derived, then checks again. `progress` is told what is being looked at and how much
    of it was. LedgerNotFoundError where there is no folder; what cannot be read is a finding, not an error.
    """
    # Not by `getattr`: a Path has a `root` too, and it is the whole file system's.
    root = (Path(home) if isinstance(home, str | os.PathLike) else home.root).absolute()
    if not root.is_dir():
        raise LedgerNotFoundError(f"there is no ledger folder {root}")
    if not (root / "ledger.db").exists() and not (root / "journals").is_dir():
        raise LedgerNotFoundError(f"{root} holds no ledger, and nothing of one: name the folder .hearth itself")
    with upkeep(root, "fsck", needed=repair):
        findings = _check(root, progress)
        if not repair:
            return findings.report(str(root))
        wanted = [(finding, mend) for finding, mend in findings.found if mend is not None]
        failed = mend_all(root, wanted)
        unneeded = [mend.subject for _, mend in wanted if mend.action == "remove"]
        remove_unreferenced(root, [name for name in unneeded if name.startswith(KEPT)])
        again = _check(root, progress)
        still = {finding for finding, _ in again.found}
        again.notes += failed
        return again.report(str(root), [finding for finding, _ in wanted if finding not in still])


def _check(root: Path, progress: Callable[[str, int], None] | None) -> Findings:
    findings = Findings(progress)
    # What is listed while nothing runs, and is not referred to by what is read afterwards, belongs to nobody.
    busy = _busy(root)
    plans = plan_digests(root)
    facts = Facts(on_disk=content_digests(root / "outputs") | content_digests(root / "inputs"))
    running = facts.busy = busy or _busy(root)
    _check_log(root, findings)
    # Before what it tells of: an event that is added meanwhile is then without a leaf, no leaf without an event.
    logged = read_log(root, findings)
    # Journals first: a record that is stored meanwhile is then seen twice, never not at all.
    check_journals(root, findings, facts, journal_is_live)
    try:
        connection = connect(root / "ledger.db")
    except (sqlite3.Error, OSError) as error:
        findings.damage("database", f"the database cannot be opened: {error}", where="ledger.db")
    else:
        try:
            _check_database(root, connection, findings, facts, logged)
        except sqlite3.Error as error:
            findings.damage("database", f"the database cannot be read: {error}", where="ledger.db")
        finally:
            connection.close()
    compare_journals(root, findings, facts)
    check_commits(root, findings, facts)
    # Where evidence is damaged, what it referred to is not known.
    facts.busy = facts.busy or findings.damaged
    check_plans(root, findings, facts, plans)
    check_contents(root, findings, facts, "output")
    check_contents(root, findings, facts, "input")
    check_files(root, findings, facts, journal_is_live)
    if logged is not None and not running:
        check_log_files(root, findings, logged)
    return findings


def _check_database(
    root: Path, connection: sqlite3.Connection, findings: Findings, facts: Facts, logged: Logged | None
) -> None:
    check_file(connection, findings)
    whole = check_schema(connection, findings, facts)
    check_identity(connection, findings, facts)
    if whole:
        keys = Keys(root / "policy.yaml")
        check_executions(connection, findings, facts)
        check_tombstones(connection, findings, facts)
        check_erasures(connection, findings, facts)
        check_numbers(connection, findings, facts)
        check_approvals(connection, findings, facts, keys)
        check_postures(connection, findings, keys)
        check_holds(connection, findings)
        check_noted_log(root, connection, findings, logged)
        if logged is not None:
            check_log_leaves(connection, findings, facts, logged)
    others = sorted(name for name, ledger_id in facts.ledger_ids.items() if ledger_id != facts.ledger_id)
    if others and len(others) == len(facts.ledger_ids):
        what = f"the ledger's id is {facts.ledger_id}, and every record names another one"
        findings.damage("identity", what, where="ledger_meta", records=others)
    elif others:
        findings.note(f"{len(others)} records were made for another ledger: {', '.join(others[:8])}")


def _check_log(root: Path, findings: Findings) -> None:
    """Check the write-ahead log before anything reads, and so perhaps empties, it."""
    path = root / "ledger.db-wal"
    for _ in range(_TRIES):
        before = _stamp(path)
        wrong = damaged_log(path)
        if not wrong or before != _stamp(path):
            if not wrong:
                return
            time.sleep(_PAUSE_SECONDS)  # it is being written
            continue
        findings.damage("log", f"the write-ahead log: {wrong}", where=path.name)
        return


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _busy(root: Path) -> bool:
    """Whether anything runs on this ledger now; in doubt, it does."""
    try:
        if running_executions(root / "locks"):
            return True
        return any(journal_is_live(path) for path in (root / "journals").glob("*.journal"))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            return False
        raise LedgerError(f"{error.filename or root}: {error.strerror}") from error
