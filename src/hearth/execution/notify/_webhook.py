"""Delivering a notice to a webhook: one signed POST, with one deadline over everything."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from hearth.execution._cancellation import Cancellation
    from hearth.execution.notify._notice import Notice

__all__ = ["post", "signature"]

_log = logging.getLogger(__name__)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of `HEARTH-Signature`: `v1=` and HMAC-SHA-256 (RFC 2104) over `timestamp + "." + body`, hex."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def post(url: str, notice: Notice, *, secret: str, timeout: float, cancellation: Cancellation) -> str:
    """POST the notice; return what went wrong, or "" for an answer 2xx. `secret` "" sends it unsigned.

    Redirects are not followed, proxies of the environment not used; of the answer only the status is read. After
    `timeout` seconds in all, or when `cancellation` is requested, the connection is closed.
    """
    import httpx

    exchange = _Exchange(timeout)
    timer = threading.Timer(timeout, exchange.end, (f"no answer within {timeout:g} s",))
    timer.daemon = True
    try:
        request = _request(url, notice, secret)
        request.extensions = exchange.extensions
        with cancellation.on_request(lambda: exchange.end(cancellation.reason)):
            timer.start()
            with httpx.HTTPTransport(verify=url.startswith("https:"), trust_env=False, retries=0) as transport:
                response = transport.handle_request(request)
                status = response.status_code
                exchange.finish()
                response.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, the hook was not told
        return exchange.why or _what(error, timeout)
    finally:
        timer.cancel()
    _log.info("%s was delivered: status %d", notice.event, status)
    if 200 <= status < 300:  # noqa: PLR2004 - 2xx
        return ""
    redirected = " (redirects are not followed)" if 300 <= status < 400 else ""  # noqa: PLR2004 - 3xx
    return f"status {status}{redirected}"


def _request(url: str, notice: Notice, secret: str) -> httpx.Request:
    import httpx

    from hearth._version import __version__

    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"hearth/{__version__}",
        "Accept": "*/*",
        "Connection": "close",
        "HEARTH-Event": notice.event,
        "HEARTH-Id": notice.id,
        "HEARTH-Timestamp": timestamp,
    }
    if secret:
        headers["HEARTH-Signature"] = signature(secret, timestamp, notice.body)
    address = httpx.URL(url)
    if address.userinfo:
        credentials = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
        headers["Authorization"] = f"Basic {credentials}"
        address = address.copy_with(username=None, password=None)
    return httpx.Request("POST", address, headers=headers, content=notice.body)


def _what(error: Exception, timeout: float) -> str:
    """Return what an error says, without the address: its path may be the key to a chat room."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {timeout:g} s"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{type(error).__name__}: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class _Exchange:
    """Knows the socket of one request, to close it when its time is up; after that nothing is sent."""

    def __init__(self, timeout: float) -> None:
        self.why = ""
        self._lock = threading.Lock()
        self._over = False
        self._socket: socket.socket | None = None
        phases = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        self.extensions: dict[str, Any] = {"timeout": phases, "trace": self._trace}

    def end(self, why: str) -> None:
        """End it; the first call says why."""
        with self._lock:
            if self._over:
                return
            self._over, self.why = True, why
            connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        """Mark it as answered: from now on it cannot be too late."""
        with self._lock:
            self._over = True

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow httpcore's progress."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
        elif event.endswith("send_request_headers.started") and self._over:
            raise _EndedError


class _EndedError(Exception):
    """The request is not to be sent any more."""
