"""A timestamp authority of the tests' own: a certificate and its root made with OpenSSL, and a server on loopback."""

from __future__ import annotations

import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["Authority"]

# No `certs`: a token brings the certificate that signed it, and with more rfc3161-client refuses it.
_SETTINGS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[other]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, serverAuth
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_cert = {folder}/{signer}.pem
signer_key = {folder}/{signer}.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha512
accuracy = secs:1
"""


class Authority:
    """An authority that answers at `url`; what it answers can be told: a body, a status, another one's certificate."""

    def __init__(self, folder: Path, name: str = "a test's authority") -> None:
        self.folder = folder
        self.name = name
        self.body: bytes | None = None
        self.status = 200
        self.asked: list[bytes] = []
        folder.mkdir()
        self._settings("leaf")
        self._openssl("req", "-new", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-keyout", "root.key", "-out", "root.pem", "-days", "30", "-extensions", "root",
                      "-config", "settings", "-subj", f"/CN={name}, root")  # fmt: skip
        for kind in ("leaf", "other"):
            self._certificate(kind)
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                authority.asked.append(query)
                assert self.headers["Content-Type"] == "application/timestamp-query"
                body = authority.answer(query) if authority.body is None else authority.body
                self.send_response(authority.status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @classmethod
    def make(cls, folder: Path, name: str = "a test's authority") -> Self:
        """Make one, or skip the test where there is no OpenSSL."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        return cls(folder, name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/stamp"

    @property
    def root(self) -> bytes:
        return (self.folder / "root.pem").read_bytes()

    def answer(self, query: bytes, signer: str = "leaf") -> bytes:
        """Stamp a query, as a server would."""
        self._settings(signer)
        (self.folder / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-queryfile", "query", "-out", "reply", "-config", "settings")
        return (self.folder / "reply").read_bytes()

    def query(self, data: bytes, *options: str) -> bytes:
        """Make a query with OpenSSL."""
        (self.folder / "data").write_bytes(data)
        self._openssl("ts", "-query", "-data", "data", "-sha256", "-out", "query", *options)
        return (self.folder / "query").read_bytes()

    def verifies(self, data: bytes, answer: bytes) -> bool:
        """Tell whether OpenSSL takes an answer for data."""
        (self.folder / "data").write_bytes(data)
        (self.folder / "reply").write_bytes(answer)
        command = ["openssl", "ts", "-verify", "-data", "data", "-in", "reply", "-CAfile", "root.pem"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, check=False).returncode == 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _certificate(self, kind: str) -> None:
        self._openssl("req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-keyout", f"{kind}.key", "-out", f"{kind}.csr", "-config", "settings",
                      "-subj", f"/CN={self.name}")  # fmt: skip
        self._openssl("x509", "-req", "-in", f"{kind}.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial",
                      "7" if kind == "leaf" else "8", "-days", "30", "-extfile", "settings", "-extensions", kind,
                      "-out", f"{kind}.pem")  # fmt: skip

    def _settings(self, signer: str) -> None:
        text = _SETTINGS.format(name=self.name, folder=self.folder, signer=signer)
        (self.folder / "settings").write_text(text)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
