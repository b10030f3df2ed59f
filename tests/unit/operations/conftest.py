"""A ledger, plans and runs for the tests of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hearth.operations import Records, RunOutcome, initialise, run_plan
from hearth.plan import parse_plan
from hearth.security import LiveMode
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    """A fresh ledger."""
    return initialise(tmp_path / ".hearth").home


@pytest.fixture
def records(home: LedgerHome) -> Iterator[Records]:
    """The fresh ledger, open for reading."""
    with Records(home) as opened:
        yield opened


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., Plan]:
    """Make a plan of the steps given; it works in `work` of the test's folder."""
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)

    def make(*steps: dict[str, Any], name: str = "tidy", **more: Any) -> Plan:
        return parse_plan({"plan": name, "steps": list(steps), **more}, folder=folder)

    return make


@pytest.fixture
def key(home: LedgerHome) -> Path:
    """A key that the ledger trusts."""
    return approving.trust(home)


@pytest.fixture
def run(home: LedgerHome, key: Path, make_plan: Callable[..., Plan]) -> Callable[..., RunOutcome]:
    """Run steps live."""

    def run_live(*steps: dict[str, Any], execution_id: str | None = None, **more: Any) -> RunOutcome:
        plan = make_plan(*steps, **more)
        request = approving.approve(home, plan, key)
        return run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id=execution_id)

    return run_live
