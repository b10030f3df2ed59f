"""The witness as clients meet it: real HTTP on the loopback."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearth.errors import EvidenceError
from hearth.evidence import Note, WitnessServer, _witness_http, add_checkpoint_body, witness_app
from hearth.evidence._log_files import LogFiles
from tests.witnesses import grown, made_log, serving, witness_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hearth.evidence import TransparencyLog, WitnessRequest


class Service:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = made_log(folder / "log", 5)
        self.witness = witness_in(folder / "witness")
        self.told: list[WitnessRequest] = []
        self.url = ""

    def ask(self, old: int, log: TransparencyLog | None = None) -> httpx.Response:
        log = log or self.log
        size = log.checkpoint().size
        proof = log.consistency(old) if 0 < old <= size else []
        return self.post(add_checkpoint_body(old, proof, log.note()))

    def post(self, body: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/add-checkpoint", content=body, trust_env=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    with serving(made.witness, told=made.told.append) as server:
        made.url = server.url
        yield made


def test_the_answers_and_what_is_told_of_them(service: Service) -> None:
    answer = service.ask(0)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    note = Note.parse(service.log.note() + answer.content)
    assert note.verified_by([service.witness.key]) == (service.witness.key,)
    grown(service.log, 9)
    answer = service.ask(0)
    assert (answer.status_code, answer.content) == (409, b"5\n")
    assert answer.headers["content-type"] == "text/x.tlog.size", "no charset: the specification names the whole value"
    assert service.ask(5).status_code == 200
    assert service.ask(9, made_log(service.folder / "other", 12, b"other %d")).status_code == 422
    assert service.post(b"old 1\n").status_code == 400
    assert service.post(service.log.note()).status_code == 400
    told = [(one.client, one.answer.status, one.answer.size) for one in service.told]
    assert told == [("127.0.0.1", status, size) for status, size in
                    ((200, 5), (409, 9), (200, 9), (422, 12), (400, None), (400, None))]  # fmt: skip


def test_other_methods_and_paths(service: Service) -> None:
    with httpx.Client(trust_env=False) as client:
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
            answer = client.request(method, f"{service.url}/add-checkpoint")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        root = client.get(service.url)
        assert (root.status_code, root.text) == (200, f"{service.witness.key}\n")
        assert root.headers["content-type"].startswith("text/plain")
        assert client.post(service.url).status_code == 405
        for path in ("/add-checkpoint/", "/add-checkpoints", "//add-checkpoint", "/witness/add-checkpoint"):
            assert client.post(service.url + path, content=b"").status_code == 404


def test_a_prefix(tmp_path: Path) -> None:
    witness = witness_in(tmp_path / "witness")
    log = made_log(tmp_path / "log", 5)
    with serving(witness, prefix="/a/w-1") as server:
        assert server.url.endswith("/a/w-1")
        answer = httpx.post(
            f"{server.url}/add-checkpoint", content=add_checkpoint_body(0, [], log.note()), trust_env=False
        )
        assert answer.status_code == 200
        for path in ("/", "/a/w-1/"):
            root = httpx.get(server.url.removesuffix("/a/w-1") + path, trust_env=False)
            assert root.text == f"{witness.key}\n"
    for wrong in ("a", "/", "/a/", "/{x}", "//a", "/a\n"):
        with pytest.raises(EvidenceError, match="is no prefix"):
            witness_app(witness, prefix=wrong)


def test_of_twenty_histories_at_once_one_is_cosigned(service: Service) -> None:
    assert service.ask(0).status_code == 200
    logs = [grown(made_log(service.folder / f"log{one}", 5), 6, b"%d" % one) for one in range(20)]
    begin = threading.Barrier(20)

    def ask(log: TransparencyLog) -> tuple[int, bytes]:
        begin.wait()
        answer = service.ask(5, log)
        return answer.status_code, answer.content

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, logs))
    assert sorted(status for status, _ in answers) == [200] + [409] * 19
    assert {content for status, content in answers if status == 409} == {b"6\n"}
    winner = next(log for log, (status, _) in zip(logs, answers, strict=True) if status == 200)
    losers = [log for log in logs if log is not winner]
    assert {service.ask(6, log).status_code for log in losers} == {409}
    assert {service.ask(6, grown(log, 7)).status_code for log in losers} == {422}
    assert service.ask(6, winner).status_code == 200
    assert len(list((service.folder / "witness").rglob("conflicts/*"))) == 38


def test_twenty_at_once_of_one_history_go_forward_only(service: Service) -> None:
    """Each asks for its own size, from wherever the witness is: what is cosigned are ever larger sizes."""
    logs = [grown(made_log(service.folder / f"log{one}", 5), 6 + one) for one in range(20)]
    cosigned: list[tuple[int, int]] = []

    def ask(log: TransparencyLog) -> None:
        old, size = 0, log.checkpoint().size
        while old <= size:
            answer = service.ask(old, log)
            if answer.status_code == 200:
                cosigned.append((old, size))
                return
            assert answer.status_code == 409
            assert int(answer.content) > old, "it never goes back"
            old = int(answer.content)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, logs))
    steps = sorted(cosigned)
    assert steps[0][0] == 0
    assert steps[-1][1] == 25
    assert all(before[1] == after[0] for before, after in pairwise(steps))


BODY = st.binary(max_size=300) | st.text(max_size=200).map(str.encode)


def test_hostile_bodies_are_never_the_witness_s_fault(service: Service) -> None:
    whole = add_checkpoint_body(0, [bytes(32)], service.log.note())
    pieces = st.sampled_from(whole.split(b"\n")) | st.binary(max_size=20)
    changed = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)).map(
        lambda change: whole[: change[0]] + bytes([change[1]]) + whole[change[0] + 1 :]
    )
    with httpx.Client(trust_env=False) as client:

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(BODY | changed | st.lists(pieces, max_size=12).map(b"\n".join))
        def try_it(body: bytes) -> None:
            answer = client.post(f"{service.url}/add-checkpoint", content=body)
            assert answer.status_code in {400, 403, 404, 422}

        try_it()
    assert service.ask(0).status_code == 200


def test_what_a_stranger_sends_is_not_told_at_length(service: Service) -> None:
    """Neither to them nor in the witness's log: anybody can send anything."""
    note = b"x" * 200_000 + b"\n1\n" + b"A" * 300 + "\n\n— a b\n".encode()
    for body in (b"old 0\n\n" + note, b"y" * 200_000, b"old 0\n\n" + b"z" * 200_000 + b"\nno\nroot\n\n"):
        answer = service.post(body)
        assert answer.status_code == 400
        assert len(answer.content) < 1100


