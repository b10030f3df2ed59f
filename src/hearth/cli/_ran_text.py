"""How a step was carried out, and what a dry run in sandboxes showed that it would do, from the details of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.cli._text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hearth.cli._screen import Screen

__all__ = ["SIGNS", "print_held", "print_missing", "print_would", "ran_text"]

SIGNS = {
    "created": ("+", "green"),
    "modified": ("~", "yellow"),
    "deleted": ("-", "red"),
    "replaced": ("!", "yellow"),
    "metadata": ("m", "yellow"),
    "touched": ("t", "dim"),
}
_WAYS = {
    "sandbox": "in a sandbox",
    "transaction": "in one transaction",
    "in-place": "in place",
    "not-run": "not run",
}


def ran_text(details: Mapping[str, Any]) -> str:
    """Return in which way a step ran, where its end says so; "" for one that a caller's function did."""
    ran = details.get("ran")
    if ran == "request":
        return "sent" if details.get("sent") else "held back: nothing was sent"
    told = _WAYS.get(str(ran), "")
    if told and not details.get("dry_run") and "committed" in details:
        told += ", committed" if details["committed"] is True else ", not committed"
    return told


def print_would(screen: Screen, details: Mapping[str, Any], *, indent: int) -> None:
    """Print the paths and rows that a step of a dry run changed in its sandbox, and what it would have sent."""
    if not details.get("dry_run"):
        return
    if isinstance(request := details.get("request"), dict):
        screen.line(("> ", "yellow"), f"{request.get('method')} {request.get('url')}", indent=indent)
    paths = [one for one in details.get("paths") or () if isinstance(one, dict)]
    for one in paths:
        sign, style = SIGNS.get(str(one.get("kind")), ("?", "yellow"))
        screen.line((f"{sign} ", style), str(one.get("path")), indent=indent)
    counts = details.get("changes")
    hidden = sum(counts.values()) - len(paths) if isinstance(counts, dict) else 0
    if hidden > 0:
        screen.line((f"… and {count(hidden, 'path')} more", "dim"), indent=indent)
    for row in details.get("rows") or ():
        if not (row.get("inserted") or row.get("updated") or row.get("deleted")):
            continue
        told = f"+{row.get('inserted')} ~{row.get('updated')} -{row.get('deleted')}"
        screen.line(("# ", "yellow"), f"{row.get('database')}: {row.get('table')} ", (told, "yellow"), indent=indent)


def print_held(screen: Screen, details: Mapping[str, Any], *, indent: int, failed: bool) -> None:
    """Print what a step did and does not declare, and what it declares and did not do.

    Where a live run was stopped by what is undeclared, that stands in its error.
    """
    if details.get("dry_run") or not failed:
        for words in details.get("undeclared") or ():
            screen.line((f"{screen.symbols.failed} not declared: {words}", "bold red"), indent=indent)
    print_missing(screen, (one for one in details.get("missing") or () if isinstance(one, dict)), indent=indent)


def print_missing(screen: Screen, missing: Iterable[Mapping[str, Any]], *, indent: int) -> None:
    """Print the effects that a step declares and that were not seen."""
    for effect in missing:
        must = ", and must" if effect.get("must") else ""
        screen.line((f"! declared{must}, did not happen: {effect.get('pattern')}", "yellow"), indent=indent)
