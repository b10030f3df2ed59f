"""A plain import stays light: the handoff's names and `hearth --help` load no database, network or crypto library."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("alembic", "cryptography", "httpx", "sqlalchemy", "starlette")

HANDOFF = """
from artemis.execution_observability import (
    ExecutionObserver, ExecutionRecord, ExecutionStatus, RollbackHint, RollbackPlanner, RollbackScaffold,
    SecuritySnapshot, SideEffect, SideEffectCategory, SideEffectReport, StepEvent, StepEventType,
)
from core.kernel import HearthKernel
from stage4.approval_executor import ApprovalExecutor, ArtemisEscalationError
"""

HELP = """
import sys
sys.argv = ["hearth", "--help"]
try:
    from hearth.cli import main
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""

RECORDING = (
    HANDOFF
    + """
kernel = HearthKernel()
observer = ExecutionObserver("run-1", "plan-1", kernel)
observer.record_step_started(0, "first")
observer.record_side_effect(SideEffectCategory.OTHER, "something", step_index=0)
observer.record_step_completed(0, "first")
observer.mark_completed()
record = observer.get_execution_record("DRY_RUN")
assert record.verify()
assert ExecutionRecord.from_dict(record.to_dict()) == record
RollbackPlanner.plan_rollback(record)
"""
)


def loaded_by(tmp_path: Path, code: str) -> set[str]:
    """Top-level names among HEAVY that a fresh interpreter has loaded after `code`."""
    probe = f"""{code}
import json, sys
with open({str(tmp_path / "loaded.json")!r}, "w") as file:
    json.dump(sorted({{name.partition(".")[0] for name in sys.modules}}), file)
"""
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    return set(json.loads((tmp_path / "loaded.json").read_text())) & set(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import hearth", id="import hearth"),
        pytest.param(HANDOFF, id="the handoff's names"),
        pytest.param(RECORDING, id="recording and verifying"),
        pytest.param(HELP, id="hearth --help"),
    ],
)
def test_stays_light(tmp_path: Path, code: str) -> None:
    assert loaded_by(tmp_path, code) == set()


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    assert loaded_by(tmp_path, "import httpx, sqlalchemy.engine") == {"httpx", "sqlalchemy"}


@pytest.mark.parametrize("name", ["artemis.execution_observability", "core.kernel", "stage4.approval_executor"])
def test_each_handoff_path_imports_alone(tmp_path: Path, name: str) -> None:
    assert loaded_by(tmp_path, f"import {name}") == set()
