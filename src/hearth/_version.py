"""The version of the distribution and of the recorder, as entry 0 of a record states it."""

from __future__ import annotations

__version__ = "0.1.0"
