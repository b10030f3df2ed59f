"""The policy: what may be acted on without an approval."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from typing import TYPE_CHECKING

from hearth.errors import GateRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy says; the default lists nothing, and so permits nothing.

    `staging_targets` are glob patterns, compared with case; `*` also matches `/` and `:`. A target is
    `sql:<URL without password>` (of SQLite `sql:sqlite:///<path>`), `http:<host>:<port>`, `file:<path>`, or
    `host:<hostname>:<folder>` for code that acts on a host, in the plan's working folder. Paths are absolute and real.
    `source` is the file, for messages.
    """

    staging_targets: tuple[str, ...] = ()
    source: str = "policy.yaml"

    @classmethod
    def from_mapping(cls, document: object, source: str) -> Policy:
        """Read the policy's content, plain data; None is the default policy.

            staging:
              targets: ["host:build-7:/srv/try/*", "file:/srv/try/*", "sql:sqlite:////srv/try/*"]

        Anything else raises GateRefusedError: what the policy would have forbidden is not known then.
        """
        top = _mapping(document, "", {"staging"}, source)
        staging = _mapping(top.get("staging"), "staging", {"targets"}, source)
        targets = staging.get("targets")
        if targets is None:
            targets = []
        if not isinstance(targets, list) or not all(isinstance(target, str) and target for target in targets):
            raise GateRefusedError(f"{source}: staging.targets is not a list of patterns; nothing is run until it is")
        return cls(tuple(targets), source)

    def check_staging(self, targets: Iterable[tuple[str, str]]) -> None:
        """Raise GateRefusedError for the first of `(step, target)` that no pattern matches."""
        for step, target in targets:
            if not any(fnmatchcase(target, pattern) for pattern in self.staging_targets):
                line = json.dumps(escape(target), ensure_ascii=False)
                raise GateRefusedError(
                    f"{step} acts on {target}, which {self.source} does not list for STAGING; "
                    f"if it may be acted on without an approval, add `- {line}` under `staging: targets:`"
                )


def _mapping(value: object, where: str, keys: set[str], source: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GateRefusedError(f"{source}: {where or 'the policy'} is not a mapping; nothing is run until it is")
    for key in value:
        if key not in keys:
            name = f"{where}.{key}" if where else key
            raise GateRefusedError(
                f"{source}: unknown key {name} (known here: {', '.join(sorted(keys))}); nothing is run until it is gone"
            )
    return value
