"""A log's keys: rotation, revocation, and what a thief of an old key cannot do."""

from __future__ import annotations

import pytest

from hearth.errors import EquivocationError, EvidenceError
from hearth.evidence import COSIGNATURE, Checkpoint, KeyHistory, KeyStatement, Note, NoteKey
from hearth.evidence._merkle import EMPTY_ROOT
from hearth.signing import SigningKey

ORIGIN = "example.com/log"
K0, K1, K2, EVIL = (SigningKey.generate() for _ in range(4))
V0, V1, V2, VX = (NoteKey(ORIGIN, one.public) for one in (K0, K1, K2, EVIL))
FIRST = KeyHistory(V0)


def signed(size: int, *keys: SigningKey, origin: str = ORIGIN) -> Note:
    note = Note(Checkpoint(origin, size, bytes(32) if size else EMPTY_ROOT).text())
    for key in keys:
        note = note.signed(origin, key)
    return note


def statement(size: int, key: NoteKey, *signers: SigningKey, revokes: bool = False) -> Note:
    note = Note(KeyStatement(ORIGIN, size, key, revokes).text())
    for one in signers:
        note = note.signed(ORIGIN, one)
    return note


def refused(history: KeyHistory, note: Note) -> str:
    with pytest.raises(EvidenceError) as error:
        history.check(note)
    return str(error.value)


def not_extended(history: KeyHistory, note: Note) -> str:
    with pytest.raises(EvidenceError) as error:
        history.extended(note)
    assert not isinstance(error.value, EquivocationError)
    return str(error.value)


def test_the_first_key_signs_until_another_one_does() -> None:
    history = FIRST
    for size in (0, 9, 10, 1_000_000):
        assert history.check(signed(size, K0)).size == size
        assert history.valid_at(size) == (V0,)
    history = FIRST.rotated(K0, K1, 10)
    assert (history.current, history.keys) == (V1, (V0, V1))
    assert [history.valid_at(size) for size in (0, 9, 10, 11)] == [(V0,), (V0,), (V1,), (V1,)]
    assert history.check(signed(9, K0)).size == 9
    assert history.check(signed(10, K1)).size == 10
    assert history.check(signed(10, K0, K1)).size == 10, "one that counts is enough"


def test_why_a_checkpoint_does_not_count() -> None:
    history = FIRST.rotated(K0, K1, 10).rotated(K1, K2, 20).revoked(V1, 15, K2)
    lead = "the checkpoint of example.com/log with {} entries"
    ids = [one.key_id.hex() for one in (V0, V1, V2, VX)]
    ended = "ended at size {}: whatever it signs from there on was not signed by the log"
    assert refused(history, signed(10, K0)) == f"{lead.format(10)} does not count: the key {ids[0]} {ended.format(10)}"
    assert refused(history, signed(9, K1)) == f"{lead.format(9)} does not count: the key {ids[1]} begins at size 10"
    assert refused(history, signed(15, K1)) == (
        f"{lead.format(15)} does not count: the key {ids[1]} is revoked from size 15 on"
    )
    assert "begins at size 10; the key" in refused(history, signed(3, K1, K2))
    assert (
        refused(history, signed(12, EVIL))
        == f"{lead.format(12)} is signed by {ids[3]}, which was never a key of this log"
    )
    assert (
        refused(history, Note(signed(12).text).signed("other", K1))
        == f"{lead.format(12)} is not signed by any key of this log"
    )
    assert "is of the log other, and the keys are of example.com/log" in refused(
        history, signed(12, K1, origin="other")
    )
    assert history.valid_at(15) == history.valid_at(19) == ()
    assert history.check(signed(14, K1)).size == 14
    assert history.check(signed(20, K2)).size == 20
    broken = signed(20, K2)
    bad = Note(broken.text, (*broken.signatures, *signed(19, K0).signatures))
    assert "does not verify" in refused(history, bad)


def test_the_lesson_of_a_key_that_was_kept() -> None:
    """Whoever finds an old key (systemd's sealing, CVE-2023-31439) can neither extend nor replace what came later."""
    history = FIRST.rotated(K0, K1, 10).rotated(K1, K2, 20)
    for size in (10, 19, 20, 500):
        assert "ended at size 10" in refused(history, signed(size, K0))
    for size in (1, 5, 9, 10, 11, 30):
        with pytest.raises(EquivocationError) as error:
            history.rotated(K0, EVIL, size)
        assert error.value.notes[0] == history.statements[0].to_bytes()
        forged = Note.parse(error.value.notes[1])
        assert forged.verified_by([V0, VX]) == (V0, VX)
        assert f"{VX.key_id.hex()} signs from size {size} on" in str(error.value)
    assert "it is signed neither by" in not_extended(history, statement(25, V2, K0, revokes=True))


