"""Connections of steps in sandboxes: they really happen, and stand in the record whatever became of the step."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import hearth
from tests.e2e.sandboxed import needs_sandbox, record, unapproved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_sandbox


@pytest.fixture
def port(ledger_folder: Path) -> Iterator[int]:
    """A server's port; with what connects to it, in a program."""
    (ledger_folder / "reach.py").write_text(
        "import socket, sys\nfor port in sys.argv[1:]: socket.create_connection(('127.0.0.1', int(port))).close()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def plan(folder: Path, effects: str, script: str) -> None:
    (folder / "plan.yaml").write_text(
        f"plan: reach\ninputs: [reach.py]\nsteps:\n  - {{name: Reach, shell: '{script}', effects: [{effects}]}}\n"
    )


def connections() -> list[tuple[str, str, object]]:
    observed = record()["side_effects_report"]["side_effects_observed"]
    return [
        (effect["description"], effect["origin"], effect["details"]["declared"])
        for effect in observed
        if effect["category"] == "network"
    ]


def test_they_are_effects_of_a_step_that_is_committed(ledger_folder: Path, port: int) -> None:
    plan(
        ledger_folder, f'{{network: "127.0.0.1:{port}"}}, {{file_system: new}}', f"python3 reach.py {port}; echo > new"
    )
    unapproved(code=0)
    made = (f"a connection to tcp 127.0.0.1:{port} was made", "observed", f"127.0.0.1:{port}")
    assert connections() == [made]
    assert f"NETWORK: {made[0]}".lower() in hearth("show", "run", code=0).stdout.lower()


@pytest.mark.parametrize("script, code", [("echo > other", 4), ("exit 1", 1)])
def test_and_of_one_that_is_stopped_or_fails(ledger_folder: Path, port: int, script: str, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        more = other.getsockname()[1]
        plan(ledger_folder, f'{{network: "127.0.0.1:{port}"}}', f"python3 reach.py {port} {more}; {script}")
        unapproved(code=code)
    assert sorted(connections()) == sorted(
        [
            (f"a connection to tcp 127.0.0.1:{port} was made", "observed", f"127.0.0.1:{port}"),
            (f"a connection to tcp 127.0.0.1:{more} was made", "observed", None),
        ]
    )
    if code != 1:
        assert "nothing of the step was committed, but its connections were made" in record()["completion_reason"]
