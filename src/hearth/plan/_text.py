"""A plan as the text that a person reads: YAML with a plan's keys in the order in which one would write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["plan_text", "yaml_text"]

_FIRST = ("plan", "description", "variables", "cwd", "env", "concurrency", "inputs", "disclosable")
_OTHER_ENDS = frozenset("\r\x85\u2028\u2029\ufeff")
_STEP_LAST = ("effects", "rollback", "undo", "timeout", "volatile", "env")


def plan_text(document: Mapping[str, Any]) -> str:
    """Return a plan's document as YAML that reads as the plan file does, whatever order its canonical form had.

    Nothing is left out: keys that are not known stand behind the others.
    """
    steps = [_step(step) if isinstance(step, dict) else step for step in document["steps"]]
    return yaml_text(_in_order({**document, "steps": steps}, _FIRST, ("steps",)))


def yaml_text(value: Any) -> str:  # noqa: ANN401 - a JSON tree
    """Return a value as YAML in blocks; texts of several lines have them as lines.

    Read again it is the same value. Control characters are escaped.
    """
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )
    return text.removesuffix("...\n")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and no anchors: what one reads stands where it counts."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # The line ends that YAML knows besides LF would be read again as LF, or as a blank.
    style = '"' if _OTHER_ENDS & set(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
# A plan's own mappings and lists are frozen ones.
_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
_Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)


def _step(step: dict[str, Any]) -> dict[str, Any]:
    ordered = _in_order(step, ("name",), _STEP_LAST)
    if isinstance(ordered.get("rollback"), dict):
        ordered["rollback"] = _in_order(ordered["rollback"], ("description", "actions"), ())
    return ordered


def _in_order(document: Mapping[str, Any], first: tuple[str, ...], last: tuple[str, ...]) -> dict[str, Any]:
    rest = (key for key in document if key not in first and key not in last)
    return {key: document[key] for key in (*first, *rest, *last) if key in document}
