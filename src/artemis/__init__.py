"""The import path that the integration handoff promised; the code lives in `hearth`."""

from __future__ import annotations

__all__: list[str] = []
