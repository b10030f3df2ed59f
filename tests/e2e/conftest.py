"""What several of the tests from end to end begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import hearth

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger that trusts one key, ann's; the key lies in a folder `settings`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    hearth("init", code=0)
    hearth("keygen", "--trust", "ann", code=0)
    return tmp_path
