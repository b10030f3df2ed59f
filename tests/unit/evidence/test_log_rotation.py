"""A log whose key changes: who knows the first key believes the next one, each for its sizes, until one is revoked."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EquivocationError, EvidenceError, EvidenceUsageError, GateRefusedError
from hearth.evidence import (
    Checkpoint,
    KeyHistory,
    LedgerLog,
    LogProof,
    LogTeller,
    Note,
    NoteKey,
    TransparencyLog,
    check_ledger_log,
    check_log,
    load_log_key,
    publish,
    revoke_key,
    rotate_key,
)
from hearth.operations import LogKeys, verify_log
from hearth.operations._proof import prove_by
from hearth.record import LeafKind, parse_leaf
from hearth.signing import SigningKey
from tests.unit.evidence._ledgers import ORIGIN, LoggedLedger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Rotated:
    """A log whose key lies in a file, and the ledger that it is of."""

    def __init__(self, folder: Path) -> None:
        self.logged = LoggedLedger(folder)
        self.place = self.logged.log.place
        self.logged.key.save(self.place.key)
        self.first = self.logged.vkey
        self.log = self.logged.log = LedgerLog(self.logged.ledger, load_log_key)
        self.new = SigningKey.generate()
        self.file = self.place.root / "key-2.pem"
        self.new.save(self.file)

    def rotate(self) -> None:
        """Change to the new key."""
        rotate_key(self.log, self.new, self.file)

    def run(self, name: str) -> None:
        """Add a leaf."""
        self.logged.run(name)
        self.log.update()

    def keys(self) -> LogKeys:
        """What a verifier has: the first key, and the published history."""
        return LogKeys((self.first,)).with_history((self.place.log / "keys").read_bytes())


@pytest.fixture
def rotated(tmp_path: Path) -> Iterator[Rotated]:
    made = Rotated(tmp_path)
    yield made
    made.logged.close()


def test_the_next_key_signs_from_the_next_size_on(rotated: Rotated) -> None:
    before = Note.parse(rotated.log.log.note())
    rotated.rotate()
    rotated.run("after")
    now = Note.parse(rotated.log.log.note())
    assert now.verified_by([NoteKey(ORIGIN, rotated.new.public)])
    assert not now.verified_by([rotated.first])
    assert check_ledger_log(rotated.log, rotated.keys().check, since=before).ok
    with pytest.raises(EvidenceError, match="history of its keys"):
        LogKeys((rotated.first,)).check(now)
    kinds = [parse_leaf(entry)["kind"] for entry in rotated.log.log.entries()]
    assert kinds.count("key_changed") == 1


def test_a_proof_brings_the_history_along(rotated: Rotated) -> None:
    rotated.rotate()
    rotated.run("after")
    _, proof = rotated.log.prove(LeafKind.EXECUTION_SEALED, "after")
    again = LogProof.parse(proof.to_bytes())
    record = rotated.logged.ledger.get("after")
    assert "in the log example.org/log" in prove_by(record, again, LogKeys((rotated.first,)))
    with pytest.raises(EvidenceError):
        prove_by(record, again, LogKeys((NoteKey(ORIGIN, SigningKey.generate().public),)))


def test_a_stolen_old_key_signs_nothing_from_its_end_on(rotated: Rotated, tmp_path: Path) -> None:
    """What systemd's sealing lacked (CVE-2023-31439): a verifier that looks at the interval of a key."""
    rotated.rotate()
    rotated.run("after")
    entries = list(rotated.log.log.entries())
    entries[-1] = entries[-1].replace(b"completed", b"failed")
    forged = TransparencyLog.create(tmp_path / "f", tmp_path / "f.signed", rotated.logged.key, origin=ORIGIN)
    forged.append(entries)
    shutil.copy(rotated.place.log / "keys", tmp_path / "f/keys")
    with pytest.raises(EvidenceError, match="ended at size"):
        check_log(forged.files, rotated.keys().check)


