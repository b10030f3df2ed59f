"""The command line: `hearth`. One file for each group of commands; a command's module is loaded when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.cli._main import cli, main
    from hearth.cli._stage4 import stage4

__all__ = ["cli", "main", "stage4"]

__getattr__, __dir__ = lazy_names(__name__, {"cli": "_main", "main": "_main", "stage4": "_stage4"})
