"""Commits that a crash cut off: brought to their end, and told to the records of the runs that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.execution import NOT_KEPT, ContentStore
from hearth.recorder import KnownEnd

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome
    from hearth.observe import RecoveredCommit

__all__ = ["RecoveredCommits"]


class RecoveredCommits:
    """What became of the commits in a ledger's home that had no end; making one brings them to it.

    Commits that another process is at work on are left to it.
    """

    def __init__(self, home: LedgerHome) -> None:
        self._home = home
        self.found: list[RecoveredCommit] = []
        if home.commits.is_dir() and any(home.commits.iterdir()):
            from hearth.observe import recover_commits

            self.found = recover_commits(home.commits, ContentStore(home.outputs))

    def end_of(self, execution_id: str, step_index: int) -> KnownEnd | None:
        """Return how a step ended that was running when its process died, as far as a commit of it tells that.

        None where there was none: then nobody knows, or all of its changes stayed in its sandbox.
        """
        from hearth.observe import CommitOutcome, committed_then

        name = f"{execution_id}-{step_index}"
        if any(one.name == name and one.outcome is CommitOutcome.UNDONE for one in self.found):
            return KnownEnd(
                error="its process ended while its changes were committed; what had begun was taken back",
                details={"ran": "sandbox", "committed": False},
            )
        done = committed_then(self._home.commits, name)
        if done is None:
            return None
        return KnownEnd(
            details={**done.told["details"], "commit": {"journal": done.journal.name}},
            effects=tuple(_told(effect, done.kept) for effect in done.told["effects"]),
            unseen=("what it wrote and reported was lost with its process", *done.told["unseen"]),
        )


def _told(effect: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """Return an effect as its record would have had it: with what is not kept under its own digest marked."""
    before = effect["details"].get("before")
    if not isinstance(before, dict) or before.get("sha256", None) in {None, *kept}:
        return effect
    return {**effect, "details": {**effect["details"], "before": {**before, "withheld": NOT_KEPT}}}
