"""What a step really did: sandbox, layers and manifest, SQL effects, committing and taking back. Names load lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.observe._change import Change, ChangeKind
    from hearth.observe._node import Node, NodeType

__all__ = ["Change", "ChangeKind", "Node", "NodeType"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Change": "_change",
        "ChangeKind": "_change",
        "Node": "_node",
        "NodeType": "_node",
    },
)
