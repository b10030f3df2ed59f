"""Retention: purging records that are old enough, and leaving a tombstone of each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hearth.errors import ExecutionPurgedError, GateRefusedError, LedgerError, RecordError
from hearth.execution import load_policy
from hearth.ledger import Ledger
from hearth.operations._emptying import emptying
from hearth.operations._fsck._canonical import DIGEST
from hearth.operations._fsck._kept import content_digests, plan_digests
from hearth.operations._log_follows import log_follows
from hearth.operations._people import person
from hearth.operations._review import emergency_runs
from hearth.operations._unreferenced import is_commit_of, referenced, remove_unreferenced
from hearth.operations._upkeep import upkeep
from hearth.record import ExecutionRecord, percent_encode, strict_loads
from hearth.recorder import journal_is_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hearth.ledger import LedgerHome

__all__ = ["PurgeReport", "Purged", "purge"]

Outcome = Literal["purged", "refused", "would"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What became of one record: `purged`, `refused` (`why` says by what), or `would` be purged by a dry run."""

    execution_id: str
    outcome: Outcome
    why: str = ""
    tombstone: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "execution_id": self.execution_id,
            "outcome": self.outcome,
            "why": self.why,
            "tombstone": self.tombstone,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeReport:
    """What a purge did: to records, and to files beside them.

    `left` are files that nobody will need but could not go yet (something runs, or a plan was just kept); `hearth fsck
    --repair` removes them later. `emptied`: nothing that was removed can be read in the database's files any more.
    """

    records: tuple[Purged, ...]
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    emptied: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "records": [record.to_dict() for record in self.records],
            "files_removed": list(self.removed),
            "files_left": list(self.left),
            "emptied": self.emptied,
        }


