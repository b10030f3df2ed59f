"""A value that must never enter a record."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Secret"]


class Secret:
    """Wraps a value that is recorded only as a salted commitment.

    Wherever it stands in `details`, its place is taken by `{"$sha256": …}`, and the same text found anywhere
    else by the same redactor is taken out too. With `disclosable=True` value and salt are kept beside the record
    and can be shown, or erased, later. Neither `repr` nor `str` shows the value; `reveal()` does.
    """

    __slots__ = ("_disclosable", "_value")

    def __init__(self, value: str, *, disclosable: bool = False) -> None:
        if not isinstance(value, str):
            message = f"a Secret wraps a str, not {type(value).__name__}"
            raise TypeError(message)
        self._value = value
        self._disclosable = disclosable

    @property
    def disclosable(self) -> bool:
        """Whether the value is kept beside the record."""
        return self._disclosable

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    def __reduce__(self) -> NoReturn:
        message = "a Secret is not pickled: its value would leave the process"
        raise TypeError(message)
