"""Telling people and programs what happens: commands and webhooks that a policy names. A run never waits for them."""

from __future__ import annotations

from hearth.execution.notify._notice import Notice
from hearth.execution.notify._notifier import PATIENCE, Notifier
from hearth.execution.notify._postures import NoticedPostures, posture_notice
from hearth.execution.notify._runs import RunNotices
from hearth.execution.notify._trial import HookTrial, try_hooks
from hearth.execution.notify._webhook import signature

__all__ = [
    "PATIENCE",
    "HookTrial",
    "Notice",
    "NoticedPostures",
    "Notifier",
    "RunNotices",
    "posture_notice",
    "signature",
    "try_hooks",
]
