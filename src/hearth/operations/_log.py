"""A ledger's transparency log: making it, bringing it up to date, looking at it, checking and publishing it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceBusyError, EvidenceError, EvidenceUsageError, HearthError, SigningError
from hearth.evidence import (
    LedgerLog,
    LogFiles,
    LogPlace,
    LogReport,
    Note,
    check_ledger_log,
    check_log,
    kept_note,
    load_log_key,
    publish,
    revoke_key,
    rotate_key,
)
from hearth.ledger import Ledger
from hearth.operations._log_keys import LogKeys
from hearth.record import LARGEST_EXPORT, LeafKind
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.evidence import LogProof, LogUpdate, Published
    from hearth.ledger import LedgerHome

__all__ = [
    "LogStatus",
    "LogVerified",
    "log_init",
    "log_status",
    "log_update",
    "opened_log",
    "prove_execution",
    "publish_log",
    "read_note",
    "revoke_log_key",
    "rotate_log_key",
    "verify_log",
]


_LARGEST_HISTORY = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """What a log is called and how far it is: its size and root, its keys, who cosigned, and what it does not have yet.

    `waiting` are the events that are not in it; `problems` those that cannot be. `cannot_sign` says why nothing can be
    signed from here, and no run starts: its key is not there, is another one or is revoked, or a passphrase is missing.
    """

    folder: Path
    origin: str
    ledger_id: str
    keys: tuple[str, ...]
    size: int
    root: str
    cosigned_by: tuple[str, ...]
    waiting: int
    problems: tuple[str, ...]
    cannot_sign: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "folder": str(self.folder),
            "origin": self.origin,
            "ledger_id": self.ledger_id,
            "keys": list(self.keys),
            "size": self.size,
            "root": self.root,
            "cosigned_by": list(self.cosigned_by),
            "waiting": self.waiting,
            "problems": list(self.problems),
            "cannot_sign": self.cannot_sign,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LogVerified:
    """What a check of a log found, by whose key, and whether the key came from elsewhere than the log itself."""

    report: LogReport
    folder: Path
    own_key: bool
    compared_with_ledger: bool
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all of it holds."""
        return self.report.ok

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "ok": self.ok,
            "folder": str(self.folder),
            "origin": self.report.checkpoint.origin,
            "size": self.report.checkpoint.size,
            "root": self.report.checkpoint.root.hex(),
            "own_key": self.own_key,
            "compared_with_ledger": self.compared_with_ledger,
            "waiting": self.report.waiting,
            "problems": list(self.report.problems),
            "notes": list(self.notes),
        }


def log_init(
    home: LedgerHome,
    *,
    origin: str | None = None,
    key_file: Path | None = None,
    signed_file: Path | None = None,
    passphrase: str | None = None,
    replace: bool = False,
    progress: Callable[[int], None] | None = None,
) -> LogStatus:
    """Make a ledger's log, with a leaf of all that is in the ledger by now, and a key of its own where none is named.

    With `replace` it takes the place of one that is lost for good.

    EvidenceError where there is a log; SigningError for a key that cannot be used.
    """
    with Ledger.open(home) as ledger:
        LedgerLog.require_none(ledger, replace=replace)
        place = LogPlace.of(home)
        path = place.key if key_file is None else key_file.absolute()
        key = _key_in(path, passphrase)
        LedgerLog.create(
            ledger,
            origin=origin or f"hearth/{ledger.ledger_id}",
            key=key,
            key_file=path,
            signed_file=None if signed_file is None else signed_file.absolute(),
            replace=replace,
            progress=progress,
        )
    return log_status(home)


def log_update(home: LedgerHome, progress: Callable[[int], None] | None = None) -> LogUpdate:
    """Add to the log what is in the ledger and not in it; EvidenceError where there is no log."""
    with opened_log(home) as log:
        return log.update(progress=progress)


def log_status(home: LedgerHome) -> LogStatus:
    """Return how far a ledger's log is; nothing is added to it."""
    with opened_log(home) as log:
        waiting, problems = log.waiting()
        note = Note.parse(log.log.note())
        checkpoint = log.log.checkpoint()
        own = {key.key_id for key in log.settings.keys}
        return LogStatus(
            folder=log.place.log,
            origin=log.settings.origin,
            ledger_id=log.settings.ledger_id,
            keys=tuple(map(str, log.settings.keys)),
            size=checkpoint.size,
            root=checkpoint.root.hex(),
            cosigned_by=tuple(dict.fromkeys(one.name for one in note.signatures if one.key_id not in own)),
            waiting=waiting,
            problems=problems,
            cannot_sign=_why_unready(log),
        )


def _why_unready(log: LedgerLog) -> str:
    try:
        log.require_ready()
    except (SigningError, EvidenceUsageError) as error:
        return str(error)
    except EvidenceBusyError:
        pass  # others sign at this moment
    return ""


