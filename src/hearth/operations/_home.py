"""Finding the ledger's folder, and making one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hearth.errors import LedgerError, LedgerNotFoundError
from hearth.ledger import HOME_NAME, HOME_VARIABLE, LedgerHome

__all__ = ["Initialised", "find_home", "initialise"]

_IGNORE = "# Records do not belong into version control: export the one that is to be kept there.\n*\n"


@dataclass(frozen=True, slots=True)
class Initialised:
    """A ledger that is there now; `created` is False when it was there before."""

    home: LedgerHome
    ledger_id: str
    created: bool


def find_home(named: Path | str | None = None) -> LedgerHome:
    """Return the home that was named, else the one of `HEARTH_HOME`, else the nearest `.hearth` upward from here.

    LedgerNotFoundError says how to make one.
    """
    if named is None:
        return LedgerHome.find()
    home = LedgerHome(Path(named))
    if not home.root.is_dir():
        raise LedgerNotFoundError(
            f"there is no folder {home.root}; run `hearth --home {home.root} init` to make a ledger there"
        )
    if not home.database.exists() and (home.root / HOME_NAME).is_dir():
        raise LedgerNotFoundError(
            f"{home.root} holds a ledger in {HOME_NAME}; name that folder: --home {home.root / HOME_NAME}"
        )
    return home


def initialise(folder: Path | str) -> Initialised:
    """Make a ledger in `folder` (the home itself) and return it; one that is there is kept and only opened.

    Raises LedgerError for a folder that belongs to something else.
    """
    root = Path(folder).absolute()
    _refuse_foreign(root)
    home = LedgerHome(root)
    existed = home.database.exists()
    if not existed:
        _refuse_remains(home)
    home = LedgerHome.create(root)
    from hearth.ledger import Ledger  # with the database's library, which finding a folder does not need

    with Ledger.open(home, create=True) as ledger:
        ledger_id = ledger.ledger_id
    ignore = home.root / ".gitignore"
    if not ignore.exists():
        try:
            ignore.touch(mode=0o600)
            ignore.write_text(_IGNORE, encoding="utf-8")
        except OSError as error:
            raise LedgerError(f"{ignore} cannot be written: {error.strerror}") from error
    return Initialised(home, ledger_id, created=not existed)


def _refuse_remains(home: LedgerHome) -> None:
    """Never begin anew where a ledger was: what is left of it would look like that of the new one."""
    kept = (home.journals, home.outputs, home.root / "plans", home.quarantine)
    try:
        left = [folder.name for folder in kept if folder.is_dir() and any(folder.iterdir())]
    except OSError as error:
        raise LedgerError(f"{error.filename or home.root} cannot be read: {error.strerror}") from error
    if left:
        raise LedgerError(
            f"{home.database} is not there, but a ledger was: {home.root} still has {', '.join(left)}. Look for the "
            "database, or restore the last backup (`hearth restore`); to begin anew, move this folder away first"
        )


def _refuse_foreign(root: Path) -> None:
    """Never close a folder to others, and strew folders into it, that was not made for a ledger."""
    if not root.exists():
        return
    if not root.is_dir():
        raise LedgerError(f"{root} is a file; a ledger needs a folder of its own")
    try:
        names = {path.name for path in root.iterdir()}
    except OSError as error:
        raise LedgerError(f"{root} cannot be read: {error.strerror}") from error
    if names and not names & {"ledger.db", "journals"}:
        raise LedgerError(
            f"{root} is not empty and holds no ledger; name a new folder (usually called {HOME_NAME}) "
            f"with FOLDER, --home or {HOME_VARIABLE}"
        )
