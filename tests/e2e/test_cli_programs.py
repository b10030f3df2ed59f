"""Programs with words that are no text: seen, shown and recorded as any other, in a sandbox and in place."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from hearth.observe import host_observer_why_not
from tests.e2e.command import hearth
from tests.e2e.sandboxed import needs_sandbox, unapproved

if TYPE_CHECKING:
    from pathlib import Path

PLAN = r"""
plan: bytes
steps:
  - {name: Touch, shell: "touch $(printf 'x\\377')", effects: [{file_system: "x*"}]}
"""
LINE = r"touch $'x\xff'"


@pytest.fixture
def folder(ledger_folder: Path) -> Path:
    (ledger_folder / "plan.yaml").write_text(PLAN)
    return ledger_folder


def programs_of(execution: str) -> list[str]:
    record = json.loads(hearth("export", execution, code=0).stdout)
    (end,) = [event for event in record["step_events"] if event["event_type"] == "step_completed"]
    digest = end["details"]["manifest"]["sha256"]
    return list(json.loads(hearth("show", execution, "--content", digest, code=0).stdout)["programs"])


@needs_sandbox
def test_in_a_sandbox(folder: Path) -> None:
    assert LINE in hearth("preview", "plan.yaml", "--whole", code=0).stdout
    assert not (folder / os.fsdecode(b"x\xff")).exists()
    unapproved("--quiet", code=0)
    assert (folder / os.fsdecode(b"x\xff")).exists()
    assert LINE in programs_of("run")


@pytest.mark.skipif(bool(host_observer_why_not()), reason=host_observer_why_not())
def test_in_place(folder: Path) -> None:
    words = ("--mode", "live", "--in-place", "--yes", "--reason", "why", "--id", "run", "--quiet")
    hearth("run", "plan.yaml", *words, code=0)
    assert (folder / os.fsdecode(b"x\xff")).exists()
    assert LINE in programs_of("run")
