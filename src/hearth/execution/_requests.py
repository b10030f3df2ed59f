"""What an http step is about to send, and what it did send, as requests that can be held against a declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.execution.tasks._request_body import body_sha256
from hearth.execution.tasks._urls import safe_url
from hearth.observe import ObservedRequest
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.execution._results import ObservedEffect, StepOutcome
    from hearth.plan import Step

__all__ = ["requests_of", "sent_effects", "wanted_request"]


def wanted_request(step: Step) -> ObservedRequest:
    """Return the first request that the step is about to send."""
    method, url = str(step.params["method"]).upper(), safe_url(str(step.params["url"]))
    return ObservedRequest(method=method, url=url, body_sha256=body_sha256(step.params))


def sent_effects(outcome: StepOutcome) -> list[ObservedEffect]:
    """Return the effects of an http step that are requests: the first one and, in their order, redirects."""
    return [effect for effect in outcome.side_effects if effect.category is SideEffectCategory.NETWORK]


def requests_of(sent: Sequence[ObservedEffect], first: ObservedRequest) -> tuple[ObservedRequest, ...]:
    """Return these effects as requests; the first one was known before."""
    return tuple(
        ObservedRequest(
            method=str(effect.details["method"]),
            url=first.url if number == 0 else str(effect.details["url"]),
            body_sha256=first.body_sha256 if number == 0 else None,
            sent=True,
            status=effect.details["status"],
        )
        for number, effect in enumerate(sent)
    )