def test_whoever_leaves_the_history_away_is_held_to_the_one_that_was_kept(rotated: Rotated, tmp_path: Path) -> None:
    """The first key alone cannot know that it has ended; a verifier that kept the history does."""
    rotated.rotate()
    rotated.run("after")
    kept = tmp_path / "kept-keys"
    shutil.copy(rotated.place.log / "keys", kept)
    entries = list(rotated.log.log.entries())[:-1]
    forged = TransparencyLog.create(tmp_path / "f", tmp_path / "f.signed", rotated.logged.key, origin=ORIGIN)
    forged.append(entries)
    assert check_log(forged.files, LogKeys.read([str(rotated.first)]).check).ok, "nothing else says that it ended"
    found = verify_log(None, folder=rotated.place.log, keys=LogKeys.read([str(kept)]))
    assert found.ok, found.report.problems
    with pytest.raises(EvidenceError, match="ended at size"):
        verify_log(None, folder=tmp_path / "f", keys=LogKeys.read([str(kept)]))
    (tmp_path / "f" / "keys").write_bytes(KeyHistory(rotated.first).to_bytes())
    with pytest.raises(EvidenceError, match="it was set back"):
        verify_log(None, folder=tmp_path / "f", keys=LogKeys.read([str(kept)]))
    thief = SigningKey.generate()
    denied = KeyHistory(rotated.first).rotated(rotated.logged.key, thief, 3)
    (tmp_path / "f" / "keys").write_bytes(denied.to_bytes())
    with pytest.raises(EquivocationError, match="two histories"):
        verify_log(None, folder=tmp_path / "f", keys=LogKeys.read([str(kept)]))
    kept.write_bytes(kept.read_bytes()[:-9])
    with pytest.raises(EvidenceUsageError, match="is no history"):
        LogKeys.read([str(kept)])


def test_a_thief_cannot_appoint_another_successor(rotated: Rotated) -> None:
    rotated.rotate()
    thief = SigningKey.generate()
    history = rotated.log.history()
    with pytest.raises(EvidenceError, match="keep both"):
        history.rotated(rotated.logged.key, thief, rotated.log.log.checkpoint().size + 5)


def test_a_revoked_key_counts_no_more(rotated: Rotated) -> None:
    early = Note.parse(rotated.log.log.note())
    size = rotated.log.log.checkpoint().size
    rotated.rotate()
    revoke_key(rotated.log, rotated.first, size)
    with pytest.raises(EvidenceError, match=f"revoked from size {size} on"):
        rotated.keys().check(early)
    assert check_ledger_log(rotated.log, rotated.keys().check).ok


