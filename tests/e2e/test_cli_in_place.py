"""Runs in place that nothing holds to what their plans declare: what is not declared is told, in text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import needs_sandbox, unapproved

if TYPE_CHECKING:
    from pathlib import Path

LIVE = ("run", "plan.yaml", "--mode", "live", "--yes", "--reason", "why", "--id", "run")


@pytest.fixture
def folder(ledger_folder: Path) -> Path:
    (ledger_folder / "plan.yaml").write_text(
        "plan: marks\nsteps:\n  - {name: Mark, file: {write: b.txt, content: x}, effects: [{file_system: c.txt}]}\n"
    )
    return ledger_folder


def test_what_is_not_declared_is_told_by_run_and_show(folder: Path) -> None:
    told = hearth(*LIVE, code=0).stdout
    shown = hearth("show", "run", code=0).stdout
    for text in (told, shown):
        assert f"✗ not declared: {folder}/b.txt was created" in text.replace("\n                ", " ")
        assert "! declared, did not happen: c.txt" in text
        assert " in place" in text
    note = "1 effect not declared: done all the same, for this run was not held to what its plan declares"
    assert note in " ".join(told.split())


def test_and_in_json(folder: Path) -> None:
    ran = document(*LIVE)
    shown = document("show", "run")
    for one in (ran, shown):
        assert one["undeclared"] == [{"step_index": 0, "what": f"{folder}/b.txt was created"}]
        assert [missing["pattern"] for missing in one["missing"]] == ["c.txt"]


@needs_sandbox
def test_a_step_that_was_stopped_says_what_was_missing_and_where_the_rest_stands(folder: Path) -> None:
    unapproved(code=4)
    shown = document("show", "run")
    assert [missing["pattern"] for missing in shown["missing"]] == ["c.txt"]
    (end,) = [event for event in shown["record"]["step_events"] if event["event_type"] == "step_failed"]
    digest = end["details"]["manifest"]["sha256"]
    told = " ".join(hearth("show", "run", code=0).stdout.split())
    assert f"stands in its manifest: hearth show run --content {digest[:16]}" in told
