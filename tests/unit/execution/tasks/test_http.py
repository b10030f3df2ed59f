from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import logging
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError
from hearth.execution.tasks import _exchange
from hearth.execution.tasks._urls import safe_url
from hearth.execution.tasks.http import HTTP
from hearth.record import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.execution.tasks.conftest import Bench

    Seen = list[tuple[str, str, dict[str, str], bytes]]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: Seen
    release: threading.Event

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self) -> None:  # noqa: C901, PLR0912 - a list of pages
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        path = self.path.partition("?")[0]
        host = self.headers["Host"]
        match path:
            case "/echo":
                told = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body.decode()}
                self.answer(
                    200, json.dumps(told).encode(), {"Content-Type": "application/json", "Set-Cookie": "session=abc"}
                )
            case "/text":
                self.answer(200, b"hello\n", {"Content-Type": "text/plain", "ETag": '"1"'})
            case "/large":
                self.answer(200, b"0123456789abcdef\n" * 200_000)
            case "/binary":
                self.answer(200, bytes(range(256)))
            case "/gzip":
                self.answer(200, gzip.compress(b"packed\n" * 100), {"Content-Encoding": "gzip"})
            case "/away":
                self.answer(302, b"", {"Location": "http://localhost.invalid/text"})
            case "/slow-headers":
                self.release.wait(10)
                self.answer(200)
            case "/drip":
                self.send_response(200)
                self.end_headers()
                while not self.release.wait(0.02):
                    self.wfile.write(b"x")
                    self.wfile.flush()
            case "/cut":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"only this")
                self.close_connection = True
            case "/garbage":
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                self.close_connection = True
            case _ if path.startswith("/redirect/"):
                _, _, status, count = path.split("/")
                following = f"http://{host}/redirect/{status}/{int(count) - 1}" if int(count) > 1 else "/echo"
                self.answer(int(status), b"", {"Location": following})
            case _ if path.startswith("/status/"):
                self.answer(int(path.rpartition("/")[2]), b"<why>\n", {"Retry-After": "7"})
            case _:
                self.answer(404, b"not found\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any  # noqa: N815 - http.server's names


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients hang up on purpose."""


class Server:
    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.seen: Seen = []
        self.release = threading.Event()
        handler = type("Bound", (Handler,), {"seen": self.seen, "release": self.release})
        self._server = QuietServer(("127.0.0.1", 0), handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


class TestOneRequest:
    def test_what_is_sent_and_what_is_told(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/text"})
        assert (result.failed, result.error) == (False, "")
        digest = hashlib.sha256(b"hello\n").hexdigest()
        details = result.details
        assert (details["method"], details["url"], details["status"]) == ("GET", f"{server.url}/text", 200)
        assert details["body"] == {"sha256": digest, "bytes": 6, "tail": "hello\n"}
        assert details["received"] == {"sha256": digest, "bytes": 6}
        assert details["headers"]["content-type"] == "text/plain"
        assert details["headers"]["etag"] == '"1"'
        assert details["duration_us"] > 0
        assert bench.kept(details["body"]) == b"hello\n"
        assert bench.output == {}
        (effect,) = result.side_effects
        assert (effect.category, effect.reversible) == ("NETWORK", True)
        assert effect.description == f"GET {server.url}/text: 200 OK, 6 bytes"
        assert effect.details == {
            "method": "GET",
            "url": f"{server.url}/text",
            "status": 200,
            "sent_bytes": 0,
            "body": {"sha256": digest, "bytes": 6},
        }
        ((method, path, headers, body),) = server.seen
        assert (method, path, body) == ("GET", "/text", b"")
        assert headers["user-agent"].startswith("hearth/")
        assert headers["accept-encoding"] == "identity"
        assert headers["host"] == f"127.0.0.1:{server.port}"

    @pytest.mark.parametrize(
        "params, content_type, body",
        [
            ({"json": {"a": [1, None, "ä"]}}, "application/json", '{"a":[1,null,"ä"]}'),
            ({"json": None}, "application/json", "null"),
            ({"body": "plain ä"}, None, "plain ä"),
            ({"form": {"a": "b c", "d": "&"}}, "application/x-www-form-urlencoded", "a=b+c&d=%26"),
        ],
    )
    def test_bodies(self, bench: Bench, server: Server, params: Any, content_type: str | None, body: str) -> None:
        result = bench.run("http", {"method": "POST", "url": f"{server.url}/echo", **params})
        assert not result.failed, result.error
        assert server.seen[0][2].get("content-type") == content_type
        assert server.seen[0][3].decode() == body
        assert result.side_effects[0].details["sent_bytes"] == len(body.encode())
        assert not result.side_effects[0].reversible

    def test_own_headers_outrank(self, bench: Bench, server: Server) -> None:
        bench.run("http", {"method": "GET", "url": f"{server.url}/text", "headers": {"USER-AGENT": "me", "X-A": "b"}})
        assert (server.seen[0][2]["user-agent"], server.seen[0][2]["x-a"]) == ("me", "b")

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
    def test_other_methods(self, bench: Bench, server: Server, method: str) -> None:
        result = bench.run("http", {"method": method, "url": f"{server.url}/text"})
        assert not result.failed, result.error
        assert server.seen[0][0] == method

    def test_a_large_body_is_kept_whole(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/large"})
        assert bench.kept(result.details["body"]) == b"0123456789abcdef\n" * 200_000
        assert len(result.details["body"]["tail"]) <= 4096

    def test_a_body_out_of_all_bounds_fails(
        self, bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_exchange, "LARGEST_BODY", 100_000)
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/large"})
        assert "larger than 100000 bytes" in result.error
        assert result.side_effects[0].details["status"] == 200

    def test_a_binary_body_has_no_tail(self, bench: Bench, server: Server) -> None:
        body = bench.run("http", {"method": "GET", "url": f"{server.url}/binary"}).details["body"]
        assert set(body) == {"sha256", "bytes"}
        assert bench.kept(body) == bytes(range(256))

    def test_a_packed_body_is_unpacked(self, bench: Bench, server: Server) -> None:
        body = bench.run("http", {"method": "GET", "url": f"{server.url}/gzip"}).details["body"]
        assert bench.kept(body) == b"packed\n" * 100

    def test_proxies_of_the_environment_are_not_used(
        self, bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert not bench.run("http", {"method": "GET", "url": f"{server.url}/text"}).failed

    def test_nothing_is_logged(self, bench: Bench, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        bench.run("http", {"method": "GET", "url": f"{server.url}/text?token=abcdef"})
        assert caplog.text == ""


class TestStatus:
    @pytest.mark.parametrize(
        "status, expect, ok",
        [
            (200, None, True),
            (204, None, True),
            (404, None, False),
            (302, None, False),
            (404, 404, True),
            (503, [200, 503], True),
            (200, 201, False),
        ],
    )
    def test_what_is_expected_is_success(
        self, bench: Bench, server: Server, status: int, expect: object, ok: bool
    ) -> None:
        params = {"method": "GET", "url": f"{server.url}/status/{status}"} | (
            {} if expect is None else {"expect": expect}
        )
        result = bench.run("http", params)
        assert result.failed is not ok
        assert result.details["status"] == status
        assert len(result.side_effects) == 1

    def test_the_error_says_status_and_first_words(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "POST", "url": f"{server.url}/status/503"})
        assert result.error == "status 503 Service Unavailable (expected 2xx): <why>"
        assert result.details["headers"]["retry-after"] == "7"

    def test_it_asks_once(self, bench: Bench, server: Server) -> None:
        bench.run("http", {"method": "GET", "url": f"{server.url}/status/503"})
        bench.run("http", {"method": "GET", "url": f"{server.url}/cut"})
        assert len(server.seen) == 2


class TestRedirects:
    def test_they_are_not_followed_by_default(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/redirect/302/1"})
        assert result.error == "status 302 Found (expected 2xx)"
        assert result.details["headers"]["location"] == "/echo"
        assert len(server.seen) == 1

    @pytest.mark.parametrize(
        "method, status, last",
        [
            ("GET", 301, "GET"),
            ("POST", 301, "GET"),
            ("POST", 302, "GET"),
            ("PUT", 302, "PUT"),
            ("PUT", 303, "GET"),
            ("POST", 307, "POST"),
            ("PUT", 308, "PUT"),
        ],
    )
    def test_each_hop_is_an_effect(self, bench: Bench, server: Server, method: str, status: int, last: str) -> None:
        params = {"method": method, "url": f"{server.url}/redirect/{status}/2", "follow_redirects": True}
        result = bench.run("http", params | ({"body": "content"} if method != "GET" else {}))
        assert not result.failed, result.error
        assert [seen[0] for seen in server.seen] == [method, last, last]
        assert server.seen[-1][3] == (b"content" if last == method != "GET" else b"")
        assert [effect.details["status"] for effect in result.side_effects] == [status, status, 200]
        assert result.details["hops"] == [effect.description for effect in result.side_effects]
        assert result.details["status"] == 200

    def test_another_host_must_be_in_the_plan(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/away", "follow_redirects": True})
        assert (
            result.error == "redirected to another host, localhost.invalid:80; a plan must name it in a step of its own"
        )
        assert len(result.side_effects) == 1

    def test_they_end(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/redirect/302/99", "follow_redirects": True})
        assert result.error == "more than 10 redirects"
        assert len(server.seen) == 11


class TestNoAnswer:
    def test_nobody_listens(self, bench: Bench) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            result = bench.run("http", {"method": "POST", "url": f"http://127.0.0.1:{port}/"})
        assert result.error == "ConnectError: [Errno 111] Connection refused; nothing was sent"
        assert result.side_effects == ()
        assert result.details["status"] is None

    def test_an_unknown_host(self, bench: Bench) -> None:
        result = bench.run("http", {"method": "GET", "url": "http://hearth.invalid/", "timeout": 5})
        assert result.error.endswith("; nothing was sent")
        assert result.side_effects == ()

    @pytest.mark.parametrize("path", ["/garbage"])
    def test_an_answer_that_is_none(self, bench: Bench, server: Server, path: str) -> None:
        result = bench.run("http", {"method": "POST", "url": server.url + path})
        assert result.error.endswith("; the request was sent, and whether the server acted on it is unknown")
        assert result.details["outcome"] == "unknown"
        assert result.side_effects[0].description == f"POST {server.url}{path}: no whole answer"

    def test_an_answer_that_is_cut_off(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "POST", "url": f"{server.url}/cut"})
        assert result.failed
        assert "peer closed connection" in result.error
        assert result.details["status"] == 200
        assert result.details["body"] is None

    def test_headers_that_cannot_be_sent(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/text", "headers": {"X": "a\r\nY: b"}})
        assert result.failed
        assert result.error.endswith("; nothing was sent")
        assert server.seen == []
        assert result.side_effects == ()

    @pytest.mark.parametrize("url", ["http://", "http://[::1", "http://h:99999/", "http://a b/"])
    def test_urls_that_are_none(self, bench: Bench, url: str) -> None:
        result = bench.run("http", {"method": "GET", "url": url})
        assert result.failed
        assert result.side_effects == ()


class TestTime:
    @pytest.mark.parametrize("path", ["/slow-headers", "/drip"])
    @pytest.mark.parametrize("own", [True, False])
    def test_one_deadline_covers_everything(self, bench: Bench, server: Server, path: str, own: bool) -> None:
        started = time.monotonic()
        limits: dict[str, Any] = {"timeout": "300ms"}
        result = bench.run(
            "http", {"method": "POST", "url": server.url + path, **(limits if own else {})}, **({} if own else limits)
        )
        assert time.monotonic() - started < 1.5
        assert result.error.startswith("timed out after 0.3 s")
        assert len(result.side_effects) == 1
        assert (result.details.get("outcome") == "unknown") is (path == "/slow-headers")

    def test_the_shorter_limit_counts(self, bench: Bench, server: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/drip", "timeout": 30}, timeout="200ms")
        assert result.error.startswith("timed out after 0.2 s")

    def test_a_cancellation_closes_the_connection(self, bench: Bench, server: Server) -> None:
        timer = threading.Timer(0.2, lambda: bench.cancellation.request("LOCKDOWN", immediate=True))
        timer.start()
        started = time.monotonic()
        result = bench.run("http", {"method": "GET", "url": f"{server.url}/drip"})
        assert time.monotonic() - started < 1.5
        timer.join()
        assert result.error == "stopped: LOCKDOWN"

    def test_a_cancellation_before_the_start_sends_nothing(self, bench: Bench, server: Server) -> None:
        bench.cancellation.request("no")
        for _ in range(10):
            result = bench.run("http", {"method": "POST", "url": f"{server.url}/text"})
            assert result.failed
            assert (result.error, server.seen) == ("stopped: no; nothing was sent", [])

    def test_a_stop_while_connecting_sends_nothing_later(
        self, bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name is looked up until after the stop: the request must not be sent when the look-up ends."""
        looked_up, go_on = threading.Event(), threading.Event()
        connect = socket.create_connection

        def slow(*args: Any, **kwargs: Any) -> socket.socket:
            looked_up.set()
            go_on.wait(10)
            return connect(*args, **kwargs)

        monkeypatch.setattr(socket, "create_connection", slow)
        monkeypatch.setattr(_exchange, "_AFTER_STOP", 0.05)
        result = bench.run("http", {"method": "POST", "url": f"{server.url}/text", "timeout": 0.1})
        assert looked_up.is_set()
        assert result.error == "timed out after 0.1 s; nothing was sent"
        assert result.side_effects == ()
        go_on.set()
        for thread in threading.enumerate():
            if thread.name == "hearth-http":
                thread.join(5)
        assert server.seen == []


class TestSecrets:
    def test_no_secret_is_recorded_or_kept(self, bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_KEY", "k3y-of-the-api/+=")
        reference = {"secret": "env:API_KEY"}
        url = f"{server.url}/echo?token={{secret: env:API_KEY}}&page=2".replace("://", "://me:{secret: env:API_KEY}@")
        result = bench.run(
            "http", {"method": "POST", "url": url, "headers": {"X-Custom": reference}, "json": {"key": reference}}
        )
        assert not result.failed, result.error
        _, path, headers, body = server.seen[0]
        assert "token=k3y-of-the-api" in path
        assert headers["x-custom"] == "k3y-of-the-api/+="
        assert json.loads(body) == {"key": "k3y-of-the-api/+="}
        assert headers["authorization"].startswith("Basic ")
        bench.assert_nowhere(
            "k3y-of-the-api/+=", "k3y-of-the-api%2F%2B%3D", headers["authorization"].removeprefix("Basic ")
        )
        committed = r"\[redacted:[\w-]{43}\]"
        shown = rf"http://me:{committed}@127\.0\.0\.1:{server.port}/echo\?token={committed}&page=2"
        assert re.fullmatch(shown, result.details["url"])
        assert result.details["body"]["redacted"] is True
        # A digest of the body as it came would let one try values for the secret.
        assert result.details["received"]["sha256"] is None
        assert result.details["received"]["bytes"] > 100

    def test_a_password_in_the_url(self, bench: Bench, server: Server) -> None:
        url = f"{server.url}/echo".replace("://", "://me:pa55word-literal@")
        result = bench.run("http", {"method": "GET", "url": url})
        assert not result.failed
        bench.assert_nowhere("pa55word-literal")

    def test_errors_hold_no_secret(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOST_KEY", "host-key-0815")
        result = bench.run("http", {"method": "GET", "url": "http://{secret: env:HOST_KEY}.invalid/"})
        assert result.failed
        bench.assert_nowhere("host-key-0815")

    @pytest.mark.parametrize(
        "url, safe",
        [
            ("http://h/a?b=c#f", "http://h/a?b=c"),
            ("http://u:p@h:1/a", "http://u:***@h:1/a"),
            ("http://u@h/a", "http://u@h/a"),
            ("http://u:p@q@h/a", "http://u:***@h/a"),
            (
                "http://h/?api_key=x&X-Amz-Signature=y;token=z&page=2&empty=",
                "http://h/?api_key=***&X-Amz-Signature=***;token=***&page=2&empty=",
            ),
            ("http://h/?code=1&state=2&sig=3&access_token=4", "http://h/?code=***&state=***&sig=***&access_token=***"),
            ("http://{secret: env:A}:{secret: env:B}@h/{ secret : file:x }", "http://***:***@h/***"),
            ("no url", "no url"),
        ],
    )
    def test_urls_are_shown_without_what_gives_access(self, url: str, safe: str) -> None:
        assert safe_url(url) == safe

    @pytest.mark.parametrize("url", ["http://h/?code=sesame-1&state=sesame-2", "http://u:sesame-1@h/?sig=sesame-2"])
    def test_in_the_record_each_of_these_leaves_a_commitment(self, url: str) -> None:
        shown = safe_url(url, Redactor())
        assert "sesame" not in shown  # longer than a commitment could hold by chance
        assert len(re.findall(r"\[redacted:[\w-]{43}\]", shown)) == 2
        assert safe_url(shown, Redactor()) == shown

    def test_a_redactor_has_the_last_word(self) -> None:
        redactor = Redactor()
        redactor.add_secret("tenant-secret")
        assert "tenant-secret" not in safe_url("http://h/tenant-secret/x", redactor)


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        from datetime import UTC, datetime, timedelta
        from ipaddress import ip_address

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = tmp_path / "server.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[Server]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = Server(context)
        yield server
        server.close()

    def test_an_unknown_certificate_is_refused_before_anything_is_sent(self, bench: Bench, secure: Server) -> None:
        result = bench.run("http", {"method": "POST", "url": f"{secure.url}/text"})
        assert "CERTIFICATE_VERIFY_FAILED" in result.error
        assert result.error.endswith("; nothing was sent")
        assert secure.seen == []

    def test_a_file_with_authorities_is_an_input(self, bench: Bench, secure: Server, certificate: Path) -> None:
        (bench.folder / "ca.pem").write_bytes(certificate.read_bytes().partition(b"-----BEGIN PRIVATE")[0])
        params = {"method": "GET", "url": f"{secure.url}/text", "verify": "ca.pem"}
        assert list(bench.plan(params, task="http").inputs) == ["ca.pem"]
        result = bench.run("http", params)
        assert not result.failed, result.error
        assert "verified" not in result.details

    def test_an_unchecked_certificate_is_said(self, bench: Bench, secure: Server) -> None:
        result = bench.run("http", {"method": "GET", "url": f"{secure.url}/text", "verify": False})
        assert not result.failed, result.error
        assert result.details["verified"] is False

    def test_authorities_that_are_none(self, bench: Bench, secure: Server) -> None:
        (bench.folder / "ca.pem").write_text("no certificate\n")
        result = bench.run("http", {"method": "GET", "url": f"{secure.url}/text", "verify": "ca.pem"})
        assert "the authorities in ca.pem cannot be used" in result.error


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        "url, target",
        [
            ("http://127.0.0.1:8080/reload", "http:127.0.0.1:8080"),
            ("https://u:p@API.example.com/x", "http:api.example.com:443"),
            ("http://h", "http:h:80"),
            ("http://[::1]:81/", "http:[::1]:81"),
            ("http://u:{secret: env:X}@h:82/{secret: env:Y}", "http:h:82"),
        ],
    )
    def test_the_target_is_host_and_port(self, url: str, target: str) -> None:
        assert HTTP.targets({"method": "GET", "url": url}) == (target,)

    def test_the_summary_is_one_line(self) -> None:
        assert HTTP.summary({"method": "POST", "url": "http://u:p@h/a?token=b"}) == "POST http://u:***@h/a?token=***"

    @pytest.mark.parametrize(
        "params",
        [
            {"url": "http://h"},
            {"method": "BREW", "url": "http://h"},
            {"method": "GET"},
            {"method": "GET", "url": "ftp://h"},
            {"method": "GET", "url": "http://h", "json": 1, "body": "x"},
            {"method": "GET", "url": "http://h", "form": {}, "body": "x"},
            {"method": "GET", "url": "http://h", "expect": 99},
            {"method": "GET", "url": "http://h", "timeout": 0},
            {"method": "GET", "url": "http://h", "timeout": "5 s"},
            {"method": "GET", "url": "http://h", "retries": 3},
        ],
    )
    def test_what_is_wrong_is_refused_before_anything_runs(self, bench: Bench, params: Any) -> None:
        with pytest.raises(PlanError):
            bench.plan(params, task="http")
