"""A fresh ledger for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.ledger import Ledger, LedgerHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    """The folder of a ledger, without a database."""
    return LedgerHome.create(tmp_path / ".hearth")


@pytest.fixture
def ledger(home: LedgerHome) -> Iterator[Ledger]:
    """An open, empty ledger."""
    with Ledger.open(home, create=True) as opened:
        yield opened
