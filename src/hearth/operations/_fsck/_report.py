"""What a check found: findings, notes, and what was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Finding", "Findings", "FsckReport", "Mend"]

Severity = Literal["damage", "derived", "leftover"]
_RANK = {"damage": 0, "derived": 1, "leftover": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    `kind` is one word for programs, `what` the sentence, `where` the file, row or table, `records` the executions (or
    approval requests) concerned. `severity`: `damage` of evidence, which nothing here can mend; `derived`, what
    follows from evidence that is whole; `leftover`, what a dead process left and nobody refers to.
    """

    kind: str
    what: str
    where: str
    records: tuple[str, ...] = ()
    severity: Severity = "damage"

    @property
    def repairable(self) -> bool:
        """Whether `--repair` puts it right."""
        return self.severity != "damage"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "what": self.what,
            "where": self.where,
            "records": list(self.records),
            "severity": self.severity,
            "repairable": self.repairable,
        }


@dataclass(frozen=True, slots=True)
class Mend:
    """How a finding is put right: a word of `_repair`, and what it needs."""

    action: str
    subject: str = ""
    row: int = 0
    values: Mapping[str, Any] | None = None
    texts: tuple[tuple[str, int | None, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FsckReport:
    """What came out: `findings` are what is wrong now, `repaired` what was and is not any more.

    `notes` are worth knowing and nothing wrong; `checked` counts what was looked at.
    """

    home: str
    findings: tuple[Finding, ...] = ()
    repaired: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    checked: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def damaged(self) -> bool:
        """Whether evidence is damaged."""
        return any(not finding.repairable for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, but for leftovers."""
        return all(finding.severity == "leftover" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "home": self.home,
            "ok": self.ok,
            "damaged": self.damaged,
            "findings": [finding.to_dict() for finding in self.findings],
            "repaired": [finding.to_dict() for finding in self.repaired],
            "notes": list(self.notes),
            "checked": dict(self.checked),
        }


class Findings:
    """Collects findings, each with how it is mended, while a check goes on; tells its progress."""

    def __init__(self, progress: Callable[[str, int], None] | None = None) -> None:
        self.found: list[tuple[Finding, Mend | None]] = []
        self.notes: list[str] = []
        self.unknown_keys: list[str] = []  # where something signed lies whose key the policy does not name
        self.checked: Counter[str] = Counter()
        self._progress = progress

    def damage(self, kind: str, what: str, *, where: str, records: Iterable[str] = ()) -> None:
        """Add damage of evidence."""
        self._add(Finding(kind=kind, what=what, where=where, records=tuple(records)), None)

    def derived(self, kind: str, what: str, *, where: str, mend: Mend, records: Iterable[str] = ()) -> None:
        """Add something that follows from what is whole, and how it is derived again."""
        self._add(Finding(kind=kind, what=what, where=where, records=tuple(records), severity="derived"), mend)

    def leftover(self, kind: str, what: str, *, where: str, mend: Mend, records: Iterable[str] = ()) -> None:
        """Add something that nobody needs."""
        self._add(Finding(kind=kind, what=what, where=where, records=tuple(records), severity="leftover"), mend)

    @property
    def damaged(self) -> bool:
        """Whether any finding so far is damage of evidence."""
        return any(not finding.repairable for finding, _ in self.found)

    def note(self, text: str) -> None:
        """Add what is worth knowing."""
        self.notes.append(text)

    def count(self, what: str, number: int = 1) -> None:
        """Count what was looked at, and tell the progress."""
        self.checked[what] += number
        if self._progress is not None:
            self._progress(what, self.checked[what])

    def report(self, home: str, repaired: Iterable[Finding] = ()) -> FsckReport:
        """Return what was found, the worst first."""
        notes = list(self.notes)
        if self.unknown_keys:
            first = "; ".join(self.unknown_keys[:8]) + (" …" if len(self.unknown_keys) > 8 else "")  # noqa: PLR2004
            notes.append(f"signed by keys that the policy does not name, so it was not checked by whom: {first}")
        ordered = sorted((finding for finding, _ in self.found), key=lambda finding: _RANK[finding.severity])
        return FsckReport(
            home=home,
            findings=tuple(ordered),
            repaired=tuple(repaired),
            notes=tuple(notes),
            checked=MappingProxyType(dict(self.checked)),
        )

    def _add(self, finding: Finding, mend: Mend | None) -> None:
        if all(finding != known for known, _ in self.found[-64:]):  # the same from two sides is one
            self.found.append((finding, mend))
