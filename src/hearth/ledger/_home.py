"""The folder that holds a ledger and all that belongs to it: `.hearth/` (docs/architecture.md)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import LedgerError, LedgerNotFoundError
from hearth.ledger._private import private_folder
from hearth.record import percent_encode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HOME_NAME", "HOME_VARIABLE", "LedgerHome"]

HOME_NAME = ".hearth"
"""The name of the folder that is looked for upward from the current one."""

HOME_VARIABLE = "HEARTH_HOME"
"""The environment variable that names the folder itself and goes before the search."""


@dataclass(frozen=True, slots=True)
class LedgerHome:
    """The paths of one ledger's folder. `root` is that folder itself (usually called `.hearth`), absolute.

    Making a `LedgerHome` touches no file. `create` makes the folder, `find` looks for one.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).absolute())

    @property
    def database(self) -> Path:
        """The SQLite database of sealed records."""
        return self.root / "ledger.db"

    @property
    def journals(self) -> Path:
        """The folder of journals, one file for each execution under way."""
        return self.root / "journals"

    @property
    def outputs(self) -> Path:
        """The content-addressed store of what steps wrote, and of pre-images."""
        return self.root / "outputs"

    @property
    def runs(self) -> Path:
        """The folder of what a run needs while it lasts (private copies of inputs)."""
        return self.root / "runs"

    @property
    def sandboxes(self) -> Path:
        """The folder of the layers of sandboxes, while they last."""
        return self.root / "sandboxes"

    @property
    def commits(self) -> Path:
        """The folder of the journals by which changes made in sandboxes reached the host."""
        return self.root / "commits"

    @property
    def quarantine(self) -> Path:
        """The folder of journals that were refused, and of originals that were recovered."""
        return self.root / "quarantine"

    @property
    def locks(self) -> Path:
        """The folder of lock files."""
        return self.root / "locks"

    @property
    def reports(self) -> Path:
        """The folder in which detectors outside leave their reports."""
        return self.root / "reports"

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.root / "policy.yaml"

    def journal_path(self, execution_id: str) -> Path:
        """Return the journal of an execution; whatever its id is, the file stands in `journals`."""
        return self.journals / f"{percent_encode(execution_id)}.journal"

    @classmethod
    def create(cls, folder: Path | str) -> LedgerHome:
        """Make `folder` and its subfolders, each 0700 whatever the umask is, and return the home.

        `folder` is the home itself: `LedgerHome.create(Path.cwd() / HOME_NAME)`. What exists is kept and
        closed to others. The database is made by `Ledger.open(home, create=True)`.
        """
        home = cls(Path(folder))
        for path in (
            home.root,
            home.journals,
            home.outputs,
            home.runs,
            home.sandboxes,
            home.commits,
            home.quarantine,
            home.locks,
            home.reports,
        ):
            private_folder(path)
        return home

    @classmethod
    def find(cls, start: Path | str | None = None, environ: Mapping[str, str] | None = None) -> LedgerHome:
        """Return the home that `HEARTH_HOME` names, else the nearest `.hearth` upward from `start` (or from here).

        A folder found upward must belong to the present user: records and policy of somebody else's folder
        (in `/tmp`, say) must not slip in. LedgerNotFoundError says how to make one.
        """
        named = (os.environ if environ is None else environ).get(HOME_VARIABLE, "")
        if named:
            home = cls(Path(named))
            if not home.root.is_dir():
                message = (
                    f"{HOME_VARIABLE} names {home.root}, which is not a folder; "
                    f"run `hearth init` to make a ledger there, or unset {HOME_VARIABLE}"
                )
                raise LedgerNotFoundError(message)
            return home
        here = Path.cwd() if start is None else Path(start).absolute()
        for folder in (here, *here.parents):
            candidate = folder / HOME_NAME
            if candidate.is_dir():
                _require_ours(candidate)
                return cls(candidate)
        message = f"no ledger here: there is no {HOME_NAME} folder in {here} or above it; run `hearth init` to make one"
        raise LedgerNotFoundError(message)


def _require_ours(folder: Path) -> None:
    if os.name == "posix" and folder.stat().st_uid != os.geteuid():
        message = (
            f"{folder} belongs to another user (uid {folder.stat().st_uid}); "
            f"if it is the one you mean, say so: {HOME_VARIABLE}={folder}"
        )
        raise LedgerError(message)
