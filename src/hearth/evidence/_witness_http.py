"""The witness over HTTP (C2SP tlog-witness): one small service, for a proxy with TLS to stand before.

Starlette and uvicorn come with the extra `web`.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from hearth.errors import EvidenceError
from hearth.evidence._witness import WitnessAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.evidence._witness import Witness

__all__ = ["WitnessRequest", "WitnessServer", "witness_app"]

_LARGEST_BODY = 1 << 18  # a proof of 63 hashes, and a checkpoint with dozens of signatures, of long ones too
_BODY_SECONDS = 10.0
_IDLE_SECONDS = 30
_END_SECONDS = 15
_MOST_CONNECTIONS = 256
_MOST_AT_WORK = 16
_LARGEST_HEAD = 1 << 14
_UNREAD = (408, 413)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class WitnessRequest:
    """Who asked (an address, or "" where that is not known), and what was answered."""

    client: str
    answer: WitnessAnswer


def witness_app(
    witness: Witness, *, prefix: str = "", told: Callable[[WitnessRequest], None] | None = None
) -> Starlette:
    """Return the service: `POST <prefix>/add-checkpoint`, and at `GET /` the witness's verifier key.

    `told` hears of each answer to add-checkpoint. EvidenceError for a prefix that is none.
    """
    if not _PREFIX.fullmatch(prefix):
        raise EvidenceError(f"{prefix!r} is no prefix: it is empty, or begins with / and does not end with one")
    at_work = anyio.CapacityLimiter(_MOST_AT_WORK)

    async def add_checkpoint(request: Request) -> Response:
        answer = await _answer(witness, request, at_work)
        if told is not None:
            told(WitnessRequest(request.client.host if request.client else "", answer))
        # Given as headers: Starlette would add a charset, and clients hold the type of a 409 to the letter.
        headers = {"content-type": answer.content_type}
        if answer.status in _UNREAD:
            headers["connection"] = "close"  # the rest of the body cannot be told from the next request
        return Response(answer.body, answer.status, headers)

    async def verifier_key(_: Request) -> Response:
        return Response(f"{witness.key}\n", media_type="text/plain")

    routes = [Route(f"{prefix}/add-checkpoint", add_checkpoint, methods=["POST"])]
    routes += [Route(path, verifier_key, methods=["GET"]) for path in dict.fromkeys(("/", f"{prefix}/"))]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


class WitnessServer:
    """The service on an address, which it holds from the beginning; `url` is what clients are given.

    `host` is an address or a name, `port` 0 for any. OSError where nobody may listen there.
    """

    def __init__(
        self,
        witness: Witness,
        host: str,
        port: int,
        *,
        prefix: str = "",
        told: Callable[[WitnessRequest], None] | None = None,
    ) -> None:
        app = witness_app(witness, prefix=prefix, told=told)
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self._socket = socket.create_server(address[:2], family=family)
        name = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        self.url = f"http://{name}:{self._socket.getsockname()[1]}{prefix}"
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_TimedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # anybody can write them
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_END_SECONDS,
                h11_max_incomplete_event_size=_LARGEST_HEAD,
            )
        )

    def serve(self) -> None:
        """Answer until `stop`; the address is given back then. Signals are the caller's business."""
        try:
            self._server.run([self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """End `serve` when what is being answered is answered; from any thread, or from a signal's handler."""
        self._server.should_exit = True


async def _answer(witness: Witness, request: Request, at_work: anyio.CapacityLimiter) -> WitnessAnswer:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await _read(request)
    except TimeoutError:
        return _failed(408, f"the request did not come within {_BODY_SECONDS:g} seconds")
    except ClientDisconnect:
        return _failed(400, "the client went away before its request was whole")
    if body is None:
        return _failed(413, f"a request has at most {_LARGEST_BODY} bytes")
    try:
        return await anyio.to_thread.run_sync(witness.add_checkpoint, body, limiter=at_work)
    except (OSError, EvidenceError) as error:
        # The reason names files of this machine: it is for the witness's own log.
        why = "the witness cannot keep the checkpoint at present, so it cosigned nothing"
        return WitnessAnswer(503, f"{why}\n".encode(), why=f"{why}: {error}")


async def _read(request: Request) -> bytes | None:
    """Return the body; None where it is too large, and the rest is then not read."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > _LARGEST_BODY:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            return None
    return bytes(body)


def _failed(status: int, why: str) -> WitnessAnswer:
    return WitnessAnswer(status, f"{why}\n".encode(), why=why)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them anew at its end."""
        yield


class _TimedProtocol(H11Protocol):
    """Closes a connection on which no whole head of a request comes: uvicorn waits for one forever."""

    _seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(_IDLE_SECONDS, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self.loop.call_later(_IDLE_SECONDS, self._look)
