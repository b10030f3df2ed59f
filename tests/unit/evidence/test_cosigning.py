"""A log asks witnesses for cosignatures over real HTTP, and sees where they know another history."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import COSIGNATURE, Note, NoteKey, Witness, WitnessAddress, cosign
from hearth.signing import SigningKey
from tests.witnesses import LOG_KEY, ORIGIN, grown, made_log, serving, witness_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.evidence import CosignResult, TransparencyLog, WitnessRequest


class Party:
    """A log, some witnesses that run, and the folder where the log's operator remembers them."""

    def __init__(self, folder: Path, stack: ExitStack, number: int = 3) -> None:
        self.folder = folder
        self.log = made_log(folder / "log", 5)
        self.asked: list[WitnessRequest] = []
        self.witnesses = [
            witness_in(folder / f"witness{one}", f"w.example/{one}", SigningKey.generate()) for one in range(number)
        ]
        self.addresses = [
            WitnessAddress(stack.enter_context(serving(one, told=self.asked.append)).url, one.key)
            for one in self.witnesses
        ]

    def cosign(self, log: TransparencyLog | None = None, *addresses: WitnessAddress) -> CosignResult:
        return cosign(log or self.log, addresses or self.addresses, folder=self.folder / "asked", timeout=10)

    @property
    def statuses(self) -> list[int]:
        told = [one.answer.status for one in self.asked]
        self.asked.clear()
        return told


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with ExitStack() as stack:
        yield Party(tmp_path, stack)


def test_all_cosign_and_the_log_publishes_it(party: Party) -> None:
    result = party.cosign()
    assert (result.got, result.failed) == (tuple(party.addresses), ())
    keys = {one.key for one in party.witnesses}
    assert set(result.note.verified_by([LOG_KEY, *keys])) == {LOG_KEY, *keys}
    assert Note.parse(party.log.note()).signatures == result.note.signatures[:1], "nothing is written yet"
    party.log.publish_note(result.note)
    assert Note.parse(party.log.note()) == result.note
    assert party.log.checkpoint().size == 5
    grown(party.log, 6)
    assert len(Note.parse(party.log.note()).signatures) == 1, "nobody cosigned the new state"


def test_the_size_is_remembered_or_learned(party: Party) -> None:
    address = party.addresses[0]
    party.cosign(None, address)
    assert party.statuses == [200]
    grown(party.log, 700)
    party.cosign(None, address)
    assert party.statuses == [200], "the size of the last cosignature is remembered"
    shutil.rmtree(party.folder / "asked")
    grown(party.log, 900)
    assert party.cosign(None, address).got
    assert party.statuses == [409, 200], "what is forgotten the witness tells"
    assert party.cosign(None, address).got
    assert party.statuses == [200], "the same again"


def test_one_that_is_away_does_not_keep_the_others(party: Party) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    away = WitnessAddress(f"http://127.0.0.1:{port}", NoteKey("away", SigningKey.generate().public, COSIGNATURE))
    result = party.cosign(None, party.addresses[0], away, party.addresses[1])
    assert result.got == tuple(party.addresses[:2])
    (failure,) = result.failed
    assert (failure.witness, failure.alarm, failure.kept) == (away, False, None)
    assert re.match(r"the witness away \(http://127.0.0.1:\d+\) cannot be reached \(.*\): look at its", failure.why)


def proof_in(result: CosignResult) -> tuple[str, list[Note]]:
    (failure,) = result.failed
    assert failure.alarm
    assert failure.kept is not None
    assert str(failure.kept) in failure.why
    notes = [f"{one}\n" for one in failure.kept.read_text().rstrip("\n").split("\n\n")]
    pairs = zip(notes[::2], notes[1::2], strict=True)
    return failure.why, [Note.parse(f"{text}\n{under}".encode()) for text, under in pairs]


@pytest.mark.parametrize(
    "size, said",
    [
        (5, "another root for these 5 entries"),
        (9, "the 5 entries that it knows are not the first 5 of this log"),
        (3, "has cosigned 5 entries, and this log has 3: the log was set back"),
    ],
)
def test_another_history_is_an_alarm_and_both_are_kept(party: Party, size: int, said: str) -> None:
    address = party.addresses[0]
    first = party.cosign(None, address).note
    other = made_log(party.folder / "other", size, b"other %d")
    why, notes = proof_in(party.cosign(other, address))
    assert said in why
    assert notes == [first, Note.parse(other.note())]
    assert [one.verified_by([LOG_KEY]) for one in notes] == [(LOG_KEY,)] * 2, "the log's key signed both"
    kept = [path.read_bytes() for path in (party.folder / "witness0").rglob("conflicts/*")]
    assert len(kept) == (size >= 5), "so does the witness keep them"
    shutil.rmtree(party.folder / "asked")
    why, notes = proof_in(party.cosign(other, address))
    assert said in why
    assert notes == [Note.parse(other.note())], "what nobody remembers is with the witness alone"


