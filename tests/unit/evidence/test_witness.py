"""The witness's answers, status by status, and its memory: it never cosigns two histories."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.evidence import COSIGNATURE, Checkpoint, Note, NoteKey, TransparencyLog, Witness, add_checkpoint_body
from hearth.evidence._log_files import LogFiles
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hearth.evidence import WitnessAnswer

ORIGIN = "example.com/log"
LOG, WITNESS = SigningKey.generate(), SigningKey.generate()


def made(folder: Path, number: int, entry: bytes = b"entry %d") -> TransparencyLog:
    log = TransparencyLog.create(folder, folder.with_suffix(".json"), LOG, origin=ORIGIN)
    log.append(entry % one for one in range(number))
    return log


# The examples of tlog-witness and tlog-cosignature.
REQUEST = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501
ANSWER = """\
— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==
— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
""".encode()  # noqa: E501
COSIGNED = """\
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # noqa: E501


class Asked:
    """A witness, and a log that asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = made(folder / "log", 5)
        self.witness = self.again()

    def again(self) -> Witness:
        logs = {ORIGIN: (NoteKey(ORIGIN, LOG.public),)}
        return Witness("w.example/1", WITNESS, logs, self.folder / "witness", now=lambda: 1_700_000_000.9)

    def ask(self, old: int, log: TransparencyLog | None = None) -> WitnessAnswer:
        log = log or self.log
        size = log.checkpoint().size
        proof = log.consistency(old) if 0 < old <= size else []
        return self.again().add_checkpoint(add_checkpoint_body(old, proof, log.note()))

    def conflicts(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "witness").rglob("conflicts/*")]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_the_examples_of_the_specification(tmp_path: Path) -> None:
    origin = "example.com/behind-the-sofa"
    known = Witness("w", WITNESS, {origin: (NoteKey(origin, LOG.public),)}, tmp_path)
    assert known.add_checkpoint(REQUEST).status == 403, "well-formed, and signed by keys that the example does not tell"
    assert (
        Witness("w", WITNESS, {ORIGIN: (NoteKey(ORIGIN, LOG.public),)}, tmp_path).add_checkpoint(REQUEST).status == 404
    )
    head, _, note = REQUEST.partition(b"\n\n")
    proof = [base64.b64decode(line) for line in head.splitlines()[1:]]
    assert add_checkpoint_body(20852014, proof, note) == REQUEST
    checkpoint = Checkpoint.parse(Note.parse(note).text)
    assert (checkpoint.origin, checkpoint.size) == (origin, 20852163)
    answered = Note.parse(note + ANSWER)
    assert [one.name for one in answered.signatures[2:]] == ["witness.example/w1"] * 2 + ["witness.example/w2"]
    (cosigned,) = Note.parse(note.partition(b"\n\n")[0] + b"\n\n" + COSIGNED).signatures
    assert int.from_bytes(cosigned.value[:8], "big") == 1679315147
    # What is signed for that time, letter by letter.
    text = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
    text += "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    made = Note(checkpoint.text()).cosigned("w", WITNESS, 1679315147).signatures[0]
    assert made.value == (1679315147).to_bytes(8, "big") + WITNESS.sign(text.encode())
    named = b"w\n\x04" + WITNESS.public.raw
    assert made.key_id == hashlib.sha256(named).digest()[:4]


def test_a_time_beyond_what_the_specification_has_is_none() -> None:
    key = NoteKey("w", WITNESS.public, COSIGNATURE)
    for time, good in (((1 << 63) - 1, True), (1 << 63, False)):
        value = WITNESS.sign(f"cosignature/v1\ntime {time}\ntext\n".encode())
        assert key.verify("text\n", time.to_bytes(8, "big") + value) == good


def test_a_log_that_grows_is_cosigned(asked: Asked) -> None:
    for old, new in ((0, 5), (5, 9), (9, 9), (9, 600)):
        asked.log.append(b"more" for _ in range(new - asked.log.checkpoint().size))
        answer = asked.ask(old)
        assert (answer.status, answer.why) == (200, "")
        note = Note.parse(asked.log.note() + answer.body)
        assert note.verified_by([asked.witness.key]) == (asked.witness.key,)
        assert note.cosigned_at(asked.witness.key) == 1_700_000_000
        assert answer.body.count(b"\n") == 1
    assert asked.conflicts() == []


def test_who_asks_from_another_size_is_told_the_right_one(asked: Asked) -> None:
    answer = asked.ask(3)
    assert (answer.status, answer.body, answer.content_type) == (409, b"0\n", "text/x.tlog.size")
    assert asked.ask(0).status == 200
    asked.log.append([b"more"])
    answer = asked.ask(0)
    assert (answer.status, answer.body) == (409, b"5\n")
    assert asked.ask(5).status == 200


def test_two_histories_are_not_cosigned_and_both_are_kept(asked: Asked, tmp_path: Path) -> None:
    assert asked.ask(0).status == 200
    same = made(tmp_path / "same", 5, b"other %d")
    longer = made(tmp_path / "longer", 8, b"other %d")
    answer = asked.ask(5, same)
    assert (answer.status, answer.body, answer.content_type) == (409, b"5\n", "text/x.tlog.size")
    assert asked.ask(5, longer).status == 422
    assert asked.ask(5, longer).status == 422
    kept = asked.conflicts()
    assert len(kept) == 2, "each once"
    assert all(asked.log.note() in one for one in kept)
    assert {log.note() in b"".join(kept) for log in (same, longer)} == {True}
    assert asked.ask(5).status == 200


def test_doubts_leave_room_for_what_proves_something(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the log's key can send any number of larger checkpoints whose proofs do not hold."""
    monkeypatch.setattr("hearth.evidence._witness._MOST_CONFLICTS", 3)
    assert asked.ask(0).status == 200
    for number in range(6):
        assert asked.ask(5, made(tmp_path / f"longer-{number}", 8 + number, b"other %d")).status == 422
    assert len(asked.conflicts()) == 3
    same = made(tmp_path / "same", 5, b"other %d")
    assert asked.ask(5, same).status == 409
    assert asked.log.note() + b"\n" + same.note() in asked.conflicts()


