"""ObservedRequest: one HTTP request that a step sent, or that it would send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ObservedRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRequest:
    """A request: `url` without user, password and secrets, `body_sha256` (hex) of what goes with it (None: nothing).

    `sent` is False for one that a preview held back; `status` is the answer's (None: there was none).
    """

    method: str
    url: str
    body_sha256: str | None = None
    sent: bool = False
    status: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "method": self.method,
            "url": self.url,
            "body_sha256": self.body_sha256,
            "sent": self.sent,
            "status": self.status,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        status = document["status"]
        return cls(
            method=str(document["method"]),
            url=str(document["url"]),
            body_sha256=document["body_sha256"],
            sent=document["sent"] is True,
            status=None if status is None else int(status),
        )