def test_two_keys_for_one_size_are_equivocation() -> None:
    history = FIRST.rotated(K0, K1, 10)
    with pytest.raises(EquivocationError) as error:
        history.rotated(K0, K2, 10)
    assert [KeyStatement.parse(Note.parse(one).text).key for one in error.value.notes] == [V1, V2]
    assert str(error.value).startswith("statement 2 of the key history: it says that the key")
    with pytest.raises(EquivocationError) as error:
        history.rotated(K1, K2, 10)
    assert [KeyStatement.parse(Note.parse(one).text).key for one in error.value.notes] == [V1, V2]


def test_what_does_not_follow() -> None:
    history = FIRST.rotated(K0, K1, 10)
    assert "the new key" in not_extended(history, statement(20, V2, K1)), "nobody has shown to hold it"
    assert f"the key before, {V1.key_id.hex()}, did not sign it" in not_extended(history, statement(20, V2, K2))
    assert "did not sign it" in not_extended(history, statement(20, V2, K2, EVIL))
    assert "a key signs for one size at least" in not_extended(history, statement(9, V2, K1, K2))
    assert "a key signs for one size at least" in not_extended(FIRST, statement(0, V1, K0, K1))
    assert "was a key of this log before" in not_extended(history, statement(20, V1, K1))
    assert "was a key of this log before" in not_extended(history.rotated(K1, K2, 20), statement(30, V0, K2, K0))
    assert "is of the log other" in not_extended(
        history, Note(KeyStatement("other", 20, NoteKey("other", K2.public)).text()).signed("other", K1)
    )
    assert "no statement of a log's key" in not_extended(history, signed(20, K1, K2))
    broken = Note(statement(20, V2, K1, K2).text, statement(21, V2, K1, K2).signatures)
    assert "does not verify" in not_extended(history, broken)
    with pytest.raises(EvidenceError, match="is the key of a witness"):
        KeyHistory(NoteKey(ORIGIN, K0.public, COSIGNATURE))


def test_revocation() -> None:
    history = FIRST.rotated(K0, K1, 10)
    assert history.revoked(V0, 4, K1).valid_at(4) == ()
    assert history.revoked(V0, 4, K0).valid_at(3) == (V0,)
    assert history.revoked(V0, 0, K1).valid_at(0) == ()
    twice = history.revoked(V0, 6, K1).revoked(V0, 4, K1)
    assert twice.valid_at(4) == twice.valid_at(6) == ()
    assert "is revoked from size 4 on already" in not_extended(twice, statement(5, V0, K1, revokes=True))
    assert "is revoked from size 4 on already" in not_extended(twice, statement(4, V0, K1, revokes=True))
    assert "nor by a later one" in not_extended(twice, statement(2, V0, K0, revokes=True)), "a revoked key says nothing"
    assert "nor by a later one" in not_extended(history, statement(12, V1, K0, revokes=True)), "an earlier one"
    assert "nor by a later one" in not_extended(history, statement(4, V0, EVIL, revokes=True))
    assert "was never a key" in not_extended(history, statement(4, VX, EVIL, revokes=True))
    assert "for the sizes from 0 to 9: it cannot be revoked from 10 on" in not_extended(
        history, statement(10, V0, K1, revokes=True)
    )
    assert "for the sizes from 10: it cannot be revoked from 9 on" in not_extended(
        history, statement(9, V1, K1, revokes=True)
    )


def test_a_revoked_key_appoints_nobody() -> None:
    ended = FIRST.revoked(V0, 5, K0)
    assert ended.valid_at(4) == (V0,)
    assert ended.valid_at(5) == ()
    assert "was revoked: it appoints no other" in not_extended(ended, statement(10, V1, K0, K1))
    later = FIRST.rotated(K0, K1, 10).rotated(K1, K2, 20).revoked(V1, 10, K2)
    assert "nor by a later one" in not_extended(later, statement(3, V0, K1, revokes=True))
    assert later.revoked(V0, 3, K2).valid_at(3) == ()


