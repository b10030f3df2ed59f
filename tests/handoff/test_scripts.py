"""The handoff's three scripts: they run anywhere, say what they promise, and each check of theirs can fail."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import artemis.execution_observability as handoff
from hearth.errors import StepFailedError
from hearth.execution import ApprovalExecutor
from hearth.execution import _steps as steps
from hearth.execution._results import read_outcome
from hearth.operations import verify_file
from hearth.record import (
    ExecutionRecord,
    ExecutionStatus,
    FrozenDict,
    FrozenList,
    SecuritySnapshot,
    SideEffectCategory,
    Verdict,
    utc_now,
)
from hearth.recorder import ExecutionObserver
from hearth.recorder._appender import Appender
from hearth.rollback import RollbackPlanner

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]
VERIFY = "verify_execution_observability.py"
EXAMPLES = "run_observability_examples.py"
STAGE4 = "stage4_cli.py"
CHECKS = (
    "imports", "observer", "hash links", "failed execution", "side effects", "rollback scaffold", "security snapshots",
    "immutability",
)  # fmt: skip


def run(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the repository as a user would, in another folder."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONUTF8": "1"} | environment,
        stdin=subprocess.DEVNULL,
    )


def verification(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    """Run the verification in this process; return its exit code, the checks that failed, and its last line."""
    code = runpy.run_path(str(REPOSITORY / VERIFY))["main"]()
    lines = capsys.readouterr().out.splitlines()
    failed = [line.split("FAILED  ")[1].split(":")[0] for line in lines if "FAILED  " in line]
    return code, failed, lines[-1]


# --- verify_execution_observability.py -------------------------------------------------------------------------------


def test_verification_passes(tmp_path: Path) -> None:
    result = run(tmp_path, VERIFY)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split("PASSED  ")[1].split(":")[0] for line in lines[:-1]] == list(CHECKS)
    assert lines[-1] == "8/8 PASSED"
    assert list(tmp_path.iterdir()) == []


def lose_a_name(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(handoff, "RollbackHint")


def shim_another_class(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handoff, "ExecutionObserver", type("ExecutionObserver", (ExecutionObserver,), {}))


def hide_a_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handoff, "__all__", [name for name in handoff.__all__ if name != "StepEvent"])


def record_after_the_seal(patch: pytest.MonkeyPatch) -> None:
    original = Appender.__init__

    def create(self: Appender, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        append = self.append
        self.append = lambda *entry, **more: append(*entry, **{**more, "shuts": None})
        self.status = lambda: ExecutionStatus.STARTED

    patch.setattr(Appender, "__init__", create)


def forget_error_messages(patch: pytest.MonkeyPatch) -> None:
    original = ExecutionObserver.record_step_failed

    def record(self: ExecutionObserver, step_index: int, step_name: str, _: str | None, details: object = None) -> None:
        # Stage 4's own errors go through `failed execution`; this is the observer's.
        original(self, step_index, step_name, _ if step_name == "import" else "", details)

    patch.setattr(ExecutionObserver, "record_step_failed", record)


def believe_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ExecutionRecord, "verify", lambda _: Verdict(ok=True))


def name_the_wrong_entry(patch: pytest.MonkeyPatch) -> None:
    original = ExecutionRecord.verify

    def verify(self: ExecutionRecord) -> Verdict:
        verdict = original(self)
        return verdict or replace(verdict, first_bad=0)

    patch.setattr(ExecutionRecord, "verify", verify)


def go_on_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "read_outcome", lambda result: replace(read_outcome(result), failed=False))


def raise_without_the_record(patch: pytest.MonkeyPatch) -> None:
    original = StepFailedError.__init__

    def initialise(self: StepFailedError, message: str, _: object = None, **more: Any) -> None:
        original(self, message, None, **more)

    patch.setattr(StepFailedError, "__init__", initialise)


def call_every_effect_other(patch: pytest.MonkeyPatch) -> None:
    original = ExecutionObserver.record_side_effect

    def record(self: ExecutionObserver, _: object, *rest: Any, **more: Any) -> None:
        original(self, SideEffectCategory.OTHER, *rest, **more)

    patch.setattr(ExecutionObserver, "record_side_effect", record)


def leave_effects_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "read_outcome", lambda result: replace(read_outcome(result), side_effects=()))


def list_hints_forwards(patch: pytest.MonkeyPatch) -> None:
    original = RollbackPlanner.plan_rollback

    def plan(record: ExecutionRecord, hints: Any = None) -> object:
        scaffold = original(record, hints)
        return replace(scaffold, rollback_hints=scaffold.rollback_hints[::-1])

    patch.setattr(RollbackPlanner, "plan_rollback", staticmethod(plan))


def always_allow_rollback(patch: pytest.MonkeyPatch) -> None:
    original = RollbackPlanner.plan_rollback
    patch.setattr(
        RollbackPlanner,
        "plan_rollback",
        staticmethod(lambda record, hints=None: replace(original(record, hints), is_rollback_possible=True)),
    )


def call_every_state_operational(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        SecuritySnapshot,
        "from_kernel",
        classmethod(lambda cls, _, context="": cls(utc_now(), "OPERATIONAL", "NOMINAL", context)),
    )


def ignore_escalations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ApprovalExecutor, "execute", without_kernel(ApprovalExecutor.execute))


def without_kernel(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(self: ApprovalExecutor, *arguments: Any, **more: Any) -> object:
        self._kernel = None
        return original(self, *arguments, **more)

    return execute


def let_mappings_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FrozenDict, "__setitem__", dict.__setitem__)


def let_lists_grow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FrozenList, "append", list.append)


SABOTAGES: list[tuple[str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("imports", lose_a_name),
    ("imports", shim_another_class),
    ("imports", hide_a_name),
    ("observer", record_after_the_seal),
    ("observer", forget_error_messages),
    ("hash links", believe_everything),
    ("hash links", name_the_wrong_entry),
    ("failed execution", go_on_after_a_failure),
    ("failed execution", raise_without_the_record),
    ("side effects", call_every_effect_other),
    ("side effects", leave_effects_out),
    ("rollback scaffold", list_hints_forwards),
    ("rollback scaffold", always_allow_rollback),
    ("security snapshots", call_every_state_operational),
    ("security snapshots", ignore_escalations),
    ("immutability", let_mappings_change),
    ("immutability", let_lists_grow),
]


def test_every_check_is_sabotaged() -> None:
    assert {check for check, _ in SABOTAGES} == set(CHECKS)


@pytest.mark.parametrize("check, sabotage", SABOTAGES, ids=lambda value: getattr(value, "__name__", None))
def test_each_check_fails_alone_when_what_it_checks_is_broken(
    check: str,
    sabotage: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        sabotage(patch)
        assert verification(capsys) == (1, [check], "7/8 PASSED")
    assert verification(capsys) == (0, [], "8/8 PASSED")


def test_a_sabotaged_installation_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from hearth.record import FrozenDict\nFrozenDict.__setitem__ = dict.__setitem__\n"
    )
    result = run(tmp_path, VERIFY, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "FAILED  immutability" in result.stdout
    assert result.stdout.endswith("7/8 PASSED\n")


# --- run_observability_examples.py -----------------------------------------------------------------------------------


def test_the_examples_pass_and_teach(tmp_path: Path) -> None:
    result = run(tmp_path, EXAMPLES)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    titles = [line.split(". ")[1].split(":")[0] for line in lines if line.startswith("--- ")]
    assert titles == [
        "basic record", "failed execution", "side effects", "escalation", "rollback scaffold", "summary",
    ]  # fmt: skip
    assert lines[-1] == "6/6 PASSED"
    assert len(lines) > 50
    assert list(tmp_path.iterdir()) == []


def test_an_example_that_does_not_come_out_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    list_hints_forwards(monkeypatch)
    assert runpy.run_path(str(REPOSITORY / EXAMPLES))["main"]() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "5/6 PASSED"


def test_the_examples_run_on_a_poor_terminal(tmp_path: Path) -> None:
    result = run(tmp_path, EXAMPLES, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0
    assert result.stdout.endswith("6/6 PASSED\n")


# --- stage4_cli.py ---------------------------------------------------------------------------------------------------


def test_the_observation_is_saved_and_verifies(tmp_path: Path) -> None:
    result = run(tmp_path, STAGE4, "--test-observation")
    assert (result.returncode, result.stderr) == (0, "")
    (path,) = (tmp_path / "executions").glob("*.json")
    assert verify_file(path).verdict
    record = json.loads(path.read_bytes())
    assert record["status"] == "completed"
    assert record["side_effects_report"]["side_effects_observed"]
    assert str(path) in result.stdout
    assert "verified" in result.stdout
    assert [item.name for item in tmp_path.iterdir()] == ["executions"]


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """A plan that writes a file, then fails."""
    path = tmp_path / "plan.yaml"
    path.write_text(
        "plan: two\n"
        "steps:\n"
        "  - {name: Write, file: {write: made.txt, content: made}}\n"
        "  - {name: Fail, file: {delete: never-there.txt}}\n"
    )
    return path


def test_a_plan_is_a_dry_run_unless_it_is_said(tmp_path: Path, plan_file: Path) -> None:
    result = run(tmp_path, STAGE4, str(plan_file))
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "made.txt").exists()
    (path,) = (tmp_path / "executions").glob("*.json")
    assert json.loads(path.read_bytes())["live_mode_state"] == "DRY_RUN"


def test_a_live_plan_needs_a_confirmation(tmp_path: Path, plan_file: Path) -> None:
    refused = run(tmp_path, STAGE4, str(plan_file), "--mode", "live")
    assert refused.returncode == 3
    assert "--yes and --reason" in refused.stderr
    assert not (tmp_path / "made.txt").exists()
    result = run(tmp_path, STAGE4, str(plan_file), "--mode", "live", "--yes", "--reason", "a test", "--json")
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert (told["status"], told["exit_code"], told["steps_completed"]) == ("failed", 1, 1)
    assert (tmp_path / "made.txt").exists()
    record = json.loads(Path(told["where"]).read_bytes())
    assert record["marks"][0]["details"]["approval"]["reason"] == "a test"


@pytest.mark.parametrize("arguments", [[], ["plan.yaml", "--test-observation"], ["nothing.yaml"], ["--nonsense"]])
def test_misuse_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    result = run(tmp_path, STAGE4, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("script, last", [(VERIFY, "8/8 PASSED"), (EXAMPLES, "6/6 PASSED"), (STAGE4, "")])
def test_from_a_source_tree_that_is_not_installed(tmp_path: Path, script: str, last: str) -> None:
    """Without the distribution there are no entry points and no path to the package: the script brings both."""
    shutil.copytree(REPOSITORY / "src", tmp_path / "tree" / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / script, tmp_path / "tree")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata, sys\n"
        f"sys.path[:] = [path for path in sys.path if path != {str(REPOSITORY / 'src')!r}]\n"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]\n"
        "real = metadata.entry_points\n"
        "metadata.entry_points = lambda **chosen: () if chosen.get('group') == 'hearth.tasks' else real(**chosen)\n"
        "try:\n    import hearth\n"
        "except ModuleNotFoundError:\n    pass\n"
        "else:\n    raise SystemExit('it is installed')\n"
    )
    command = [sys.executable, str(tmp_path / "tree" / script), *(["--test-observation"] if script == STAGE4 else [])]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(hidden), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert not last or result.stdout.endswith(f"{last}\n")
