"""Verdict: whether a record holds, and if not, where it first fails."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking a record; true when it holds.

    `first_bad` is the sequence number of the first entry that fails (None where no single entry is at fault),
    `why` says what is wrong ("" when ok), `notes` are findings that break nothing (`live mode not anchored`, …).
    """

    ok: bool
    first_bad: int | None = None
    why: str = ""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        text = "verified" if self.ok else "NOT VERIFIED: " + self.why
        if self.first_bad is not None:
            text += f" (first bad entry: {self.first_bad})"
        return text + "".join(f"; note: {note}" for note in self.notes)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"ok": self.ok, "first_bad": self.first_bad, "why": self.why, "notes": list(self.notes)}
