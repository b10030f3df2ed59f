"""A hook, ready to be called: its secret looked up, its name for messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hearth.errors import HearthError
from hearth.execution.notify._command import run_command
from hearth.execution.notify._webhook import post
from hearth.plan import Secrets

if TYPE_CHECKING:
    from hearth.execution._cancellation import Cancellation
    from hearth.execution.notify._notice import Notice
    from hearth.security import Hook, Policy

__all__ = ["ReadyHook", "ready_hooks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyHook:
    """One command or webhook of a policy. `broken` says why it can never be called, such as a secret that is missing.

    The secret is looked up once, early: an alert must not depend on the disk whose failure it reports.
    """

    hook: Hook
    name: str
    broken: str = ""
    secret: str = field(default="", repr=False)

    def call(self, notice: Notice, cancellation: Cancellation) -> str:
        """Deliver the notice; return what went wrong, or "". Never raises an Exception."""
        if self.broken:
            return self.broken
        hook = self.hook
        try:
            if hook.command:
                return run_command(hook.command, notice, timeout=hook.timeout, cancellation=cancellation)
            return post(hook.url, notice, secret=self.secret, timeout=hook.timeout, cancellation=cancellation)
        except Exception as error:  # noqa: BLE001 - a hook must never harm what it reports
            return f"{type(error).__name__}: {error}"


def ready_hooks(policy: Policy) -> tuple[ReadyHook, ...]:
    """Return the policy's hooks, in its order; a secret that cannot be had makes a hook broken, not an error."""
    folder = Path(policy.source).absolute().parent
    return tuple(_ready(place, hook, folder) for place, hook in enumerate(policy.hooks))


def _ready(place: int, hook: Hook, folder: Path) -> ReadyHook:
    if hook.command:
        return ReadyHook(hook=hook, name=f"notify[{place}] (command {Path(hook.command[0]).name})")
    # Without path and query: they often are a key by themselves.
    name = f"notify[{place}] (webhook {urlsplit(hook.url).hostname or '?'})"
    if not hook.secret:
        return ReadyHook(hook=hook, name=name)
    try:
        secret = Secrets.resolve({"secret": hook.secret}, folder=folder, register=lambda _: None)
    except HearthError as error:
        return ReadyHook(hook=hook, name=name, broken=str(error))
    return ReadyHook(hook=hook, name=name, secret=secret)
