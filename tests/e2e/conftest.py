"""What several of the tests from end to end begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.command import hearth
from tests.e2e.in_browser import CHROMIUM, FLAGS, Opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture
def ledger_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger that trusts one key, ann's; the key lies in a folder `settings`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    hearth("init", code=0)
    hearth("keygen", "--trust", "ann", code=0)
    return tmp_path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of a module."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Open dossiers in Chromium, each in a context of its own."""
    made: list[Opened] = []

    def make(**options: Any) -> Opened:
        made.append(Opened(browser, tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.context.close()