def test_a_request_that_is_too_large(service: Service) -> None:
    note = service.log.note()
    large = add_checkpoint_body(0, [], note) + b"x" * (1 << 18)
    assert service.post(large).status_code == 413

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 1 << 14):
            yield large[start : start + (1 << 14)]

    answer = httpx.post(f"{service.url}/add-checkpoint", content=chunks(), trust_env=False)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert service.ask(0).status_code == 200


def raw(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


HEAD = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 1000\r\n"


def test_who_is_slow_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_witness_http, "_BODY_SECONDS", 0.2)
    monkeypatch.setattr(_witness_http, "_IDLE_SECONDS", 0.2)
    log = made_log(tmp_path / "log", 5)
    with serving(witness_in(tmp_path / "witness")) as server:
        with raw(server.url) as body, raw(server.url) as head, raw(server.url) as silent:
            body.sendall(HEAD + b"\r\nold 0\n")
            head.sendall(HEAD)
            assert b" 408 " in body.recv(1000).split(b"\r\n")[0]
            assert head.recv(1000) == b""
            assert silent.recv(1000) == b""
        with httpx.Client(trust_env=False) as client:
            for _ in range(3):
                content = add_checkpoint_body(0, [], log.note())
                assert client.post(f"{server.url}/add-checkpoint", content=content).status_code in (200, 409)
                time.sleep(0.1)


def test_who_goes_away_leaves_nothing_behind(service: Service) -> None:
    with raw(service.url) as gone:
        gone.sendall(HEAD + b"\r\nold 0\n")
    deadline = time.monotonic() + 10
    while not service.told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [one.answer.status for one in service.told] == [400]
    assert service.ask(0).status_code == 200


def test_a_full_disk_cosigns_nothing_and_says_so(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: LogFiles, files: Iterable[tuple[str, bytes]]) -> None:
        raise OSError(28, "No space left on device", str(self.folder))

    with monkeypatch.context() as broken:
        broken.setattr(LogFiles, "write", full)
        answer = service.ask(0)
    assert answer.status_code == 503
    assert str(service.folder) not in answer.text, "what the disk is called is nobody's business"
    assert str(service.folder) in service.told[0].answer.why
    assert service.ask(0).status_code == 200


def test_many_requests_on_one_connection(service: Service) -> None:
    with httpx.Client(trust_env=False) as client:
        for _ in range(5):
            answer = client.post(f"{service.url}/add-checkpoint", content=b"?" * 100)
            assert (answer.status_code, answer.headers.get("connection")) == (400, None)


def test_the_address_is_given_back(tmp_path: Path) -> None:
    with serving(witness_in(tmp_path / "witness")) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            WitnessServer(witness_in(tmp_path / "witness"), "127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        pass
