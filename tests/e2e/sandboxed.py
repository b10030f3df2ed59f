"""Previews, approvals and sandboxed runs of `plan.yaml` in the current folder, for tests from end to end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hearth.observe import probe
from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from click.testing import Result

__all__ = ["approved", "live", "needs_sandbox", "record", "unapproved"]

needs_sandbox = pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")


def approved() -> str:
    """Have it previewed and approved; return the request."""
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], "--reason", "ok", code=0)
    return str(request["request_id"])


def live(request: str, *more: str, code: int) -> Result:
    """Run it live by that approval, held to its preview."""
    return hearth("run", "plan.yaml", "--mode", "live", "--approval", request, "--id", "run", *more, code=code)


def unapproved(*more: str, code: int) -> Result:
    """Run it in sandboxes without a preview, for which nothing undeclared would be approved."""
    words = ("--mode", "live", "--sandbox", "--yes", "--reason", "why", "--id", "run")
    return hearth("run", "plan.yaml", *words, *more, code=code)


def record() -> dict[str, Any]:
    """Return the record of that run."""
    return dict(json.loads(hearth("export", "run", code=0).stdout))


def rows(step: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {row["table"]: (row["inserted"], row["updated"], row["deleted"]) for row in step["rows"]}


def observed() -> list[tuple[str, str | None]]:
    effects = record()["side_effects_report"]["side_effects_observed"]
    return [(one["description"], one["details"].get("declared")) for one in effects if one["origin"] == "observed"]


def stopped(*words: str) -> None:
    told = record()
    assert (told["status"], told["marks"][-1]["details"]["cause"]) == ("incomplete", "escalation")
    for word in words:
        assert word in told["completion_reason"]
    assert document("state")["boundary"] == "ELEVATED"
    hearth("fsck", code=0)
