"""Committing observed changes to the host, taking a commit back, and what is to be done after a crash. Linux."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hearth._visible import visible
from hearth.errors import ObservationError
from hearth.observe._change import Change, ChangeKind
from hearth.observe._commit_apply import Application, finish
from hearth.observe._commit_calls import Folders
from hearth.observe._commit_journal import SUFFIX, UNPREPARED, Action, CommitJournal
from hearth.observe._commit_prepare import Preparation
from hearth.observe._commit_restore import Restoration
from hearth.observe._commit_source import Source, from_layer, from_store
from hearth.observe._node import path_from_json
from hearth.record import percent_encode
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hearth.observe._preimage import ContentKeeper

__all__ = ["CommitOutcome", "CommitResult", "RecoveredCommit", "commit", "recover_commits", "undo"]

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitResult:
    """A commit that is done. `journal` is its file; `kept` are the digests of the pre-images that `undo` needs.

    `in_place` are the paths of files that were written where they are (other names of them changed too), `notes` say
    what an undo cannot bring back, `left` what waits under a temporary name because it could not be removed.
    """

    journal: Path
    kept: tuple[str, ...] = ()
    in_place: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class CommitOutcome(StrEnum):
    """What became of a commit that a crash cut off.

    REMOVED: nothing had begun. UNDONE: everything is as it was. FINISHED: everything was done, and what was left to
    clear away is. CONFLICT: some paths are in a state of their own; the rest is as it was. DAMAGED: the journal
    cannot be believed, nothing was touched.
    """

    REMOVED = "removed"
    UNDONE = "undone"
    FINISHED = "finished"
    CONFLICT = "conflict"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredCommit:
    """One journal that had no end. `conflicts` name paths with why they stay as they are, `left` as in CommitResult."""

    name: str
    journal: Path
    outcome: CommitOutcome
    conflicts: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def commit(
    changes: Sequence[Change],
    *,
    content: Callable[[str], Path],
    folder: Path,
    name: str,
    store: ContentKeeper,
    check: Callable[[], None] | None = None,
    parted: Sequence[str] = (),
    groups: Sequence[Sequence[str]] = (),
    told: Mapping[str, Any] | None = None,
) -> CommitResult:
    """Bring changes to the host, all of them or none.

    `content(path)` is where the new content of a path lies; `folder` is where the journal `name` is kept, `store` takes
    the pre-images. A file that has several names is written in place, so all of them change, unless its path is among
    the `parted` (another file took that name); `groups` are paths that become, or stay, names of one file. `check` is
    called when everything is prepared and nothing touched: what it raises stops the commit. `told` is what a record is
    to say of it, kept in the journal for one whose writer dies before it has said that (`committed_then`).
    DriftError (a path is not as `before` says) and ObservationError (no room, not permitted …) leave the host as it
    was; an ObservationError that names conflicts tells what could not be put back, and the journal stays for
    `recover_commits`. Another process may see some paths changed and others not yet: no file system does that at once.
    """
    with Folders() as folders, Folders(links=True) as layers:
        preparation = Preparation(
            changes,
            folders=folders,
            source=lambda change, whole: from_layer(change, content, layers, whole=whole),
            store=store,
            token=secrets.token_hex(4),
            keep_all=True,
            parted=parted,
            groups=groups,
        )
        preparation.run()
        about = {} if told is None else {"told": dict(told)}
        return _carry_out(preparation, folders, layers, folder=folder, name=name, store=store, check=check, **about)


def _carry_out(
    preparation: Preparation,
    folders: Folders,
    layers: Folders,
    *,
    folder: Path,
    name: str,
    store: ContentKeeper,
    check: Callable[[], None] | None = None,
    **header: Any,
) -> CommitResult:
    listings = [listing.to_dict(path) for path, listing in preparation.listings.items()]
    journal = CommitJournal.create(folder, name, {**header, "folders": listings}, preparation.actions)
    application = Application(
        journal, folders=folders, layers=layers, found=preparation.found, sources=preparation.sources
    )
    try:
        try:
            if check is not None:
                check()
            application.run()
        except BaseException as error:
            restoration = Restoration(journal, folders=folders, layers=layers, store=store, begun=application.begun)
            restoration.run()
            _tell(error, restoration, journal, application.under_way)
            raise
        try:
            left = finish(journal, folders)
        except OSError as error:
            raise ObservationError(
                f"{journal.path}: all was committed, but not all could be cleared away ({error.strerror}); recover it"
            ) from error
    finally:
        journal.close()
    actions = journal.actions
    return CommitResult(
        journal=journal.path,
        kept=tuple(sorted({one.old.stored for one in actions if one.old is not None and one.old.stored is not None})),
        in_place=tuple(one.path for one in actions if one.way == "in_place"),
        notes=tuple(preparation.notes),
        left=tuple(left),
    )


def _tell(error: BaseException, restoration: Restoration, journal: CommitJournal, path: str) -> None:
    """Raise ObservationError in words for what the system refused, and for what could not be put back.

    `path` is what was being committed: the error itself may name a temporary file, or a part of the path alone.
    """
    where = f"{visible(path)}: " if path else ""
    if restoration.conflicts:
        named = "; ".join(restoration.conflicts[:_MOST_NAMED])
        why = f"{where}{error.strerror}" if isinstance(error, OSError) else str(error)
        raise ObservationError(
            f"the commit failed ({why}), and not all of it could be put back: {named}. {journal.path} stays: "
            "look at these paths, and recover again"
        ) from error
    if isinstance(error, OSError):
        raise ObservationError(
            f"{where}the system refused the commit ({error.strerror}); everything was put back"
        ) from error


def undo(folder: Path, name: str, store: ContentKeeper) -> CommitResult:
    """Take a finished commit back, by a commit of its own (`<name>.undo`).

    DriftError, naming paths, unless all of them are just as the commit left them. ObservationError where there is no
    such commit, where it is undone already, or its pre-images are kept no more. The journal has a note afterwards.
    """
    journal = _finished(folder, name)
    try:
        if journal.has("undone"):
            raise ObservationError(f"{journal.path}: this commit was undone already")
        by_path = {action.path: action for action in journal.actions}
        changes = [_inverse(action) for action in journal.actions if action.change.before is not action.change.after]
        with Folders() as folders, Folders(links=True) as layers:

            def source(change: Change, whole: bool) -> Source:
                action = by_path.get(change.path)
                return from_store(change, None if action is None else action.old, store, whole=whole)

            preparation = Preparation(
                [one for one in changes if one.before != one.after or one.kind is ChangeKind.TOUCHED],
                folders=folders,
                source=source,
                store=store,
                token=secrets.token_hex(4),
                keep_all=False,
            )
            preparation.run()
            times = _times_to_restore(journal, preparation)
            result = _carry_out(
                preparation,
                folders,
                layers,
                folder=folder,
                name=_undo_name(name),
                store=store,
                undoes=name,
                times=times,
            )
        journal.mark("undone", by=_undo_name(name))
    finally:
        journal.close()
    return result


def _undo_name(name: str) -> str:
    return f"{name}.undo"


def _finished(folder: Path, name: str) -> CommitJournal:
    path = folder / (percent_encode(name) + SUFFIX)
    try:
        journal = CommitJournal.open(path)
    except FileNotFoundError:
        raise ObservationError(f"{path}: there is no commit of that name") from None
    except ValueError as error:
        raise ObservationError(f"{error}: the journal is damaged, so nothing can be undone by it") from error
    if journal is None:
        raise ObservationError(f"{path}: another process is at work on this commit")
    if not journal.has("done"):
        journal.close()
        raise ObservationError(f"{path}: this commit was never finished; recover it first")
    return journal


def _inverse(action: Action) -> Change:
    change, old = action.change, action.old
    before = change.before
    if before is not None and old is not None:
        before = replace(before, mtime_ns=old.mtime_ns)
    kinds = {ChangeKind.CREATED: ChangeKind.DELETED, ChangeKind.DELETED: ChangeKind.CREATED}
    return Change(path=change.path, kind=kinds.get(change.kind, change.kind), before=change.after, after=before)


def _times_to_restore(journal: CommitJournal, preparation: Preparation) -> list[dict[str, Any]]:
    """Return the earlier times of folders in which nothing happened since the commit."""
    done = next(mark for mark in journal.marks if mark["type"] == "done")
    then = {path_from_json(one["path"]): int(one["mtime_ns"]) for one in done["folders"]}
    times = []
    for one in journal.header["folders"]:
        listing = preparation.listings.get(path_from_json(one["path"]))
        if listing is not None and then.get(path_from_json(one["path"])) == listing.mtime_ns:
            times.append({key: one[key] for key in ("path", "atime_ns", "mtime_ns")})
    return times


def recover_commits(folder: Path, store: ContentKeeper) -> list[RecoveredCommit]:
    """Bring every commit that has no end to one; return what became of each, in the order of their files' names.

    What was only being prepared is removed, what had begun is taken back, what was done but for clearing away is
    finished. Commits that another process is at work on are left to it. Repeat it where conflicts were resolved.
    """
    found: list[RecoveredCommit] = []
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir()):
        if path.name.endswith(UNPREPARED):
            if _abandoned(path):
                path.unlink()
                found.append(_told(path, CommitOutcome.REMOVED))
        elif path.name.endswith(SUFFIX):
            one = _recover(path, folder, store)
            if one is not None:
                found.append(one)
    return found


def _abandoned(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)


def _recover(path: Path, folder: Path, store: ContentKeeper) -> RecoveredCommit | None:
    try:
        journal = CommitJournal.open(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        return _told(path, CommitOutcome.DAMAGED, conflicts=(str(error),))
    if journal is None:
        return None
    name = str(journal.header["name"])
    left: list[str] = []
    try:
        with Folders() as folders, Folders(links=True) as layers:
            if journal.has("done"):
                return None if not _note_undone(journal, folder) else _told(path, CommitOutcome.FINISHED, name)
            if journal.has("committed"):
                left = finish(journal, folders)
                _note_undone(journal, folder)
                return _told(path, CommitOutcome.FINISHED, name, left=tuple(left))
            restoration = Restoration(journal, folders=folders, layers=layers, store=store)
            restoration.run()
    finally:
        journal.close()
    if restoration.conflicts:
        return _told(path, CommitOutcome.CONFLICT, name, conflicts=tuple(restoration.conflicts))
    return _told(path, CommitOutcome.UNDONE, name)


def _note_undone(journal: CommitJournal, folder: Path) -> bool:
    """Write the note that an undo did not come to; return whether there was one to write."""
    undone = journal.header.get("undoes")
    if undone is None:
        return False
    other = CommitJournal.open(folder / (percent_encode(undone) + SUFFIX))
    if other is None:
        return False
    try:
        if other.has("undone"):
            return False
        other.mark("undone", by=journal.header["name"])
    finally:
        other.close()
    return True


def _told(
    path: Path,
    outcome: CommitOutcome,
    name: str = "",
    *,
    conflicts: tuple[str, ...] = (),
    left: tuple[str, ...] = (),
) -> RecoveredCommit:
    return RecoveredCommit(name=name or path.stem, journal=path, outcome=outcome, conflicts=conflicts, left=left)
