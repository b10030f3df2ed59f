"""The command line: `hearth`. One file for each group of commands; a command's module is loaded when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.cli._entry import main, stage4
    from hearth.cli._main import cli

__all__ = ["cli", "main", "stage4"]

__getattr__, __dir__ = lazy_names(__name__, {"cli": "_main", "main": "_entry", "stage4": "_entry"})