def test_a_file() -> None:
    history = FIRST.rotated(K0, K1, 10).rotated(K1, K2, 20).revoked(V0, 5, K2)
    data = history.to_bytes()
    assert KeyHistory.parse(data, V0) == history
    assert KeyHistory.parse(data, V0).valid_at(5) == ()
    assert data.startswith(f"hearth.log-keys/1\n{V0}\n\nhearth.log-key/1\n{ORIGIN}\nsize 10\nkey {V1}\n\n— ".encode())
    assert KeyHistory.parse(FIRST.to_bytes(), V0) == FIRST
    with pytest.raises(EvidenceError, match="and the key that is trusted is"):
        KeyHistory.parse(data, V1)
    parts = data.split(b"\n\nhearth.log-key/1\n")
    gap = b"\n\nhearth.log-key/1\n"
    for changed in (
        b"",
        data[:-1],
        data + b"\n",
        data + b"x",
        data.replace(b"\n\n", b"\n\n\n", 1),
        data.replace(b"\n", b"\r\n"),
        data.replace(b"log-keys/1", b"log-keys/2"),
        data.replace(b"size 10", b"size 11"),
        data.replace(b"size 10", b"size 010"),
        gap.join([parts[0], parts[2], parts[1], parts[3]]),
        gap.join([parts[0], *parts[2:]]),
        gap.join([*parts, parts[1]]),
        b"\xff" + data,
    ):
        with pytest.raises(EvidenceError):
            KeyHistory.parse(changed, V0)
    cut = KeyHistory.parse(gap.join(parts[:-1]) + b"\n", V0)
    assert cut.valid_at(5) == (V0,), "that the end is missing, only who saw it can tell"


def test_one_history_continues_another() -> None:
    old = FIRST.rotated(K0, K1, 10)
    new = old.rotated(K1, K2, 20)
    new.require_continues(old)
    new.require_continues(new)
    more = Note(new.statements[0].text, (*new.statements[0].signatures, *signed(1, EVIL).signatures))
    KeyHistory(V0, (more, *new.statements[1:])).require_continues(new)
    with pytest.raises(EvidenceError, match="was set back"):
        old.require_continues(new)
    other = FIRST.rotated(K0, EVIL, 10).rotated(EVIL, K2, 20)
    with pytest.raises(EquivocationError, match="statement 1 of the key history was another one before") as error:
        other.require_continues(new)
    assert error.value.notes == (new.statements[0].to_bytes(), other.statements[0].to_bytes())
    with pytest.raises(EvidenceError, match="begin with different keys"):
        KeyHistory(V1).require_continues(old)


def test_no_statement_is_a_checkpoint_and_no_checkpoint_a_statement() -> None:
    """An origin may look like anything, a size too; the third lines still differ."""
    origin = "5"
    text = KeyStatement(origin, 7, NoteKey(origin, K0.public)).text()
    with pytest.raises(EvidenceError):
        Checkpoint.parse(text)
    with pytest.raises(EvidenceError):
        KeyStatement.parse(Checkpoint("hearth.log-key/1", 5, bytes(32), ("size 7", f"key {V0}")).text())


@pytest.mark.parametrize(
    "change",
    [
        ("hearth.log-key/1", "hearth.log-key/2"),
        ("size 7", "size 07"),
        ("size 7", "size -7"),
        ("size 7", "size  7"),
        ("size 7", "7"),
        ("\nkey ", "\nkeys "),
        ("\nkey ", "\nkey  "),
        ("\nkey ", "\nKEY "),
        (ORIGIN + "\n", "other\n"),
        (ORIGIN + "\n", "\n"),
        ("\nsize", "\n\nsize"),
    ],
)
def test_what_is_no_statement(change: tuple[str, str]) -> None:
    text = KeyStatement(ORIGIN, 7, V0).text()
    assert KeyStatement.parse(text).text() == text
    assert change[0] in text
    for wrong in (text.replace(*change, 1), text[:-1], text + "x\n", text + "\n"):
        with pytest.raises(EvidenceError):
            KeyStatement.parse(wrong)
    with pytest.raises(EvidenceError, match="is no key of the log"):
        KeyStatement(ORIGIN, 7, NoteKey(ORIGIN, K0.public, COSIGNATURE))
    with pytest.raises(EvidenceError, match="is no size"):
        KeyStatement(ORIGIN, -1, V0)
