"""One HTTP request and its answer: with one deadline over everything, and never sent after a stop."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.errors import RecorderError
from hearth.execution._output import OutputKeeper

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpx

    from hearth.execution._task import TaskContext

__all__ = ["TIMED_OUT", "Answer", "Exchange"]

TIMED_OUT = "timed out"

LARGEST_BODY = 256 << 20
_AFTER_STOP = 1.0  # seconds to wait for the request's thread; one that is still looking up a name never sends anything


@dataclass(slots=True)
class Answer:
    """What became of a request. `sent` is true from the first byte on; `error` is empty when the answer came whole.

    `body` has `sha256`, `bytes` and `tail` of what was kept, `received` the bytes that came and, unless a secret was
    taken out of them, their digest.
    """

    sent: bool = False
    status: int | None = None
    reason: str = ""
    version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    received: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Exchange:
    """Sends one request and reads the whole answer, in a thread of its own, so that nothing it waits for can hold us.

    A stop (deadline or cancellation) closes the connection at once. Whether the request is sent is decided under a
    lock: after a stop it is either on its way already, and `sent` says so, or it will never be sent.
    """

    def __init__(
        self, request: httpx.Request, context: TaskContext, *, deadline: float, verify: ssl.SSLContext | bool
    ) -> None:
        self._request = request
        self._context = context
        self._deadline = deadline
        self._verify = verify
        self._lock = threading.Lock()
        self._stop = ""
        self._socket: socket.socket | None = None
        self._sent = False
        self._finished = threading.Event()
        self._woken = threading.Event()
        self._answer = Answer()

    def run(self) -> Answer:
        """Do it; return within about a second after the deadline or a cancellation, whatever the network does."""
        worker = threading.Thread(target=self._work, name="hearth-http", daemon=True)
        with self._context.cancellation.on_request(self._woken.set):
            worker.start()
            self._woken.wait(max(0.0, self._deadline - time.monotonic()))
        if not self._finished.is_set():
            self._end(self._why())
            self._finished.wait(_AFTER_STOP)
        with self._lock:
            answer = self._answer if self._finished.is_set() else Answer()
            if self._stop:
                # Whatever came: a connection that we closed can look like the end of the body.
                answer.error = self._stop
                answer.body = None
            answer.sent = self._sent
            return answer

    def _why(self) -> str:
        cancellation = self._context.cancellation
        return f"stopped: {cancellation.reason}" if cancellation.requested else TIMED_OUT

    def _end(self, why: str) -> None:
        with self._lock:
            self._stop = why
            connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow httpcore's progress: keep the socket, and hold the request back after a stop."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
        elif event.endswith("send_request_headers.started"):
            with self._lock:
                if self._stop or self._context.cancellation.requested:
                    raise _StoppedError(self._why())
                self._sent = True

    def _work(self) -> None:
        import httpx

        try:
            left = max(0.001, self._deadline - time.monotonic())
            self._request.extensions = {
                "timeout": {"connect": left, "read": left, "write": left, "pool": left},
                "trace": self._trace,
            }
            with httpx.HTTPTransport(verify=self._verify, trust_env=False, retries=0) as transport:
                response = transport.handle_request(self._request)
                with contextlib.closing(response):
                    self._read(response)
        except httpx.LocalProtocolError as error:
            self._answer.error = f"the request cannot be written: {error}"
            self._sent = self._answer.status is not None
        except httpx.TimeoutException:
            self._answer.error = TIMED_OUT
        except (httpx.HTTPError, httpx.StreamError) as error:
            self._answer.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        except (RecorderError, _StoppedError) as error:
            self._answer.error = str(error)
        except Exception as error:  # noqa: BLE001 - an error in a thread must be told by the one who waits for it
            self._answer.error = f"{type(error).__name__}: {error}"
        finally:
            self._finished.set()
            self._woken.set()

    def _read(self, response: httpx.Response) -> None:
        answer = self._answer
        answer.status = response.status_code
        answer.reason = response.reason_phrase
        answer.version = response.http_version
        answer.headers = dict(response.headers)
        context = self._context
        keeper = OutputKeeper("body", redactor=context.redactor, store=context.store, show=_show_nothing)
        received = hashlib.sha256()
        count = 0
        try:
            for chunk in response.iter_bytes():
                count += len(chunk)
                answer.received = {"bytes": count}
                if count > LARGEST_BODY:
                    answer.error = f"the body is larger than {LARGEST_BODY} bytes; the rest was not read"
                    return
                received.update(chunk)
                keeper.feed(chunk)
            answer.body = keeper.close()
            # A digest of what held a secret would let one try values out, so there is none then.
            answer.received["sha256"] = None if answer.body.get("redacted") else received.hexdigest()
        finally:
            keeper.discard()


class _StoppedError(Exception):
    """The request is not to be sent any more."""


def _show_nothing(_stream: str, _chunk: bytes) -> None:
    """Show a body to nobody: it is kept, not printed."""
