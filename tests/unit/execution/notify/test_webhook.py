"""Webhooks: a signed POST that a receiver can check, one deadline, no redirect, no proxy."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time

import pytest

from hearth.execution import Cancellation
from hearth.execution.notify import Notice, signature
from hearth.execution.notify._webhook import post
from tests.unit.execution.notify.receivers import Received, receiver

SECRET = "a key that both know"


def call(url: str, *, secret: str = "", timeout: float = 10.0, notice: Notice | None = None) -> str:
    notice = notice or Notice.make("finish", {"execution_id": "run-1", "status": "completed"})
    return post(url, notice, secret=secret, timeout=timeout, cancellation=Cancellation())


def verified(request: Received, secret: str) -> bool:
    """What docs/notifications.md tells a receiver to do."""
    timestamp = request.headers["HEARTH-Timestamp"]
    expected = hmac.new(secret.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    fresh = abs(time.time() - int(timestamp)) < 300
    return fresh and hmac.compare_digest(request.headers["HEARTH-Signature"], f"v1={expected}")


def test_the_receiver_can_verify_the_signature() -> None:
    with receiver() as there:
        assert call(there.url, secret=SECRET) == ""
        (request,) = there.requests
    assert verified(request, SECRET)
    assert not verified(request, "another key")
    changed = Received(request.path, request.headers, request.body.replace(b"run-1", b"run-2"))
    assert not verified(changed, SECRET)
    assert request.headers["HEARTH-Event"] == request.json["event"] == "finish"
    assert request.headers["HEARTH-Id"] == request.json["id"]
    assert request.headers["Content-Type"] == "application/json"
    assert request.path == "/hook/key-in-the-path?and=in-the-query"


def test_the_signature_is_the_documented_one() -> None:
    """The value is what `openssl dgst -sha256 -hmac key` says of `1700000000.{}`."""
    digest = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    assert signature("key", "1700000000", b"{}") == f"v1={digest}"


def test_without_a_secret_nothing_is_signed() -> None:
    with receiver() as there:
        assert call(there.url) == ""
        assert "HEARTH-Signature" not in there.requests[0].headers


def test_a_redirect_is_not_followed() -> None:
    with receiver() as elsewhere, receiver(answer=302, location=elsewhere.url) as there:
        assert call(there.url, secret=SECRET) == "status 302 (redirects are not followed)"
        assert elsewhere.requests == []
        assert len(there.requests) == 1, "sent once"


@pytest.mark.parametrize("status, why", [(200, ""), (202, ""), (400, "status 400"), (503, "status 503")])
def test_the_status_is_what_counts(status: int, why: str) -> None:
    with receiver(answer=status) as there:
        assert call(there.url) == why
        assert len(there.requests) == 1, "never sent again"


def test_a_server_that_hangs_is_left_when_time_is_up() -> None:
    with receiver(hang=threading.Event()) as there:
        before = time.monotonic()
        assert call(there.url, timeout=0.4) == "no answer within 0.4 s"
        assert time.monotonic() - before < 3


def test_a_server_that_always_sends_a_little_more_is_left_too() -> None:
    """Each read is quick, so only a deadline over the whole helps."""
    with receiver(dribble=True) as there:
        before = time.monotonic()
        assert call(there.url, timeout=0.5) == "no answer within 0.5 s"
        assert time.monotonic() - before < 3


def test_it_can_be_stopped_from_another_thread() -> None:
    stop = Cancellation()
    with receiver(hang=threading.Event()) as there:
        threading.Timer(0.3, stop.request, ("enough",), {"immediate": True}).start()
        notice = Notice.make("finish", {})
        assert post(there.url, notice, secret="", timeout=30, cancellation=stop) == "enough"


def test_after_a_stop_nothing_is_sent() -> None:
    stop = Cancellation()
    stop.request("over", immediate=True)
    with receiver() as there:
        assert post(there.url, Notice.make("finish", {}), secret="", timeout=5, cancellation=stop) == "over"
        assert there.requests == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as there:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert call(there.url) == ""
        assert proxy.requests == []
        assert len(there.requests) == 1


def test_a_name_and_password_in_the_url_become_a_header() -> None:
    with receiver() as there:
        assert call(there.url.replace("//", "//ada:p%40ss@")) == ""
        assert there.requests[0].headers["Authorization"] == "Basic YWRhOnBAc3M="
        assert "ada" not in there.requests[0].path


def test_no_trouble_names_the_address() -> None:
    """The path of a chat room's webhook is its key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url in (
        f"http://127.0.0.1:{port}/key",
        "http://no-such-host.invalid/key",
        "http://[/key",
        "http://127.0.0.1:0/key",
    ):
        why = call(url, timeout=5)
        assert why
        assert "key" not in why
    assert call(f"http://127.0.0.1:{port}/key") == "ConnectError: Connection refused"


def test_tls_is_verified(tmp_path: object) -> None:
    """A server that speaks no TLS, let alone with a trusted certificate, is told nothing."""
    with receiver() as there:
        assert call(there.url.replace("http:", "https:"), timeout=5)
        assert there.requests == []
