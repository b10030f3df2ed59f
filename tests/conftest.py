"""What holds for all tests: a clean environment, hypothesis' profiles, where the repository is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
