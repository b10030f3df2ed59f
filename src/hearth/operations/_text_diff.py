"""How a text was changed, as a unified diff that is quick also for large texts."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["unified_diff"]

_CONTEXT = 3
_MOST_COMPARED = 2000  # lines of both sides together: difflib takes their square


def unified_diff(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Yield the hunks of a unified diff; nothing where the texts are the same.

    What both begin and end with is not compared. Where more than that differs than can be compared quickly, it is one
    hunk: all of the old lines go, all of the new ones come.
    """
    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if not before and not after:
        return
    lead, rest = old[max(head - _CONTEXT, 0) : head], old[len(old) - tail :][:_CONTEXT]
    start = head - len(lead)
    a, b = [*lead, *before, *rest], [*lead, *after, *rest]
    if len(before) + len(after) <= _MOST_COMPARED:
        groups = SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(_CONTEXT)
    else:
        i, j, k = len(lead), len(lead) + len(before), len(lead) + len(after)
        groups = iter([[("equal", 0, i, 0, i), ("replace", i, j, i, k), ("equal", j, len(a), k, len(b))]])
    for group in groups:
        (_, a1, _, b1, _), (_, _, a2, _, b2) = group[0], group[-1]
        yield f"@@ -{_range(start + a1, start + a2)} +{_range(start + b1, start + b2)} @@"
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                yield from (f" {line}" for line in a[i1:i2])
                continue
            yield from (f"-{line}" for line in a[i1:i2])
            yield from (f"+{line}" for line in b[j1:j2])


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines both begin with."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _range(start: int, stop: int) -> str:
    """Return lines as diff(1) names them: the first counts as 1, and an empty range names the line before it."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
