"""Say what HEARTH saw of each step of an exported record, and what of it the plan did not declare.

    python seen.py september.json

It ends with 1 where something was undeclared or missing, or where the record does not hold.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth import ExecutionRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDS = ("step_completed", "step_failed")


def content(node: Any) -> str:  # noqa: ANN401  # what JSON holds
    """Return how the SHA-256 of a file's content begins, or what else it is."""
    return "nothing" if node is None else str(node["sha256"])[:8] if "sha256" in node else f"a {node['type']}"


def what(details: Mapping[str, object]) -> str:
    """Return one observed effect in words: a path with its content before and after, a table's rows, or a request."""
    match details:
        case {"path": str(path), "before": before, "after": after}:
            return f"{os.path.relpath(path)}  {content(before)} → {content(after)}"
        case {"table": table, "inserted": inserted, "updated": updated, "deleted": deleted}:
            return f"rows of {table}  +{inserted} ~{updated} -{deleted}"
        case {"method": method, "url": url, "status": status}:
            return f"{method} {url}  {status}"
    return json.dumps(details)


def main(file: str) -> int:
    """Print the record's steps; 0 when nothing was undeclared or missing."""
    record = ExecutionRecord.from_dict(json.loads(Path(file).read_text(encoding="utf-8")))
    report = record.side_effects_report
    for event in record.step_events:
        if event.event_type not in ENDS:
            continue
        print(f"{event.step_index} {event.step_name}  ran: {event.details.get('ran', 'on the host')}")
        for effect in report.side_effects_observed:
            if effect.step_index == event.step_index and effect.origin == "observed":
                print(f"    {what(effect.details)}")
    print(f"undeclared: {list(report.undeclared) or 'nothing'}, missing: {list(report.missing) or 'nothing'}")
    return 0 if record.verify() and not report.undeclared and not report.missing else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
