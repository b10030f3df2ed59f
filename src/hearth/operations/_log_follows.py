"""Operations that the transparency log tells of, where there is one: it takes up what they did when they are done."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from hearth.errors import HearthError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.ledger import LedgerHome

__all__ = ["catch_up_log", "log_follows"]


class _HasHome(Protocol):
    @property
    def home(self) -> LedgerHome: ...


_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Place = TypeVar("_Place", bound="LedgerHome | _HasHome")


def log_follows(
    function: Callable[Concatenate[_Place, _Given], _Result],
) -> Callable[Concatenate[_Place, _Given], _Result]:
    """Have the log of the ledger (the first argument, or its `home`) take up what the function did, at its end."""

    @wraps(function)
    def followed(place: _Place, /, *given: _Given.args, **named: _Given.kwargs) -> _Result:
        try:
            return function(place, *given, **named)
        finally:
            catch_up_log(getattr(place, "home", place))

    return followed


def catch_up_log(home: Any) -> None:  # noqa: ANN401 - a LedgerHome
    """Have the log take up what is new; where there is none nothing is done, and what goes wrong is a warning."""
    root = home.root / "transparency"
    if not root.is_dir():
        return
    from hearth.evidence import LogTeller
    from hearth.ledger import Ledger

    try:
        with Ledger.open(home) as ledger:
            LogTeller(ledger).sealed("what was done")
    except HearthError:
        return  # a ledger that cannot be opened is told of by whatever was done to it