@pytest.mark.parametrize("moment", ["prepared", "made"])
def test_a_crash_in_a_change_is_finished_or_dropped(
    rotated: Rotated, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hearth.evidence import _log_place, _log_rotation

    with monkeypatch.context() as patch:
        if moment == "prepared":
            patch.setattr(_log_place.LogSettings, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        else:
            patch.setattr(_log_rotation, "finish_change", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rotated.rotate()
    rotated.run("after")
    made = moment == "made"
    now = Note.parse(rotated.log.log.note())
    assert bool(now.verified_by([NoteKey(ORIGIN, rotated.new.public)])) is made
    assert bool(rotated.log.history().statements) is made
    assert check_ledger_log(rotated.log, LogKeys.of_log(rotated.log).check).ok
    assert not (rotated.place.root / "keys.next").exists()


def test_settings_and_history_that_differ_are_refused(rotated: Rotated) -> None:
    rotated.rotate()
    (rotated.place.log / "keys").unlink()
    with pytest.raises(EvidenceError, match="other keys"):
        rotated.log.history()


def test_a_history_begins_with_the_key_that_is_trusted(rotated: Rotated) -> None:
    rotated.rotate()
    data = (rotated.place.log / "keys").read_bytes()
    with pytest.raises(EvidenceError, match="the key that is trusted is"):
        KeyHistory.parse(data, NoteKey(ORIGIN, SigningKey.generate().public))


def test_a_verifier_may_have_a_later_key_and_each_counts_for_its_interval_alone(
    rotated: Rotated, tmp_path: Path
) -> None:
    before = Note.parse(rotated.log.log.note())
    rotated.rotate()
    rotated.run("after")
    history = (rotated.place.log / "keys").read_bytes()
    later = NoteKey(ORIGIN, rotated.new.public)
    keys = LogKeys((later,)).with_history(history)
    assert check_ledger_log(rotated.log, keys.check).ok
    with pytest.raises(EvidenceError, match="from before the one that was given"):
        keys.check(before)
    # The later key signs a state from before its time, and one that it is revoked for.
    small = Note(Checkpoint(ORIGIN, 2, bytes(32)).text()).signed(ORIGIN, rotated.new)
    with pytest.raises(EvidenceError, match="begins at size"):
        keys.check(small)
    size = rotated.log.log.checkpoint().size
    revoked = KeyHistory.parse(history, rotated.first).revoked(later, size, rotated.new).to_bytes()
    with pytest.raises(EvidenceError, match="is revoked from size"):
        LogKeys((later,)).with_history(revoked).check(Note.parse(rotated.log.log.note()))
    stranger = LogKeys((NoteKey(ORIGIN, SigningKey.generate().public),))
    with pytest.raises(EvidenceError, match="has none of the keys that were given"):
        stranger.with_history(history)
    assert stranger.with_history(b"what another log puts there").history is None


def test_a_published_revocation_is_never_taken_back(tmp_path: Path) -> None:
    """A folder that was brought back knows less of the keys than what everybody has seen: it is not published."""
    rotated = Rotated(tmp_path)
    rotated.rotate()
    public = tmp_path / "public"
    publish(rotated.log.log, public, rotated.log.history())
    before = (rotated.place.log / "keys").read_bytes()
    revoke_key(rotated.log, rotated.log.settings.key, 99)
    publish(rotated.log.log, public, rotated.log.history())
    published = (public / "keys").read_bytes()
    assert published != before
    (rotated.place.log / "keys").write_bytes(before)
    with pytest.raises(EvidenceError, match="it was set back"):
        publish(rotated.log.log, public, rotated.log.history())
    with pytest.raises(EvidenceError, match="this log of none"):
        publish(rotated.log.log, public)
    denied = KeyHistory.parse(before, rotated.first).revoked(rotated.log.settings.key, 77, rotated.new)
    with pytest.raises(EquivocationError, match="two histories"):
        publish(rotated.log.log, public, denied)
    assert (public / "keys").read_bytes() == published
    rotated.logged.close()


def test_the_leaf_of_a_change_of_keys_that_was_cut_off_is_made_up_for(
    rotated: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(log: LedgerLog, _: object) -> None:
        if log.history().statements:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LedgerLog, "_tell_keys", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rotated.rotate()
    log = LedgerLog(rotated.logged.ledger, load_log_key)
    assert log.settings.key != rotated.first
    before = log.log.checkpoint().size
    for _ in range(2):
        log.update()
        assert [parse_leaf(entry)["kind"] for entry in log.log.entries(before)] == ["key_changed"]


def test_a_revoked_key_signs_nothing_more_and_no_run_begins(rotated: Rotated) -> None:
    size = rotated.log.log.checkpoint().size
    revoke_key(rotated.log, rotated.log.settings.key, size + 1)
    with pytest.raises(EvidenceUsageError, match="has come to its end"):
        rotated.log.update()
    with pytest.raises(GateRefusedError, match="nothing runs"):
        LogTeller(rotated.logged.ledger).require_ready()
    assert rotated.log.log.checkpoint().size == size


def test_a_history_of_keys_that_was_set_back_is_missed_by_the_log(rotated: Rotated) -> None:
    rotated.rotate()
    before = (rotated.place.log / "keys").read_bytes()
    revoke_key(rotated.log, rotated.first, 2)
    (rotated.place.log / "keys").write_bytes(before)
    log = LedgerLog(rotated.logged.ledger, load_log_key)
    (problem,) = check_ledger_log(log, LogKeys((rotated.first,)).with_history(before).check).problems
    assert "is not in the history of its keys" in problem