def test_a_log_set_back_is_seen(party: Party, tmp_path: Path) -> None:
    for path in (party.folder / "log", party.folder / "log.json"):
        copy = tmp_path / "copy" / path.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
    party.cosign(None, party.addresses[0])
    grown(party.log, 8)
    party.cosign(None, party.addresses[0])
    shutil.rmtree(party.folder / "log")
    for path in (party.folder / "log", party.folder / "log.json"):
        copy = tmp_path / "copy" / path.name
        shutil.copytree(copy, path) if copy.is_dir() else shutil.copy(copy, path)
    why, _ = proof_in(party.cosign(None, party.addresses[0]))
    assert "has cosigned 8 entries, and this log has 5: the log was set back" in why


def test_a_witness_that_was_set_back_is_seen(party: Party) -> None:
    address = party.addresses[0]
    party.cosign(None, address)
    shutil.rmtree(party.folder / "witness0")
    why, _ = proof_in(party.cosign(None, address))
    assert "cosigned 5 entries before, and now says that it knows 0: it was set back" in why
    memory = re.search(r"remove (\S+\.note)", why)
    assert memory is not None
    (party.folder / "asked" / memory[1]).unlink()
    assert party.cosign(None, address).got


def test_who_is_not_known_or_has_another_key(party: Party, tmp_path: Path) -> None:
    strange = Witness("strange", SigningKey.generate(), {"another.example": (LOG_KEY,)}, tmp_path / "strange")
    wrong = Witness(
        "wrong", SigningKey.generate(), {ORIGIN: (NoteKey(ORIGIN, SigningKey.generate().public),)}, tmp_path / "wrong"
    )
    with serving(strange) as one, serving(wrong) as two:
        result = party.cosign(
            None,
            WitnessAddress(one.url, strange.key),
            WitnessAddress(two.url, wrong.key),
            WitnessAddress(party.addresses[0].url, party.addresses[1].key),
            WitnessAddress(f"{party.addresses[0].url}/elsewhere", party.addresses[0].key),
        )
    assert [one.alarm for one in result.failed] == [False] * 4
    said = [one.why for one in result.failed]
    assert "answered 404 (the log example.com/log is not known here): it does not know this log" in said[0]
    assert "answered 403 (no known key of the log" in said[1]
    assert f"signed as w.example/0 ({party.witnesses[0].key.key_id.hex()})" in said[2]
    assert "answered 404 (Not Found)" in said[3]
    assert result.note.signatures == Note.parse(party.log.note()).signatures


Answer = tuple[int, bytes]


