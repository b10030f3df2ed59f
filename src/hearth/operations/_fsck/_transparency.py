"""The ledger's transparency log: its settings, keys, checkpoint, entries and tiles, as they lie in its folder.

Whether the ledger tells of the same events as its leaves is looked at in `_log_leaves`.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import canonical, is_time, load
from hearth.operations._fsck._log_note import LogKey, LogState, SignedNote, key_terms, require_signed
from hearth.operations._fsck._log_tiles import LogTree, log_entries
from hearth.operations._fsck._report import Mend

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.operations._fsck._report import Findings

__all__ = ["NAMED_BY", "Logged", "check_log_files", "read_log"]

NAMED_BY = {
    "log_created": "log_key",
    "execution_opened": "execution_id",
    "execution_sealed": "execution_id",
    "approval_used": "request_id",
    "posture_changed": "version",
    "execution_purged": "execution_id",
    "values_erased": "erasure_sha256",
    "key_changed": "statement_sha256",
}
"""By what a leaf of each kind is known."""

_SETTINGS = {"schema", "origin", "ledger_id", "keys", "key_file", "signed_file", "created"}
_OWN = re.compile(
    r"settings\.json|signed\.json|keys\.next|index\.db(-journal)?|[^/]+\.pem|\.lock|\.publishing|log/(\.lock|checkpoint|keys)"
    r"|witnesses/([0-9a-f]{64}\.note|conflicts/[0-9a-f]{64})"
)
_DRAFT = re.compile(r"(.*/)?\.[^/]+\.[0-9a-f]{8}\.new")
_TRIES = 5


@dataclass(slots=True)
class Logged:
    """A log that holds: its leaves by kind and name, the first key, the statements on keys, and the files it has.

    `behind` says that more was signed than its checkpoint tells: what happened last may have leaves that are not here.
    """

    origin: str
    ledger_id: str
    first_key: str
    statements: list[str] = field(default_factory=list)
    leaves: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    size: int = 0
    behind: bool = False


def read_log(root: Path, findings: Findings) -> Logged | None:
    """Check the log of a ledger; None where it has none, or none that can be read. Read before the database is."""
    place = root / "transparency"
    if not (place / "settings.json").exists():
        if (place / "log" / "checkpoint").exists():
            what = "the settings of the transparency log are gone, so nothing that happens is told to it any more"
            findings.damage("transparency", what, where="transparency/settings.json")
        return None
    for left in reversed(range(_TRIES)):
        before = _stamp(place)
        try:
            settings, statements, state = _signed_state(place)
            break
        except (ValueError, LookupError, TypeError) as error:
            if left and before != _stamp(place):
                continue  # its key is being changed
            what = f"the transparency log cannot be believed: {error}"
            findings.damage("transparency", what, where="transparency/log/checkpoint")
            return None
    # After the checkpoint: what is signed is noted there first, so a log that grows meanwhile has signed this, or more.
    signed, wrong = _signed(place, settings)
    logged = Logged(settings["origin"], settings["ledger_id"], settings["keys"][0], statements, size=state.size)
    logged.others = {name for name in (settings["key_file"], settings["signed_file"]) if not name.startswith("/")}
    for what in wrong:
        findings.damage("transparency", what, where=settings["signed_file"])
    if signed is None and not wrong:
        findings.note(f"{settings['signed_file']}, which says how far the log was signed, is not there")
    _entries(place / "log", findings, logged, state, signed)
    return logged


def _entries(folder: Path, findings: Findings, logged: Logged, state: LogState, signed: LogState | None) -> None:
    """Hash every entry; compare the root with what is signed, the tiles with the files, and gather the leaves."""
    tree, where = LogTree(folder), "transparency/log"
    try:
        for number, entry in enumerate(log_entries(folder, state.size, tree.read)):
            tree.add(entry)
            findings.count("leaves")
            _leaf(findings, logged, number, entry)
        tree.check_edge()
        if tree.root() != state.root:
            what = f"its entries do not give the root that was signed for {state.size} of them"
            findings.damage("transparency", what, where=where)
    except ValueError as error:
        findings.damage("transparency", str(error), where=where)
    for what in tree.wrong:
        findings.damage("transparency", what, where=where)
    logged.files = tree.read
    if signed is None or signed == state:
        return
    logged.behind = True
    if signed.size > state.size and signed.origin == state.origin and _continues(folder, signed, logged.files):
        findings.note(f"the log was signed up to {signed.size} entries, which its next checkpoint tells")
    else:
        what = f"it has {state.size} entries, and {signed.size} were signed before: it was changed or set back"
        findings.damage("transparency", what, where=where)


def _continues(folder: Path, signed: LogState, read: set[str]) -> bool:
    """Whether what was signed and not published, as a crash leaves it, lies there."""
    tree = LogTree(folder)
    try:
        for entry in log_entries(folder, signed.size, tree.read):
            tree.add(entry)
        tree.check_edge()
    except ValueError:
        return False
    read |= tree.read
    return tree.root() == signed.root


def _leaf(findings: Findings, logged: Logged, number: int, data: bytes) -> None:
    where = f"transparency/log, leaf {number}"
    try:
        leaf = load(data)
        if canonical(leaf) != data or leaf.get("schema") != "hearth.log-leaf/1" or not is_time(leaf["at"]):
            raise ValueError("its bytes are not those of a leaf")  # noqa: TRY301 - one word for all that is malformed
        name = (leaf["kind"], str(leaf[NAMED_BY[leaf["kind"]]]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        findings.damage("transparency", f"the leaf cannot be read: {error}", where=where)
        return
    if (leaf.get("origin"), leaf.get("ledger_id")) != (logged.origin, logged.ledger_id):
        findings.damage("transparency", "the leaf is of another ledger or another log", where=where)
    elif name in logged.leaves:
        findings.damage("transparency", f"it tells what leaf {logged.leaves[name][0]} does", where=where)
    else:
        logged.leaves[name] = (number, data)


def check_log_files(root: Path, findings: Findings, logged: Logged) -> None:
    """Name what lies in the log's folder and belongs to no log, and an index of leaves that is wrong.

    Only while nothing runs: what grows has files of its own for a moment.
    """
    place = root / "transparency"
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        where = f"transparency/{name}"
        if path.is_dir() or _OWN.fullmatch(name) or name in logged.others:
            continue
        if _DRAFT.fullmatch(name):
            what = "a draft of a process that is gone"
            findings.leftover("leftover", what, where=where, mend=Mend("remove", where))
        elif not name.startswith("log/tile/"):
            findings.note(f"{where} is none of the names that a log's folder is known to hold")
        elif name.removeprefix("log/") not in logged.files:
            findings.note(
                f"{where} is no tile of {logged.size} entries; a crash leaves such a file, or an update that could "
                "not sign, and it proves nothing"
            )
    _index(place / "index.db", findings, logged)


def _index(path: Path, findings: Findings, logged: Logged) -> None:
    if not path.exists() or path.with_name(f"{path.name}-journal").exists():
        return  # a change of it that was cut off is undone by whoever opens it to write
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            found = connection.execute("SELECT number, kind, name FROM leaves").fetchall()
        finally:
            connection.close()
        # What a crash left unpublished is in it already.
        within = [one for one in found if not isinstance(one[0], int) or one[0] < logged.size]
        right = all(logged.leaves.get((kind, name), (-1,))[0] == number for number, kind, name in within)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return  # somebody writes to it
        right = False
    if not right:
        what = "the index of the log's leaves is not what its entries give"
        findings.derived("index", what, where="transparency/index.db", mend=Mend("remove", "transparency/index.db"))


def _signed_state(place: Path) -> tuple[dict[str, Any], list[str], LogState]:
    """Return the settings, the digests of the statements on keys, and what the checkpoint says; ValueError."""
    settings = _settings(place / "settings.json")
    published, prepared = place / "log" / "keys", place / "keys.next"
    try:
        history = _read(published) if published.exists() else None
        terms, statements = key_terms(settings["origin"], settings["keys"], history)
    except ValueError:
        if not prepared.exists():
            raise
        # A change of keys that a crash cut off: it was made when the settings named the new key.
        terms, statements = key_terms(settings["origin"], settings["keys"], _read(prepared))
    note = SignedNote(_read(place / "log" / "checkpoint"))
    state = LogState.of(note)
    require_signed(note, state, terms)
    return settings, statements, state


def _settings(path: Path) -> dict[str, Any]:
    document = load(_read(path))
    if not isinstance(document, dict) or document.keys() != _SETTINGS or document["schema"] != "hearth.log-settings/1":
        raise ValueError("its settings are malformed")
    texts = [document[name] for name in _SETTINGS - {"keys"}] + list(document["keys"])
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its settings are malformed")
    if not document["keys"] or any(LogKey(key).name != document["origin"] for key in document["keys"]):
        raise ValueError("its keys are not those of its origin")
    return document


def _signed(place: Path, settings: dict[str, Any]) -> tuple[LogState | None, list[str]]:
    """Return what was signed last. Where that lies elsewhere, it may be on a disk that is not there."""
    path = place / settings["signed_file"]
    try:
        document = load(path.read_bytes())
        return LogState(str(document["origin"]), int(document["size"]), bytes.fromhex(document["root"])), []
    except FileNotFoundError:
        if path.parent == place:
            return None, ["it is gone, which says how far the log was signed"]
        return None, []
    except (OSError, ValueError, LookupError, TypeError) as error:
        return None, [f"how far the log was signed cannot be read: {error}"]


def _stamp(place: Path) -> list[tuple[int, int]]:
    found = [path.stat() for path in (place / "settings.json", place / "log" / "keys") if path.exists()]
    return [(status.st_mtime_ns, status.st_ino) for status in found]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from None
