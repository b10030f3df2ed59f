"""The sandboxes of a recorded run: where their layers lie, and where commits are journalled."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.execution import Sandboxing, load_policy
from hearth.observe import SandboxRoom, probe
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
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=home.sandboxes))
    try:
        stacked, hidden = mode is LiveMode.DRY_RUN, hidden_in_sandboxes(home)
        with SandboxRoom(folder, stacked=stacked, hidden=hidden, preload=preloaded(plan)) as room:
            yield Sandboxing(
                room=room,
                ledger=home.root,
                commits=home.commits,
                approved=approved,
                escalate_to=load_policy(home.policy).undeclared,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # layers above one another lie elsewhere, and the room clears those
