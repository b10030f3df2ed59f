"""The sandboxes of a recorded run: where their layers lie, and where commits are journalled."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from hearth.execution import Sandboxing, load_policy
from hearth.observe import OwnedFolder, SandboxRoom, clear_dead_sandboxes, probe
from hearth.operations._sandbox_preview import hidden_in_sandboxes, preloaded, require_sandbox
from hearth.security import LiveMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.ledger import LedgerHome
    from hearth.observe import Manifest
    from hearth.plan import Plan

__all__ = ["sandboxes"]


@contextmanager
def sandboxes(home: LedgerHome, plan: Plan, mode: LiveMode, approved: Manifest | None = None) -> Iterator[Sandboxing]:
    """Give the sandboxes of one run, and clear them away afterwards. ObservationError where there can be none here."""
    require_sandbox(probe())
    for made in (home.sandboxes, home.commits):
        made.mkdir(mode=0o700, exist_ok=True)
    clear_dead_sandboxes(home.sandboxes)
    with closing(OwnedFolder(home.sandboxes)) as owned:
        stacked, hidden = mode is LiveMode.DRY_RUN, hidden_in_sandboxes(home)
        with SandboxRoom(owned.path / "layers", stacked=stacked, hidden=hidden, preload=preloaded(plan)) as room:
            yield Sandboxing(
                room=room,
                ledger=home.root,
                commits=home.commits,
                approved=approved,
                escalate_to=load_policy(home.policy).undeclared,
            )