def verify_log(
    home: LedgerHome | None,
    *,
    folder: Path | None = None,
    keys: LogKeys | None = None,
    since: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> LogVerified:
    """Check a ledger's log and hold the ledger against it; or check the published log in a folder by itself.

    Without `keys` a ledger's log is checked by the key that its settings name, which proves nothing against whoever
    holds that; a folder is never checked without. `since` is a file with a checkpoint that was kept elsewhere.
    EvidenceError where there is nothing to check.
    """
    older = None if since is None else read_note(since)
    if folder is not None:
        if keys is None or not keys.given:
            raise EvidenceUsageError(
                f"{folder}: whose log this is only a key tells that came from elsewhere; give it with --key, as "
                "`hearth log status` of the ledger prints it"
            )
        keys = keys.with_history(_published_keys(folder / "keys"))
        report = check_log(LogFiles(folder), keys.check, since=older, believe=keys.signed, progress=progress)
        return LogVerified(report=report, folder=folder, own_key=False, compared_with_ledger=False)
    if home is None:
        raise EvidenceUsageError("there is neither a ledger nor a folder to check; name one")
    with opened_log(home) as log:
        own = keys is None or not keys.given
        log.settle()
        checking = LogKeys.of_log(log) if own or keys is None else keys.with_history(log.history().to_bytes())
        report = check_ledger_log(log, checking.check, since=older, believe=checking.signed, progress=progress)
        notes = []
        if report.waiting:
            notes.append(
                f"{report.waiting} events of the ledger are not in the log yet; the next run adds them, or "
                "`hearth log update`"
            )
        if own:
            notes.append(
                "checked by the key in the ledger's own folder: whoever can write there could have signed anything. "
                "Keep the key elsewhere, and give it with --key"
            )
        if older is None:
            notes.append(
                "no earlier checkpoint was given: an old state that was brought back as a whole would not be seen. "
                "Keep checkpoints elsewhere, and give one with --since"
            )
        return LogVerified(
            report=report, folder=log.place.log, own_key=own, compared_with_ledger=True, notes=tuple(notes)
        )


def _published_keys(path: Path) -> bytes | None:
    """Read the history of a log's keys, which refuses more than it may have; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(_LARGEST_HISTORY + 1)


def rotate_log_key(home: LedgerHome, key_file: Path | None = None, passphrase: str | None = None) -> LogStatus:
    """Have another key sign the log from the next size on, made where it is not there; the present one signs that."""
    with opened_log(home) as log:
        path = key_file or log.place.root / f"key-{len(log.settings.keys) + 1}.pem"
        path = path.absolute()
        key = _key_in(path, passphrase)
        rotate_key(log, key, path)
    return log_status(home)


def revoke_log_key(home: LedgerHome, key: str, size: int) -> LogStatus:
    """Revoke a key of the log (its verifier key, or its key id) from a size of the log on."""
    with opened_log(home) as log:
        found = [one for one in log.settings.keys if key in {str(one), one.key_id.hex()}]
        if not found:
            raise EvidenceError(f"{key[:100]!r} is no key of this log; `hearth log status` names them")
        revoke_key(log, found[0], size)
    return log_status(home)


def publish_log(home: LedgerHome, folder: Path) -> Published:
    """Bring the log up to date and write it into a folder that any web server can serve; see `hearth.evidence.publish`.

    Besides tiles and checkpoint the folder holds the history of the log's keys, where there is one (`keys`).
    EvidenceUsageError for a folder with which the ledger, or the log's private key, would be served.
    """
    with opened_log(home) as log:
        _require_apart(folder, home, log.settings.key_file)
        log.update()
        with log.place.publishing():
            return publish(log.log, folder, log.history())


def _require_apart(folder: Path, home: LedgerHome, key_file: Path) -> None:
    target, root = folder.resolve(), home.root.resolve()
    if target.is_relative_to(root):
        what = "lies in the ledger's own folder"
    elif root.is_relative_to(target):
        what = f"has the ledger in it ({root})"
    elif key_file.resolve().is_relative_to(target):
        what = f"has the log's private key in it ({key_file})"
    else:
        return
    raise EvidenceUsageError(
        f"{folder} {what}, and a web server shows all that is there: name a folder for the log alone"
    )


def prove_execution(home: LedgerHome, execution_id: str) -> tuple[bytes, LogProof]:
    """Return the leaf of a sealed execution, and the proof that the log has it, with the present checkpoint."""
    with opened_log(home) as log:
        if log.find(LeafKind.EXECUTION_SEALED, execution_id) is None:
            log.update()
        return log.prove(LeafKind.EXECUTION_SEALED, execution_id)


def _key_in(path: Path, passphrase: str | None) -> SigningKey:
    """Return the private key in a file, made where it is not there."""
    if path.exists():
        return load_log_key(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate()
    key.save(path, passphrase)
    return key


def read_note(path: Path) -> Note:
    """Read a checkpoint that was kept: the signed note itself, or a proof or a dossier that has one.

    EvidenceError where there is none in the file, EvidenceUsageError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return kept_note(file.read(2 * LARGEST_EXPORT + 1))
    except OSError as error:
        raise EvidenceUsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except HearthError as error:
        raise EvidenceError(f"{path} has no checkpoint that can be read: {error}") from None


@contextmanager
def opened_log(home: LedgerHome) -> Iterator[LedgerLog]:
    """Open a ledger and its log; EvidenceError where it has none."""
    with Ledger.open(home) as ledger:
        yield LedgerLog(ledger, load_log_key)
