"""Showing what is left of a purged record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.cli._errors import Exit
from hearth.cli._json import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings

__all__ = ["print_purged", "show_tombstone"]


def print_purged(screen: Screen, tombstone: Mapping[str, Any]) -> None:
    """Print one line: which, when, by whom, why."""
    screen.line(
        ("purged   ", "dim"),
        (str(tombstone["execution_id"]), "bold"),
        f"  at {tombstone['purged']} by {tombstone['by']}: {tombstone['reason']}",
        (f"  hash {tombstone['execution_hash']}", "dim"),
    )


def show_tombstone(settings: Settings, tombstone: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a tombstone, and return the exit code of a question that was answered."""
    if as_json:
        print_json({"purged": dict(tombstone)})
        return Exit.DONE
    screen = settings.screen()
    screen.line((str(tombstone["execution_id"]), "bold"), "  ", ("purged", "bold yellow"), "  the record is gone")
    names = {
        "purged": f"{tombstone['purged']} by {tombstone['by']}",
        "why": tombstone["reason"],
        "plan": f"{tombstone['plan_id']}  digest {tombstone.get('plan_digest')}",
        "was": f"{tombstone.get('status')} (cause {tombstone.get('cause')}), {tombstone.get('live_mode')}",
        "started": tombstone.get("started"),
        "ended": tombstone.get("ended"),
        "entries": f"{tombstone.get('entries')}, {tombstone.get('size')} bytes",
        "hash": tombstone["execution_hash"],
        "last entry": tombstone.get("head_hash"),
    }
    screen.pairs([(name, str(value)) for name, value in names.items()])
    return Exit.DONE
