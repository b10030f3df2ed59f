"""Whom a policy wants told: commands and webhooks, by event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.security._policy_reading import Section

__all__ = ["EVENTS", "Hook"]

EVENTS = ("request", "approval", "denial", "start", "finish", "failure", "escalation", "restore", "recorder_failure")
"""What can be told. `recorder_failure` is the alert: recording stopped."""

KNOWN = {"on", "command", "url", "secret", "timeout"}
_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Hook:
    """One command or webhook. `secret` is the reference (`env:NAME`, `file:PATH`) of the key that signs a webhook."""

    on: tuple[str, ...]
    command: tuple[str, ...] = ()
    url: str = ""
    secret: str = ""
    timeout: float = 10.0

    @classmethod
    def read(cls, section: Section) -> Hook:
        """Read one element of the section `notify`.

        notify:
          - {on: [failure, escalation, recorder_failure], command: [/usr/local/bin/page, "{event}"]}
          - {on: [request], url: "https://chat.example/hook", secret: "env:HOOK_KEY", timeout: 5s}
        """
        on = section.choices("on", {event: event for event in EVENTS})
        if not on:
            section.refuse("on", f"names no event; known are {', '.join(EVENTS)}")
        command, url = section.texts("command"), section.text("url", "") or ""
        if bool(command) == bool(url):
            section.refuse("", "needs either a command (a list) or a url")
        if url and not url.startswith(("http://", "https://")):
            section.refuse("url", "is no http or https address")
        secret = section.text("secret", "") or ""
        if secret and (command or not secret.startswith(("env:", "file:"))):
            section.refuse("secret", "is not env:NAME or file:PATH beside a url")
        timeout = section.seconds("timeout", 10.0) or 10.0
        if timeout > _LONGEST:
            section.refuse("timeout", f"is longer than {_LONGEST:g} s")
        return cls(on, command, url, secret, timeout)
