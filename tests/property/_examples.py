"""How many examples a property gets that says so itself."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["examples"]


def examples(count: int, **more: Any) -> settings:
    """Return settings for `count` examples, of which `make soak` does as many times more as of hypothesis' hundred."""
    return settings(max_examples=count * (settings().max_examples // 100), **more)
