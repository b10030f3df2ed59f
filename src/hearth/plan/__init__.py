"""The plan room: what is to be done, loaded strictly, immutable, with a digest (docs/plan-format.md).

`load_plan` reads a plan file; `parse_plan` takes a mapping. Names load when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.plan._approval import DECISION_TYPE, REQUEST_TYPE, ApprovalDecision, ApprovalRequest
    from hearth.plan._consistency import check_consistent
    from hearth.plan._copies import InputCopies
    from hearth.plan._digest import plan_digest
    from hearth.plan._effects import DeclaredEffect, parse_effect
    from hearth.plan._grant import Circumstances, Grant, grant
    from hearth.plan._hints import RollbackHint
    from hearth.plan._load import load_plan, parse_plan
    from hearth.plan._model import Plan, Step
    from hearth.plan._patterns import escaped, has_wildcard, name_matches, path_matches, url_matches
    from hearth.plan._ports import ApprovalStore, TaskSpec
    from hearth.plan._schema import plan_schema
    from hearth.plan._secrets import Secrets
    from hearth.plan._tasks import load_tasks
    from hearth.plan._text import plan_text, yaml_text

__all__ = [
    "DECISION_TYPE",
    "REQUEST_TYPE",
    "ApprovalDecision",
    "ApprovalRequest",
    "ApprovalStore",
    "Circumstances",
    "DeclaredEffect",
    "Grant",
    "InputCopies",
    "Plan",
    "RollbackHint",
    "Secrets",
    "Step",
    "TaskSpec",
    "check_consistent",
    "escaped",
    "grant",
    "has_wildcard",
    "load_plan",
    "load_tasks",
    "name_matches",
    "parse_effect",
    "parse_plan",
    "path_matches",
    "plan_digest",
    "plan_schema",
    "plan_text",
    "url_matches",
    "yaml_text",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DECISION_TYPE": "_approval",
        "REQUEST_TYPE": "_approval",
        "ApprovalDecision": "_approval",
        "ApprovalRequest": "_approval",
        "ApprovalStore": "_ports",
        "Circumstances": "_grant",
        "DeclaredEffect": "_effects",
        "Grant": "_grant",
        "InputCopies": "_copies",
        "Plan": "_model",
        "RollbackHint": "_hints",
        "Secrets": "_secrets",
        "Step": "_model",
        "TaskSpec": "_ports",
        "check_consistent": "_consistency",
        "escaped": "_patterns",
        "grant": "_grant",
        "load_plan": "_load",
        "load_tasks": "_tasks",
        "parse_effect": "_effects",
        "parse_plan": "_load",
        "has_wildcard": "_patterns",
        "name_matches": "_patterns",
        "path_matches": "_patterns",
        "plan_digest": "_digest",
        "plan_schema": "_schema",
        "plan_text": "_text",
        "url_matches": "_patterns",
        "yaml_text": "_text",
    },
)