@contextmanager
def answering(answer: Callable[[bytes], Answer | None]) -> Iterator[str]:
    """A server of no good will: it answers what a test says, or not at all."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found = answer(self.rfile.read(int(self.headers["content-length"])))
            if found is None:
                end.wait(10)
                return
            self.send_response(found[0])
            self.send_header("content-length", str(len(found[1])))
            self.send_header("location", "http://127.0.0.1:9/")
            self.end_headers()
            self.wfile.write(found[1])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
            pass

    end = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        end.set()
        server.shutdown()
        server.server_close()
        thread.join()


EVIL = SigningKey.generate()


@pytest.mark.parametrize(
    "answer, said",
    [
        ((200, b""), "what is no cosignature"),
        ((200, b"hello\n"), "what is no cosignature"),
        ((200, "— evil AAAA\n".encode()), "what is no cosignature"),
        ((200, "— evil AAAAAAAAAAAAAAAAAAAA\n".encode()), "signed as evil"),
        ((200, b"x" * (1 << 17)), "with more than 65536 bytes"),
        ((409, b"many\n"), "409 without a size (many)"),
        ((409, b"05\n"), "409 without a size"),
        ((409, b"0\n"), "refuses the size 0, and names it as the right one"),
        ((422, b"no\n"), "where there is nothing to prove"),
        ((302, b""), "answered 302 (no reason given): ask its operator"),
        ((503, b"<b>\x1b[31m" * 1000), "it cannot work at present"),
        (None, "did not answer within 0.3 seconds"),
    ],
)
def test_answers_of_who_means_no_good(tmp_path: Path, answer: Answer | None, said: str) -> None:
    log = made_log(tmp_path / "log", 5)
    with answering(lambda _: answer) as url:
        address = WitnessAddress(url, NoteKey("evil", EVIL.public, COSIGNATURE))
        timeout = 0.3 if answer is None else 10.0
        result = cosign(log, [address], folder=tmp_path / "asked", timeout=timeout)
    (failure,) = result.failed
    assert said in failure.why
    assert len(failure.why) < 500
    assert not failure.alarm


def test_a_cosignature_of_another_checkpoint_is_none(tmp_path: Path) -> None:
    log, other = made_log(tmp_path / "log", 5), made_log(tmp_path / "other", 6)
    line = Note(Note.parse(other.note()).text).cosigned("evil", EVIL, 1).signatures[0].line().encode()
    with answering(lambda _: (200, line)) as url:
        address = WitnessAddress(url, NoteKey("evil", EVIL.public, COSIGNATURE))
        (failure,) = cosign(log, [address], folder=tmp_path / "asked").failed
    assert "does not verify" in failure.why


def test_a_witness_that_knows_ever_other_sizes_is_left(tmp_path: Path) -> None:
    log = made_log(tmp_path / "log", 50)
    sizes = iter(range(1, 50))
    bodies: list[bytes] = []

    def answer(body: bytes) -> Answer:
        bodies.append(body)
        return 409, b"%d\n" % next(sizes)

    with answering(answer) as url:
        address = WitnessAddress(url, NoteKey("evil", EVIL.public, COSIGNATURE))
        (failure,) = cosign(log, [address], folder=tmp_path / "asked").failed
    assert "knew another size at each try" in failure.why
    assert [body.split(b"\n")[0] for body in bodies] == [b"old %d" % one for one in range(4)]


def test_what_is_remembered_cannot_be_changed_unseen(party: Party) -> None:
    address = party.addresses[0]
    party.cosign(None, address)
    memory = next((party.folder / "asked").glob("*.note"))
    whole = memory.read_bytes()
    for changed in (b"", whole.replace(b"\n5\n", b"\n4\n"), made_log(party.folder / "o", 2).note()):
        memory.write_bytes(changed)
        (failure,) = party.cosign(None, address).failed
        assert str(memory) in failure.why
        assert not failure.alarm
    memory.write_bytes(whole)
    assert party.cosign(None, address).got


def test_no_note_of_another_state_is_published(party: Party) -> None:
    note = party.cosign().note
    other = made_log(party.folder / "other", 5, b"other %d")
    with pytest.raises(EvidenceError, match="not what was cosigned any more"):
        other.publish_note(note)
    forged = Note(note.text).signed(ORIGIN, SigningKey.generate())
    party.log.publish_note(Note(note.text, (*forged.signatures, *note.signatures[1:])))
    assert Note.parse(party.log.note()) == note, "the log's own signature stays"
    later = party.cosign().note
    party.log.publish_note(later)
    assert Note.parse(party.log.note()) == later, "each witness once"
    many = Note(note.text)
    for one in range(100):
        many = many.cosigned(f"w{one}", EVIL, one)
    with pytest.raises(EvidenceError, match="more than 100 signatures"):
        party.log.publish_note(many)
    assert Note.parse(party.log.note()) == later
    grown(party.log, 6)
    with pytest.raises(EvidenceError, match="ask for cosignatures anew"):
        party.log.publish_note(note)


@pytest.mark.parametrize(
    "url", ["", "w.example", "ftp://w.example", "http://", "http://w/?a", "http://w/#a", "http://w/ b"]
)
def test_what_is_no_address(url: str) -> None:
    key = NoteKey("w", EVIL.public, COSIGNATURE)
    with pytest.raises(EvidenceError, match="is no address of a witness"):
        WitnessAddress(url, key)
    with pytest.raises(EvidenceError, match="is not the key of a witness"):
        WitnessAddress("http://w", NoteKey("w", EVIL.public))


def test_an_address_with_and_without_a_slash() -> None:
    key = NoteKey("w", EVIL.public, COSIGNATURE)
    for url in ("https://w.example/a", "https://w.example/a/"):
        assert WitnessAddress(url, key).endpoint == "https://w.example/a/add-checkpoint"
