"""The http task: one request, its answer kept whole by digest."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hearth.errors import TaskError
from hearth.execution._task import TaskEffect, TaskResult
from hearth.execution.tasks._clean import clean
from hearth.execution.tasks._describe import input_name, one_line, seconds, size
from hearth.execution.tasks._exchange import TIMED_OUT, Exchange
from hearth.execution.tasks._urls import check_fixed_target, safe_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from pathlib import Path

    import httpx

    from hearth.execution._task import Task, TaskContext
    from hearth.execution.tasks._exchange import Answer

__all__ = ["HTTP", "HttpTask"]

DEFAULT_TIMEOUT = 60.0
_MOST_HOPS = 10
_SEE_OTHER = 303
_REDIRECTS = frozenset((301, 302, _SEE_OTHER, 307, 308))
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_TOLD_HEADERS = (
    "content-type", "content-length", "content-encoding", "date", "etag", "last-modified", "location", "retry-after",
    "server", "x-request-id",
)  # fmt: skip
_PORTS = {"http": 80, "https": 443}
_TEXT = {"type": "string"}
_STATUS = {"type": "integer", "minimum": 100, "maximum": 599}


class HttpTask:
    """Sends one request, without retries, and without proxies or credentials from the environment.

    Everything has to be over by one deadline. Redirects are failures unless `follow_redirects` is set; then those that
    stay on the host are followed, each one an effect of its own.
    """

    name = "http"
    version = "1"
    schema: Mapping[str, Any] = {
        "description": "A method and a URL, and what to send",
        "type": "object",
        "properties": {
            "method": {
                "enum": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
                "description": "The method",
            },
            "url": {**_TEXT, "pattern": "^https?://", "description": "The URL, http or https"},
            "headers": {"type": "object", "additionalProperties": _TEXT, "description": "Headers to send"},
            "json": {"description": "A body, sent as JSON"},
            "body": {**_TEXT, "description": "A body, sent as it is, in UTF-8"},
            "form": {"type": "object", "additionalProperties": _TEXT, "description": "A body, sent as a form"},
            "expect": {
                "description": "The status, or statuses, that mean success; any 2xx by default",
                "anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}],
            },
            "timeout": {
                "description": 'How long all of it may take, as 5 (seconds) or "5s"; 60 seconds by default',
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0},
                    {"type": "string", "pattern": "^[0-9]{1,9}(\\.[0-9]{1,6})?(ms|s|m|h)$(?!\\n)"},
                ],
            },
            "follow_redirects": {
                "type": "boolean",
                "description": "Follow redirects on the same host; false by default",
            },
            "verify": {
                "description": "Check the certificate, true by default; or a file with the authorities to trust",
                "anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}],
            },
        },
        "required": ["method", "url"],
        "additionalProperties": False,
        "dependentSchemas": {
            "json": {"properties": {"body": False, "form": False}},
            "body": {"properties": {"form": False}},
        },
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - the port prescribes it
        """Return the file with authorities, where one is named."""
        return () if isinstance(params.get("verify"), bool) else input_name(params, "verify")

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
        """Return `http:host:port`."""
        scheme, host, port = _origin(safe_url(params["url"]))
        return (f"http:{f'[{host}]' if ':' in host else host}:{port or _PORTS.get(scheme, 0)}",)

    def acts_on(self, params: Any, cwd: Path) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - as above
        """Return the targets; TaskError when a secret decides on them."""
        check_fixed_target(params["url"], query=True)
        return self.targets(params)

    def summary(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return method and URL."""
        return one_line(f"{params['method']} {safe_url(params['url'])}")

    def unseen(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return what this task cannot see of its own effects."""
        return "" if params["method"] in _SAFE else "what the server did with the request is not seen from here"

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401 - as above
        """Do it; failed when no whole answer came in time, or its status is another than expected.

        `details`: `method`, `url`, `status`, `headers` (some), `body` (`sha256`, `bytes`, `tail` of what is kept),
        `received`, `duration_us`, and for redirects `hops`.
        """
        started = time.monotonic_ns()
        hops: list[TaskEffect] = []
        details: dict[str, Any] = {"method": params["method"], "url": safe_url(params["url"], context.redactor)}
        try:
            error = _exchanged(params, context, details, hops)
        except TaskError as problem:
            error = str(problem)
        details["duration_us"] = (time.monotonic_ns() - started) // 1000
        if len(hops) > 1:
            details["hops"] = [hop.description for hop in hops]
        return TaskResult(
            failed=bool(error), error=clean(error, context.redactor), details=details, side_effects=tuple(hops)
        )


def _exchanged(params: Any, context: TaskContext, details: dict[str, Any], hops: list[TaskEffect]) -> str:  # noqa: ANN401
    limits = [context.timeout] if context.timeout is not None else []
    if "timeout" in params:
        limits.append(seconds(params["timeout"]))
    limit = min(limits, default=DEFAULT_TIMEOUT)
    request = _request(params, context)
    verify = _verify(params, context)
    deadline = time.monotonic() + limit  # from here on: loading libraries and authorities is not the server's time
    if params.get("verify") is False and request.url.scheme == "https":
        details["verified"] = False
    while True:
        answer = Exchange(request, context, deadline=deadline, verify=verify).run()
        details |= _told(answer, context)
        if answer.sent:
            hops.append(_effect(request, answer, context))
        if answer.error:
            why = f"timed out after {limit:g} s" if answer.error == TIMED_OUT else answer.error
            if answer.sent and answer.status is None:
                details["outcome"] = "unknown"
                return f"{why}; the request was sent, and whether the server acted on it is unknown"
            return why if answer.sent else f"{why}; nothing was sent"
        following = _next(request, answer) if params.get("follow_redirects") else None
        if following is None:
            return _unexpected(params, answer)
        if len(hops) > _MOST_HOPS:
            return f"more than {_MOST_HOPS} redirects"
        request = following


def _request(params: Any, context: TaskContext) -> httpx.Request:  # noqa: ANN401 - a JSON tree
    import httpcore  # noqa: F401 - httpx would load it later, within the deadline
    import httpx

    from hearth._version import __version__

    try:
        url = httpx.URL(params["url"])
        if url.scheme not in _PORTS or not url.host:
            raise TaskError("the URL needs http:// or https:// and a host")
        headers = httpx.Headers(
            {
                "User-Agent": f"hearth/{__version__}",
                "Accept": "*/*",
                "Accept-Encoding": "identity",  # what is searched for secrets, and kept, is what came
                "Connection": "close",
            }
        )
        headers.update(params.get("headers", {}))
        if url.userinfo and "authorization" not in headers:
            credentials = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
            context.redactor.add_secret(credentials)
            headers["Authorization"] = f"Basic {credentials}"
        if url.password:
            context.redactor.add_secret(url.password)
        content: dict[str, Any] = {}
        if "json" in params:
            content["content"] = json.dumps(params["json"], ensure_ascii=False, separators=(",", ":"))
            headers.setdefault("Content-Type", "application/json")
        elif "body" in params:
            content["content"] = params["body"]
        elif "form" in params:
            content["data"] = params["form"]
        return httpx.Request(params["method"], url.copy_with(username=None, password=None), headers=headers, **content)
    except (httpx.InvalidURL, UnicodeError, ValueError, TypeError) as error:
        raise TaskError(f"the request cannot be made: {error}") from error


def _verify(params: Any, context: TaskContext) -> ssl.SSLContext | bool:  # noqa: ANN401 - a JSON tree
    verify = params.get("verify", True)
    if not params["url"].startswith("https:") and not params.get("follow_redirects"):
        return False  # no TLS: the authorities are not worth loading
    if isinstance(verify, bool):
        return verify
    import ssl

    file = context.inputs.resolve(verify) if context.inputs is not None else verify
    try:
        return ssl.create_default_context(cafile=os.path.normpath(context.folder / file))
    except (OSError, ssl.SSLError) as error:
        raise TaskError(f"the authorities in {verify} cannot be used: {error}") from error


def _next(request: httpx.Request, answer: Answer) -> httpx.Request | None:
    """Return the request that a redirect asks for, None for any other answer. TaskError when it leaves the host."""
    import httpx

    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or not location:
        return None
    try:
        url = request.url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise TaskError(f"redirected to what is no URL: {error}") from error
    here, there = _origin(str(request.url)), _origin(str(url))
    upgraded = (here[0], there[0]) == ("http", "https") and here[2] == _PORTS["http"] and there[2] == _PORTS["https"]
    if here[1] != there[1] or not (here == there or upgraded):
        raise TaskError(f"redirected to another host, {there[1]}:{there[2]}; a plan must name it in a step of its own")
    # As browsers do: 303 becomes a GET, and so does a POST that is told 301 or 302.
    becomes_get = answer.status == _SEE_OTHER or (answer.status in (301, 302) and request.method == "POST")
    stays = request.method == "HEAD" or not becomes_get
    headers = request.headers.copy()
    for name in ("host", *(() if stays else ("content-length", "content-type", "transfer-encoding"))):
        headers.pop(name, None)
    method = request.method if stays else "GET"
    url = url.copy_with(username=None, password=None)
    return httpx.Request(method, url, headers=headers, content=request.content if stays else None)


def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def _unexpected(params: Any, answer: Answer) -> str:  # noqa: ANN401 - a JSON tree
    expected = params.get("expect")
    codes = () if expected is None else (expected,) if isinstance(expected, int) else tuple(expected)
    status = answer.status or 0
    if status in codes if codes else 200 <= status < 300:  # noqa: PLR2004 - 2xx
        return ""
    wanted = " or ".join(map(str, codes)) or "2xx"
    said = one_line((answer.body or {}).get("tail", ""), 200)
    return (
        f"status {status} {answer.reason}".rstrip()
        + f" (expected {wanted})"
        + ("" if said == "(empty)" else f": {said}")
    )


def _told(answer: Answer, context: TaskContext) -> dict[str, Any]:
    headers = {
        name: safe_url(answer.headers[name], context.redactor)
        if name == "location"
        else clean(answer.headers[name], context.redactor)
        for name in _TOLD_HEADERS
        if name in answer.headers
    }
    body = dict(answer.body or {})
    if "\0" in body.get("tail", ""):
        del body["tail"]  # not a text
    return {"status": answer.status, "headers": headers, "body": body or None, "received": answer.received}


def _effect(request: httpx.Request, answer: Answer, context: TaskContext) -> TaskEffect:
    url = safe_url(str(request.url), context.redactor)
    body = answer.body or {}
    outcome = (
        "no whole answer" if answer.error else f"{answer.status} {answer.reason}".rstrip() + f", {size(body['bytes'])}"
    )
    details = {
        "method": request.method,
        "url": url,
        "status": answer.status,
        "sent_bytes": len(request.content),
        "body": {"sha256": body.get("sha256"), "bytes": body.get("bytes")},
    }
    # A safe method (RFC 9110, section 9.2.1) asks for no change: there is nothing to take back.
    return TaskEffect("NETWORK", f"{request.method} {url}: {outcome}", request.method in _SAFE, details)


HTTP: Task = HttpTask()
