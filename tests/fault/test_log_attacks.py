"""Which check sees which attack on a ledger and its published log: the table of the threat model, row by row."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import (
    COSIGNATURE,
    Checkpoint,
    LogFiles,
    Note,
    NoteKey,
    TransparencyLog,
    Witness,
    add_checkpoint_body,
    check_ledger_log,
    check_log,
    publish,
)
from hearth.operations import LogKeys
from hearth.signing import SigningKey
from tests.unit.evidence._ledgers import ORIGIN, LoggedLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS = 600  # two full tiles and a partial one


class World:
    """A ledger of 600 records, its log, a witness that has cosigned it, and a checkpoint that was kept elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logged = LoggedLedger(folder, records=RECORDS)
        self.witness_key = SigningKey.generate()
        self.witness = Witness(
            "witness.example", self.witness_key, {ORIGIN: [self.logged.vkey]}, folder / "witness", now=lambda: 1.0
        )
        self.early = Note.parse(self.logged.log.log.note())
        self.cosign()
        for number in range(3):
            self.logged.run(f"late-{number}", log=True)
        self.kept = Note.parse(self.logged.log.log.note())
        self.cosign()

    @property
    def log(self) -> TransparencyLog:
        return self.logged.log.log

    @property
    def witness_vkey(self) -> NoteKey:
        return NoteKey("witness.example", self.witness_key.public, COSIGNATURE)

    def cosign(self, log: TransparencyLog | None = None) -> bool:
        """Have the witness cosign a log's present checkpoint, and publish what it says; whether it did."""
        log = self.log if log is None else log
        note = Note.parse(log.note())
        for old in (0, getattr(self, "_cosigned", 0)):
            size = log.checkpoint().size
            proof = log.consistency(old, size) if 0 < old <= size else []
            answer = self.witness.add_checkpoint(add_checkpoint_body(old, proof, note.to_bytes()))
            if answer.status == 200:
                self._cosigned = size
                log.publish_note(Note.parse(note.to_bytes() + answer.body))
                return True
        return False

    def verdicts(self, log: TransparencyLog) -> tuple[bool, bool, bool]:
        """Whether an attack is seen by the log's verifier, by it and the witness, by both and the kept checkpoint."""
        files = log.files
        plain = LogKeys((self.logged.vkey,))
        cosigned = LogKeys((self.logged.vkey,), (self.witness_vkey,), 1)

        def sees(keys: LogKeys, since: Note | None = None) -> bool:
            try:
                return not check_log(files, keys.check, since=since).ok
            except EvidenceError:
                return True

        return sees(plain), sees(plain) or sees(cosigned), sees(plain) or sees(cosigned) or sees(plain, self.kept)

    def forged(self, entries: list[bytes], key: SigningKey | None = None, name: str = "forged") -> TransparencyLog:
        """Make a log of these entries anew, as whoever holds its key can, and have the witness asked."""
        key = self.logged.key if key is None else key
        log = TransparencyLog.create(self.folder / name, self.folder / f"{name}.signed", key, origin=ORIGIN)
        log.append(entries)
        self.cosign(log)
        return log


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.logged.close()


@pytest.fixture
def entries(world: World) -> list[bytes]:
    return list(world.log.entries())


def copied(world: World, folder: Path) -> TransparencyLog:
    shutil.copytree(world.log.files.folder, folder / "log")
    key = world.logged.key
    return TransparencyLog(folder / "log", world.logged.log.settings.signed_file, lambda: key, (key.public,))


def test_the_log_as_it_is_holds_for_everybody(world: World) -> None:
    assert world.verdicts(world.log) == (False, False, False)


@pytest.mark.parametrize("how", ["edited", "deleted", "swapped", "tile edited"])
def test_a_changed_log_under_the_old_checkpoint_is_seen_by_all(world: World, tmp_path: Path, how: str) -> None:
    log = copied(world, tmp_path)
    path = log.files.folder / ("tile/0/001" if how == "tile edited" else "tile/entries/001")
    content = path.read_bytes()
    length = 2 + int.from_bytes(content[:2], "big")
    changed = {
        "edited": content.replace(b"completed", b"failed!!!", 1),
        "deleted": content[length:],
        "swapped": content[length : 2 * length] + content[:length] + content[2 * length :],
        "tile edited": bytes([content[0] ^ 1]) + content[1:],
    }[how]
    assert changed != content
    path.write_bytes(changed)
    assert world.verdicts(log) == (True, True, True)


@pytest.mark.parametrize("how", ["edited", "inserted", "deleted", "truncated"])
def test_what_is_signed_anew_with_the_logs_key_only_others_see(world: World, entries: list[bytes], how: str) -> None:
    if how == "edited":
        entries[5] = entries[5].replace(b"completed", b"failed")
    elif how == "inserted":
        entries.insert(5, entries[5].replace(b"run-", b"ran-"))
    elif how == "deleted":
        del entries[5]
    else:
        del entries[-2:]
    assert world.verdicts(world.forged(entries, name=how)) == (False, True, True)


def test_an_old_state_that_is_brought_back_only_a_kept_checkpoint_tells(world: World, entries: list[bytes]) -> None:
    """With its old cosignatures, which are genuine."""
    early = Checkpoint.parse(world.early.text)
    log = TransparencyLog.create(world.folder / "old", world.folder / "old.signed", world.logged.key, origin=ORIGIN)
    log.append(entries[: early.size])
    cosigned = world.early.cosigned("witness.example", world.witness_key, 1)
    log.publish_note(cosigned)
    assert world.verdicts(log) == (False, False, True)
    report = check_log(log.files, LogKeys((world.logged.vkey,)).check, since=world.kept)
    assert "set back" in report.problems[0]
    assert "restore the newer one" in report.problems[0]


