"""The import path `core` of the integration handoff."""

from __future__ import annotations

__all__ = ()
