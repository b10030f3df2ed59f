"""The import path `stage4` of the integration handoff."""

from __future__ import annotations

__all__ = ()
