"""What the options of `hearth` itself say, for all commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.cli._screen import Screen
    from hearth.ledger import LedgerHome
    from hearth.operations import Records

__all__ = ["Settings"]


@dataclass(slots=True)
class Settings:
    """`home` is a folder or None (search for it); `json` is set by a command's --json.

    `command` is the name of the command that was called.
    `told` is what was, or at its end will be, shown of why a run's step failed: warnings do not repeat it.
    `ends_process` says that the process has nothing to do but this command, and nobody needs its signals afterwards.
    """

    home: str | None = None
    no_color: bool = False
    json: bool = False
    ends_process: bool = False
    command: str = ""
    told: list[str] = field(default_factory=list)

    def find_home(self) -> LedgerHome:
        """Return the ledger's folder; LedgerNotFoundError says how to make one."""
        from hearth.operations import find_home

        return find_home(self.home)

    def records(self) -> Records:
        """Open the ledger for reading."""
        from hearth.operations import Records

        return Records(self.find_home())

    def screen(self, *, to_stderr: bool = False) -> Screen:
        """Return where to print for a person: stdout, or stderr where stdout is for JSON or a command's own output."""
        from hearth.cli._screen import Screen

        return Screen(no_color=self.no_color, to_stderr=to_stderr or self.json)