def test_another_key_under_the_same_name_is_seen_by_all(world: World, entries: list[bytes]) -> None:
    assert world.verdicts(world.forged(entries, SigningKey.generate(), name="other")) == (True, True, True)


def test_two_histories_are_kept_as_proof_by_the_witness(world: World, entries: list[bytes]) -> None:
    entries[7] = entries[7].replace(b"completed", b"failed")
    forged = world.forged([*entries, b"more"], name="two")
    assert not world.cosign(forged)
    kept = [path.read_bytes() for path in (world.folder / "witness").rglob("conflicts/*")]
    halves = [data.split(f"\n\n{ORIGIN}\n".encode()) for data in kept]
    notes = [(Note.parse(one + b"\n"), Note.parse(f"{ORIGIN}\n".encode() + two)) for one, two in halves]
    assert all(note.verified_by([world.logged.vkey]) for pair in notes for note in pair)
    told = {tuple(Checkpoint.parse(note.text) for note in pair) for pair in notes}
    assert (world.log.checkpoint(), forged.checkpoint()) in told


def test_the_signer_refuses_a_log_that_was_set_back(world: World, tmp_path: Path) -> None:
    """A kept size outside of the log: what the key signed once it does not sign less of."""
    log = copied(world, tmp_path)
    old = tmp_path / "older"
    other = TransparencyLog.create(old / "log", old / "signed", world.logged.key, origin=ORIGIN)
    other.append(list(world.log.entries())[:100])
    shutil.rmtree(log.files.folder)
    shutil.copytree(old / "log", log.files.folder)
    with pytest.raises(EvidenceError, match="set back"):
        log.append([b"next"])


def test_a_published_log_is_never_replaced_by_another_or_an_older_one(
    world: World, entries: list[bytes], tmp_path: Path
) -> None:
    publish(world.log, tmp_path / "pub")
    before = (tmp_path / "pub/checkpoint").read_bytes()
    entries[3] = entries[3].replace(b"completed", b"failed")
    for name, content in (("pub1", [*entries, b"x"]), ("pub2", entries[:50])):
        with pytest.raises(EvidenceError, match=r"another history|never replaced"):
            publish(world.forged(content, name=name), tmp_path / "pub")
    assert (tmp_path / "pub/checkpoint").read_bytes() == before
    assert check_log(LogFiles(tmp_path / "pub"), LogKeys((world.logged.vkey,)).check, since=world.kept).ok


# --- the ledger against its log


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[LoggedLedger]:
    made = LoggedLedger(tmp_path)
    made.ledger.postures.lock_down(who="ann", why="drill", source="test")
    made.log.update()
    yield made
    made.close()


@pytest.mark.parametrize(
    "statement, said",
    [
        ("DELETE FROM executions WHERE execution_id = 'run-1'", "execution run-1 was sealed"),
        ("UPDATE executions SET execution_id = 'run-9' WHERE execution_id = 'run-1'", "run-1 was sealed"),
        ("UPDATE executions SET record = x'7b7d' WHERE execution_id = 'run-1'", "run-1 cannot be compared"),
        ("UPDATE postures SET why = 'nothing'", "posture_changed 1 is another one"),
        ("DELETE FROM postures", "posture_changed 1 (leaf"),
    ],
)
def test_what_is_changed_in_the_database_is_told_by_the_log(logged: LoggedLedger, statement: str, said: str) -> None:
    logged.edit(statement)
    report = check_ledger_log(logged.log, logged.checked)
    assert any(said in problem for problem in report.problems), report.problems


def test_a_database_that_was_set_back_is_told_by_the_log(logged: LoggedLedger, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    logged.edit(f"VACUUM INTO '{copy}'")
    logged.run("later", log=True)
    logged.ledger.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{logged.home.database}{ending}").unlink(missing_ok=True)
    shutil.copy(copy, logged.home.database)
    from hearth.evidence import LedgerLog
    from hearth.ledger import Ledger

    with Ledger.open(logged.home) as ledger:
        report = check_ledger_log(LedgerLog(ledger), logged.checked)
    assert any("later was sealed" in problem and "brought back" in problem for problem in report.problems)


def test_a_run_whose_every_trace_was_removed_leaves_its_opening(logged: LoggedLedger) -> None:
    from hearth.recorder import ExecutionObserver, Journal

    path = logged.home.journal_path("gone")
    journal = Journal.create(path)
    ExecutionObserver("gone", "plan", journal=journal)
    journal.close()
    logged.log.update()
    path.unlink()
    report = check_ledger_log(logged.log, logged.checked)
    assert any("gone was opened" in problem for problem in report.problems)


def test_a_record_of_another_ledger_has_another_leaf(logged: LoggedLedger, tmp_path: Path) -> None:
    from hearth.record import LeafKind, sealed_leaf

    other = LoggedLedger(tmp_path / "other")
    record = other.run("theirs", log=True)
    _, proof = other.log.prove(LeafKind.EXECUTION_SEALED, "theirs")
    with pytest.raises(EvidenceError):
        proof.verify(sealed_leaf(record, origin=ORIGIN, ledger_id=logged.ledger.ledger_id), other.vkey)
    other.close()
