"""What holds for all tests: a clean environment, hypothesis' profiles, where the repository is."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.skips import few_are_permitted, is_permitted

if TYPE_CHECKING:
    from collections.abc import Generator

REPOSITORY = Path(__file__).resolve().parent.parent

# Two cores serve everything, so no example has a deadline; CI tries the same examples each time.
settings.register_profile("hearth", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.register_profile("soak", parent=settings.get_profile("hearth"), derandomize=False, max_examples=5_000)
settings.load_profile("hearth")

# Variables of the person or the machine that would change what HEARTH finds or how it prints.
_FOREIGN = (
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)


def _signals_as_usual() -> None:
    """Have signals that whoever started the tests ignores (`nohup`, `&`) arrive in what the tests start.

    Ignoring is inherited, a handler is not: a program that a test starts has the default again. A hang-up still
    does nothing to the tests themselves.
    """
    usual: dict[str, Any] = {"SIGINT": signal.default_int_handler, "SIGHUP": lambda *_: None, "SIGQUIT": signal.SIG_DFL}
    for name, handler in usual.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


_signals_as_usual()


# Read now: while a test runs, no variable of HEARTH's is set.
_FEW_SKIPS = few_are_permitted()


def _no_silent_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip for a reason that is not on the list (`tests/skips.py`), where few are permitted."""
    if _FEW_SKIPS and report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        place, line, reason = report.longrepr
        if not is_permitted(reason):
            report.outcome = "failed"
            report.longrepr = f"{place}:{line}: {reason}; here nothing that the tests need may be missing"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at each test's report."""
    report = yield
    _no_silent_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at each file's: a whole one may be skipped."""
    report = yield
    _no_silent_skip(report)
    return report


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ledger but the test's own is found, and output does not depend on who runs the tests."""
    for name in tuple(os.environ):
        if name.startswith("HEARTH_") or name in _FOREIGN:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(REPOSITORY / "there-is-no-such-folder"))  # nor anybody's key


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY
