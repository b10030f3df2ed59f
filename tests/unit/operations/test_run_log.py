"""A run whose log cannot be told of it, for a reason that says nothing of the system: refused, and no more."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

import pytest

from hearth.errors import EvidenceBusyError, GateRefusedError, RecorderUnfitError
from hearth.evidence import LogPlace, LogTeller
from hearth.ledger import Ledger
from hearth.operations import initialise, load_key, log_init, run_plan
from hearth.plan import parse_plan
from hearth.security import LiveMode, SecurityState
from hearth.signing import SigningKey
from tests import approving

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.execution import RunListener
    from hearth.ledger import LedgerHome
    from hearth.plan import Plan


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    return initialise(tmp_path / ".hearth").home


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return parse_plan({"plan": "p", "steps": [{"name": "Go", "shell": "touch went"}]}, folder=tmp_path)


def posture(home: LedgerHome) -> SecurityState | None:
    with Ledger.open(home) as ledger:
        return ledger.postures.load().posture.security


def test_a_log_that_others_keep_busy_worsens_nothing(
    home: LedgerHome, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_init(home)
    before = posture(home)
    request = approving.approve(home, plan, load_key(home, approving.trust(home)))
    monkeypatch.setattr("hearth.evidence._log_lock._PATIENCE", 0.1)
    with LogPlace.of(home).locked(), pytest.raises(GateRefusedError, match=r"for 0\.1 seconds; try it again"):
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)  # the approval is not used

    class Busy:
        """Somebody takes the log just when the run has begun."""

        def run_started(self, *_: object) -> None:
            taken.enter_context(LogPlace.of(home).locked())

    with ExitStack() as taken:
        outcome = run_plan(
            plan, home=home, mode=LiveMode.LIVE, request_id=request, listener=cast("RunListener", Busy())
        )
    assert isinstance(outcome.error, RecorderUnfitError)
    assert "try it again" in str(outcome.error)
    assert isinstance(outcome.error.__cause__, RecorderUnfitError)
    assert isinstance(outcome.error.__cause__.__cause__, EvidenceBusyError)
    assert not (tmp_path / "went").exists()
    assert posture(home) is before


def test_a_run_whose_opening_the_log_did_not_take_does_not_act(home: LedgerHome) -> None:
    log_init(home)
    with Ledger.open(home) as ledger, pytest.raises(RecorderUnfitError, match="its journal is not among those"):
        LogTeller(ledger).opened("somewhere-else")


def test_without_the_passphrase_nothing_begins_and_the_approval_is_left(
    home: LedgerHome, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log.pem"
    SigningKey.generate().save(file, "long enough")
    monkeypatch.setenv("HEARTH_LOG_PASSPHRASE", "long enough")
    log_init(home, key_file=file)
    before = posture(home)
    request = approving.approve(home, plan, load_key(home, approving.trust(home)))
    for passphrase in (None, "another one"):
        if passphrase is None:
            monkeypatch.delenv("HEARTH_LOG_PASSPHRASE")
        else:
            monkeypatch.setenv("HEARTH_LOG_PASSPHRASE", passphrase)
        with pytest.raises(GateRefusedError, match="nothing runs, for the transparency log"):
            run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
        assert posture(home) is before
    monkeypatch.setenv("HEARTH_LOG_PASSPHRASE", "long enough")
    assert run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request).error is None
    assert (tmp_path / "went").exists()