def test_who_did_not_sign_is_refused(asked: Asked) -> None:
    note = asked.log.note()
    other = Note(Note.parse(note).text).signed(ORIGIN, SigningKey.generate()).to_bytes()
    assert asked.witness.add_checkpoint(add_checkpoint_body(0, [], other)).status == 403
    assert asked.witness.add_checkpoint(add_checkpoint_body(0, [], note.replace(b"\n5\n", b"\n6\n"))).status == 403
    unknown = Note(Note.parse(note).text.replace("example", "another")).signed("another.com/log", LOG).to_bytes()
    assert asked.witness.add_checkpoint(add_checkpoint_body(0, [], unknown)).status == 404
    both = Note.parse(other).signatures + Note.parse(note).signatures
    assert (
        asked.witness.add_checkpoint(add_checkpoint_body(0, [], Note(Note.parse(note).text, both).to_bytes())).status
        == 200
    )


def test_nobody_fills_its_disk_with_lines_of_their_own(asked: Asked, tmp_path: Path) -> None:
    def with_more(log: TransparencyLog, number: int) -> bytes:
        note = Note.parse(log.note())
        for one in range(number):
            note = note.signed(f"nobody/{one}", SigningKey.generate())
        return note.to_bytes()

    assert asked.witness.add_checkpoint(add_checkpoint_body(0, [], with_more(asked.log, 50))).status == 200
    kept = next((tmp_path / "witness").rglob("checkpoint"))
    assert kept.read_bytes() == asked.log.note()
    assert kept.with_name("origin").read_text() == f"{ORIGIN}\n"
    same = made(tmp_path / "same", 5, b"other %d")
    for number in range(4):
        assert asked.witness.add_checkpoint(add_checkpoint_body(5, [], with_more(same, number))).status == 409
    assert asked.conflicts() == [asked.log.note() + b"\n" + same.note()]


@pytest.mark.parametrize(
    "change",
    [
        (b"old 0\n", b""),
        (b"old 0", b"old 00"),
        (b"old 0", b"old -1"),
        (b"old 0", b"Old 0"),
        (b"old 0", b"old 9"),
        (b"old 0\n", b"old 0\n?\n"),
        (b"old 0\n", b"old 0\n" + base64.b64encode(bytes(32)).replace(b"A=", b"B=") + b"\n"),
        (b"old 0", b"old 0\r"),
        (b"\n\n" + ORIGIN.encode(), b"\n" + ORIGIN.encode()),
        (b"old 0\n", b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64),
        (b"old 0", b"old \xff"),
        (b"\n5\n", b"\n05\n"),
        ("— ".encode(), b"- "),
    ],
)
def test_what_is_no_request(asked: Asked, change: tuple[bytes, bytes]) -> None:
    body = add_checkpoint_body(0, [], asked.log.note())
    assert change[0] in body
    assert asked.witness.add_checkpoint(body.replace(*change)).status == 400


def test_a_proof_that_does_not_hold(asked: Asked) -> None:
    note = asked.log.note()
    assert asked.witness.add_checkpoint(add_checkpoint_body(0, [bytes(32)], note)).status == 422
    assert asked.ask(0).status == 200
    assert asked.witness.add_checkpoint(add_checkpoint_body(5, [bytes(32)], note)).status == 422
    asked.log.append([b"more"])
    for proof in ([], [bytes(32)], [b"short"], asked.log.consistency(4)):
        assert asked.witness.add_checkpoint(add_checkpoint_body(5, proof, asked.log.note())).status == 422
    assert asked.ask(5).status == 200


def test_of_many_at_once_one_goes_first(asked: Asked, tmp_path: Path) -> None:
    """Each asks for another history from the same size: one alone is cosigned."""
    assert asked.ask(0).status == 200
    logs = []
    for number in range(6):
        log = made(tmp_path / f"log{number}", 5)
        log.append([b"%d" % number])
        logs.append(log)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda log=log: answers.append(asked.ask(5, log).status)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409, 409, 409]


def test_nothing_is_cosigned_that_is_not_kept(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: LogFiles, files: Iterable[tuple[str, bytes]]) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(LogFiles, "write", full)
        with pytest.raises(OSError, match="No space"):
            asked.ask(0)
    assert asked.ask(5).body == b"0\n"
    assert asked.ask(0).status == 200
