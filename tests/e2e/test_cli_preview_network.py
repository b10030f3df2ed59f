"""Previews of steps that have the host's network: what they reached was reached, and that is said."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from tests.e2e.command import hearth
from tests.e2e.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_sandbox


def test_where_something_was_reached_the_host_is_not_said_to_be_as_it_was(ledger_folder: Path) -> None:
    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        (ledger_folder / "send.py").write_text(
            f"import socket\nsocket.create_connection(('127.0.0.1', {port})).sendall(b'do it')\n"
        )
        (ledger_folder / "plan.yaml").write_text(
            f"plan: p\nsteps:\n  - name: Send\n    shell: {sys.executable} send.py\n"
            f"    effects: [{{network: '127.0.0.1:{port}'}}]\n"
        )
        shown = hearth("preview", "plan.yaml", code=0).stdout
        connection, _ = service.accept()
        with connection:
            assert connection.recv(9) == b"do it"
    assert f"> connection: tcp 127.0.0.1:{port}\n" in shown
    assert "the host is as it was" not in shown
    assert f"the files here are as they were; what was sent over connections was sent (tcp 127.0.0.1:{port})\n" in shown


def test_where_nothing_was_reached_it_is(ledger_folder: Path) -> None:
    """Also where a step tried to reach what listens on the host: it has no network."""
    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        text = f"import socket\nsocket.socket().connect_ex(('127.0.0.1', {port}))\n"
        (ledger_folder / "send.py").write_text(text)
        shown = hearth("preview", "--", sys.executable, "send.py", code=0).stdout
    assert f"> connection: tcp 127.0.0.1:{port}" in shown
    assert "the host is as it was\n" in shown