@log_follows
def purge(
    home: LedgerHome,
    *,
    reason: str,
    executions: Iterable[str] = (),
    plan: str | None = None,
    older_than: timedelta | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> PurgeReport:
    """Purge the executions that are named (ids, or beginnings of them), or all of a plan that ended so long ago.

    Refused, each by itself: what is on hold, younger than the policy's minimum age, an emergency without review, or
    does not verify (it is evidence of what was done to it). A record goes in one transaction that leaves its tombstone;
    then its bytes in the database, then files that nothing else refers to. A crash leaves at worst such files behind.
    """
    if not reason.strip():
        raise GateRefusedError("a purge needs a reason: give --reason TEXT")
    moment = datetime.now(UTC) if now is None else now
    minimum = timedelta(seconds=load_policy(home.policy).minimum_age)
    with upkeep(home.root, "purge"), Ledger.open(home) as ledger:
        chosen = tuple(dict.fromkeys(ledger.find_id(name) for name in executions))
        if not chosen:
            before = None if older_than is None else moment - older_than
            chosen = ledger.retention.choose(plan=plan, before=before)
        emergencies = emergency_runs(home, ledger)
        outcomes, facts = _judged(ledger, chosen, moment - minimum, minimum, emergencies, progress)
        if dry_run or not facts:
            return PurgeReport(records=tuple(outcomes[name] for name in chosen))
        _note_files(home, facts)
        with emptying(home, ledger) as files:
            for done, (name, fact) in enumerate(facts.items(), 1):
                try:
                    tombstone = ledger.retention.purge(fact, by=person(), reason=reason.strip())
                except LedgerError as error:
                    outcomes[name] = Purged(execution_id=name, outcome="refused", why=str(error))
                else:
                    outcomes[name] = Purged(execution_id=name, outcome="purged", tombstone=tombstone)
                if progress is not None:
                    progress("records purged", done)
            emptied = files.finish()
        gone = {name for name, outcome in outcomes.items() if outcome.outcome == "purged"}
        removed, left = _remove_files(home, [facts[name] for name in facts if name in gone])
    return PurgeReport(records=tuple(outcomes[name] for name in chosen), removed=removed, left=left, emptied=emptied)


def _judged(
    ledger: Ledger,
    chosen: tuple[str, ...],
    latest: datetime,
    minimum: timedelta,
    emergencies: dict[str, bool],
    progress: Callable[[str, int], None] | None,
) -> tuple[dict[str, Purged], dict[str, dict[str, Any]]]:
    """Look what stands against each purge; return an outcome for each, and the facts of those that may go."""
    outcomes: dict[str, Purged] = {}
    facts: dict[str, dict[str, Any]] = {}
    for done, name in enumerate(chosen, 1):
        why = ""
        try:
            raw = ledger.get_bytes(name)
            record = ExecutionRecord.from_dict(strict_loads(raw))
            verdict = record.verify()
            why = "" if verdict else f"its record does not verify ({verdict.why}): it stays, as evidence of that"
        except (RecordError, ExecutionPurgedError) as error:
            why = str(error)
        if not why and record.timestamp_end is not None and record.timestamp_end > latest:
            days = minimum.total_seconds() / 86400
            why = (
                f"it ended at {record.timestamp_end:%Y-%m-%d %H:%M:%S} UTC, and the policy keeps records {days:g} days"
            )
        why = why or ledger.retention.objection(name, record.plan_id)
        told = {} if why else record.started.get("approval")
        # The record says it too, whatever a row says.
        urgent = name in emergencies or (isinstance(told, dict) and told.get("kind") == "emergency")
        if not why and urgent and not emergencies.get(name):
            why = f"the emergency run {name} has no review that counts; somebody runs `hearth review {name}`"
        if why:
            outcomes[name] = Purged(execution_id=name, outcome="refused", why=why)
        else:
            outcomes[name] = Purged(execution_id=name, outcome="would")
            facts[name] = _facts(record, raw)
        if progress is not None:
            progress("records looked at", done)
    return outcomes, facts


def _facts(record: ExecutionRecord, raw: bytes) -> dict[str, Any]:
    """Return what a tombstone tells of a record; `files` are yet all digests that stand in it."""
    document = record.to_dict()
    approval = record.started.get("approval")
    return {
        "execution_id": record.execution_id,
        "plan_id": record.plan_id,
        "plan_digest": record.started.get("plan_digest"),
        "request_id": approval.get("request_id") if isinstance(approval, dict) else None,
        "status": record.status.value,
        "cause": None if record.cause is None else record.cause.value,
        "live_mode": record.live_mode_state,
        "started": document["timestamp_start"],
        "ended": document["timestamp_end"],
        "entries": len(record.entries),
        "execution_hash": record.get_execution_hash(),
        "head_hash": record.entries[-1].event_hash,
        "size": len(raw),
        "files": {"digests": sorted({match.decode() for match in DIGEST.findall(raw)})},
    }


def _note_files(home: LedgerHome, facts: dict[str, dict[str, Any]]) -> None:
    """Put into each tombstone which files go with it: plans that nothing else refers to, then what is left alone."""
    gone = frozenset(facts)
    found = {name: set(fact["files"]["digests"]) | _of_commits(home, name) for name, fact in facts.items()}
    plans = plan_digests(home.root) & set().union(*found.values())
    plans -= referenced(home.root, plans, gone)
    # What was kept of inputs, for approvers, only the plans name.
    named = {copy: _named_by(home, copy) for copy in plans}
    outputs, inputs = content_digests(home.root / "outputs"), content_digests(home.root / "inputs")
    wanted = (outputs | inputs) & set().union(*found.values(), *named.values())
    alone = wanted - referenced(home.root, wanted, gone, plans)
    for name, fact in facts.items():
        own = found[name] & plans
        through = set().union(*(named[copy] for copy in own))
        fact["files"] = {
            "plans": sorted(own),
            "outputs": sorted(alone & outputs & found[name]),
            "inputs": sorted(alone & inputs & through),
        }


def _of_commits(home: LedgerHome, execution_id: str) -> set[str]:
    """Return the digests that the journals of a run's commits name: what their undo would need."""
    paths = home.commits.iterdir() if home.commits.is_dir() else ()
    own = [path for path in paths if is_commit_of(path.name, execution_id)]
    return {match.decode() for path in own for match in DIGEST.findall(path.read_bytes())}


def _named_by(home: LedgerHome, copy: str) -> set[str]:
    try:
        data = (home.root / "plans" / f"{copy}.json").read_bytes()
    except OSError:
        return set()
    return {match.decode() for match in DIGEST.findall(data)}


def _remove_files(home: LedgerHome, facts: list[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = {f"plans/{digest}.json" for fact in facts for digest in fact["files"]["plans"]}
    for kind in ("outputs", "inputs"):
        names |= {f"{kind}/{digest[:2]}/{digest[2:]}" for fact in facts for digest in fact["files"][kind]}
    removed: list[str] = []
    for fact in facts:
        for path in _of_run(home, fact["execution_id"]):
            if path.suffix == ".journal" and journal_is_live(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path.relative_to(home.root).as_posix())
    # After them: what they name was needed for their sake.
    gone, left = remove_unreferenced(home.root, sorted(names))
    return (*gone, *removed), tuple(left)


def _of_run(home: LedgerHome, execution_id: str) -> list[Path]:
    """Return what a killed and recovered run may have left: its journal, the originals, its copies of inputs."""
    stem = percent_encode(execution_id)
    journal = home.journal_path(execution_id)
    found = [journal] if journal.exists() else []
    for folder in (home.journals, home.quarantine):
        if folder.is_dir():
            found += [path for path in folder.iterdir() if path.name.startswith(f"{stem}.journal.original")]
    if home.runs.is_dir():
        found += [path for path in home.runs.iterdir() if path.name.rpartition(".")[0] == stem]
    if home.commits.is_dir():
        found += [path for path in home.commits.iterdir() if is_commit_of(path.name, execution_id)]
    return sorted(found)
