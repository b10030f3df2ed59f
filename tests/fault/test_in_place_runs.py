"""Steps on the host in a run: what the record says of them, what holds them, and what becomes of a dead observer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError, StepFailedError
from hearth.execution import ApprovalExecutor, ContentStore
from hearth.kernel import HearthKernel
from hearth.observe import StepManifest, host_observer_why_not
from hearth.plan import parse_plan
from hearth.record import ExecutionRecord, ExecutionStatus, Origin, SideEffectCategory, strict_loads
from hearth.security import BoundaryState, LiveMode, Policy
from tests import ordinary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.execution import PlanResult

REASON = host_observer_why_not()
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
pytestmark = [
    pytest.mark.skipif(bool(REASON), reason=REASON),
    pytest.mark.skipif(not ROOT, reason="an ordinary user's commands are observed where that is asked for"),
]


def execute(folder: Path, *steps: Mapping[str, Any], **options: Any) -> PlanResult:
    document = {"plan": "placed", "steps": [{"name": f"step {number}", **step} for number, step in enumerate(steps)]}
    kernel = HearthKernel()
    kernel.arm(LiveMode.LIVE, who="somebody", why="a test")
    executor = ApprovalExecutor(kernel, **options)
    return executor.execute(parse_plan(document, folder=folder), mode=LiveMode.LIVE)


def recorded(error: StepFailedError | ArtemisEscalationError) -> ExecutionRecord:
    assert error.execution_record is not None
    return error.execution_record


def observer_processes() -> list[int]:
    """Return the observers that this process has: children of the one that forks them."""
    from hearth.observe._in_place import _SERVER

    server = _SERVER._process
    if server is None:
        return []
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def test_the_record_says_what_a_step_on_the_host_did(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", durable=False)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "old").write_text("old\n")
    record = execute(folder, {"shell": "echo new > new; rm old"}, {"shell": "true"}, store=store).execution_record
    assert record.verify()
    ends = [event.details for event in record.step_events if event.event_type == "step_completed"]
    assert [(end["ran"], end["observed"]) for end in ends] == [("in-place", "seccomp")] * 2
    assert ends[0]["changes"] == {"created": 1, "deleted": 1}
    told = [
        (effect.category, effect.description, effect.reversible, effect.origin)
        for effect in record.side_effects_report.side_effects_observed
    ]
    files, observed = SideEffectCategory.FILE_SYSTEM, Origin.OBSERVED
    assert told == [
        (files, f"{folder}/new was created", True, observed),
        (files, f"{folder}/old was deleted", False, observed),
    ]
    gone = record.side_effects_report.side_effects_observed[1].details
    assert gone["before"]["size"] == 4
    assert gone["before"]["withheld"] == "it was not kept"
    assert not record.side_effects_report.unknown_effects
    kept = StepManifest.from_dict(strict_loads(store.read(ends[0]["manifest"]["sha256"])))
    assert [change.path for change in kept.changes] == [f"{folder}/new", f"{folder}/old"]


def test_no_secret_is_kept_with_what_was_observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the words of programs, not paths, not half of a long one."""
    secret = "".join(f"kestrel{number}plover" for number in range(100))
    monkeypatch.setenv("GIVEN_WORD", secret)
    monkeypatch.setenv("SHORT_WORD", "kestrel-short-plover")
    store = ContentStore(tmp_path / "store", durable=False)
    folder = tmp_path / "here"
    folder.mkdir()
    script = (
        "/bin/true first $WORD last; touch $SHORT; ln -s $SHORT link; rm $SHORT; umount /$SHORT 2> /dev/null || true"
    )
    env = {"WORD": {"secret": "env:GIVEN_WORD"}, "SHORT": {"secret": "env:SHORT_WORD"}}
    record = execute(folder, {"shell": script, "env": env}, store=store).execution_record
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"/bin/true first [redacted:" in kept
    for text in (kept.decode(), str(record.to_dict())):
        assert "kestrel" not in text
        assert "plover" not in text
    (observed,) = (
        effect for effect in record.side_effects_report.side_effects_observed if "link" in effect.description
    )
    assert observed.details["after"]["type"] == "symlink"


def test_what_a_step_does_not_declare_is_reported_and_goes_on(tmp_path: Path) -> None:
    step = {"shell": "echo > one; echo > two", "effects": [{"file_system": "one"}, {"file_system": "three"}]}
    result = execute(tmp_path, step, {"shell": "echo > three"})
    assert result.status is ExecutionStatus.COMPLETED
    report = result.execution_record.side_effects_report
    assert [(one["step_index"], one["what"]) for one in report.undeclared] == [(0, f"{tmp_path}/two was created")]
    assert [one["pattern"] for one in report.missing] == ["three"]


@pytest.mark.parametrize(
    "options", [{"in_place": True}, {"policy": Policy(undeclared=BoundaryState.COMPROMISED)}], ids=["asked", "policy"]
)
def test_a_run_that_is_held_goes_no_further_after_what_is_undeclared(tmp_path: Path, options: Any) -> None:
    step = {"shell": "echo > one; echo > two", "effects": [{"file_system": "one"}]}
    with pytest.raises(ArtemisEscalationError, match="two was created; it was done in place, and stays") as raised:
        execute(tmp_path, step, {"shell": "echo > three"}, **options)
    record = recorded(raised.value)
    assert record.status is ExecutionStatus.INCOMPLETE
    boundary = "COMPROMISED" if "policy" in options else "ELEVATED"
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.boundary_state == boundary
    assert [one["what"] for one in record.side_effects_report.undeclared] == [f"{tmp_path}/two was created"]
    assert len(record.side_effects_report.side_effects_observed) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_step_that_declares_nothing_is_held_to_nothing(tmp_path: Path) -> None:
    result = execute(tmp_path, {"shell": "echo > one"}, in_place=True)
    assert result.status is ExecutionStatus.COMPLETED


def test_what_the_plan_demands_and_does_not_happen_fails_a_held_run(tmp_path: Path) -> None:
    step = {"shell": "echo > one", "effects": [{"file_system": "one"}, {"file_system": "two", "must": True}]}
    assert execute(tmp_path, step).status is ExecutionStatus.COMPLETED
    with pytest.raises(StepFailedError, match="what the plan demands of it \\(two\\)"):
        execute(tmp_path, step, in_place=True)


def test_actions_are_declared_by_the_name_of_their_call(tmp_path: Path) -> None:
    step = {"shell": "umount /nowhere-at-all || true"}
    with pytest.raises(ArtemisEscalationError, match="umount2 /nowhere-at-all was called"):
        execute(tmp_path, {**step, "effects": []}, in_place=True)
    result = execute(tmp_path, {**step, "effects": [{"system": "call:umount2"}]}, in_place=True)
    (effect,) = result.execution_record.side_effects_report.side_effects_observed
    assert (effect.category, effect.details["declared"]) == (SideEffectCategory.SYSTEM, "call:umount2")


def test_a_command_that_cannot_be_started_fails_as_it_does_unobserved(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="there is no such command in PATH"):
        execute(tmp_path, {"shell": {"argv": ["no-such-command-at-all"]}})
    with pytest.raises(StepFailedError, match="too long for the system"):
        execute(tmp_path, {"shell": {"argv": ["true", "x" * (1 << 18)]}})


def test_streams_results_and_inputs_of_commands_are_what_they_were(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("import os\ndef run(a):\n    return [a, sorted(os.environ), os.getcwd()]\n")
    result = execute(
        tmp_path,
        {"python": {"call": "work:run", "args": {"a": 1}}, "env": {"GIVEN": "1"}},
        {"shell": {"argv": ["cat", "-"], "stdin": "given\n"}},
        {"shell": "ls /proc/self/fd | wc -l; grep SigIgn /proc/self/status; echo $GIVEN-; ps -o sid= -p $$; echo $$"},
    )
    first, second, third = (
        event.details for event in result.execution_record.step_events if event.event_type == "step_completed"
    )
    assert first["result"][0] == 1
    assert "GIVEN" in first["result"][1]
    assert first["result"][2] == str(tmp_path)
    assert second["stdout"]["tail"] == "given\n"
    open_ones, ignored, given, session, own = third["stdout"]["tail"].split("\n")[:5]
    assert (open_ones, given) == ("4", "-")
    assert not int(ignored.split()[1], 16) & (
        1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1 | 1 << signal.SIGINT - 1
    )
    assert session.strip() == own


def kill_the_observer(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while not (folder / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in observer_processes():
        os.kill(pid, signal.SIGKILL)
    (folder / "killed").touch()


def test_a_step_whose_observer_is_killed_fails_and_its_calls_with_it(tmp_path: Path) -> None:
    killer = threading.Thread(target=kill_the_observer, args=(tmp_path,))
    killer.start()
    script = "echo > begun; while [ ! -e killed ]; do read x < /proc/loadavg; done; echo > after; exit 0"
    with pytest.raises(StepFailedError, match="the observer of its system calls ended before it did") as raised:
        execute(tmp_path, {"shell": script}, {"shell": "echo > never"})
    killer.join()
    record = recorded(raised.value)
    assert record.status is ExecutionStatus.FAILED
    assert record.verify()
    assert not (tmp_path / "after").exists()
    assert not (tmp_path / "never").exists()
    assert record.side_effects_report.unknown_effects
    assert execute(tmp_path, {"shell": "echo > next"}).status is ExecutionStatus.COMPLETED


def test_an_observer_that_is_killed_while_nothing_is_called_fails_the_step(tmp_path: Path) -> None:
    killer = threading.Thread(target=kill_the_observer, args=(tmp_path,))
    killer.start()
    script = "echo > begun; while [ ! -e killed ]; do read x < /proc/loadavg; done; exit 0"
    with pytest.raises(StepFailedError, match="the observer of its system calls ended before it did"):
        execute(tmp_path, {"shell": script})
    killer.join()


def test_when_the_process_that_forks_observers_is_killed_the_next_step_has_another(tmp_path: Path) -> None:
    from hearth.observe._in_place import _SERVER

    for number in range(3):
        execute(tmp_path, {"shell": f"echo > {number}"})
        assert _SERVER._process is not None
        _SERVER._process.kill()
    record = execute(tmp_path, {"shell": "echo > last"}).execution_record
    changed = [effect.description for effect in record.side_effects_report.side_effects_observed]
    assert changed == [f"{tmp_path}/last was created"]


def test_a_stopped_observer_keeps_nothing_from_being_killed(tmp_path: Path) -> None:
    def stop() -> None:
        deadline = time.monotonic() + 20
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in observer_processes():
            os.kill(pid, signal.SIGSTOP)
            threading.Timer(4, os.kill, (pid, signal.SIGCONT)).start()

    stopper = threading.Thread(target=stop)
    stopper.start()
    began = time.monotonic()
    with pytest.raises(StepFailedError, match="timed out") as raised:
        execute(tmp_path, {"shell": "echo > begun; sleep 1; echo > waits; echo > never", "timeout": 2})
    stopper.join()
    assert time.monotonic() - began < 15
    changed = recorded(raised.value).side_effects_report.side_effects_observed
    assert f"{tmp_path}/begun was created" in [effect.description for effect in changed]
    assert not (tmp_path / "never").exists()


def test_what_a_step_leaves_running_is_ended_and_what_it_did_is_told(tmp_path: Path) -> None:
    script = "setsid sh -c 'echo > begun; sleep 300; echo > late' > /dev/null 2>&1 & while [ ! -e begun ]; do :; done"
    record = execute(tmp_path, {"shell": script}).execution_record
    changed = [effect.description for effect in record.side_effects_report.side_effects_observed]
    assert changed == [f"{tmp_path}/begun was created"]
    assert not record.side_effects_report.unknown_effects


AS_NOBODY = """
import sys
from pathlib import Path
sys.path[:0] = [{repository!r}, {source!r}]
from tests.fault.test_in_place_runs import execute
for asked in (False, True):
    report = execute(Path(sys.argv[1]), {{"shell": "echo > one; rm one; echo > two"}}, in_place=asked).execution_record
    print(report.side_effects_report.unknown_effects, [one["why"] for one in report.to_dict()["side_effects_report"]
        ["unknown_effects_why"]], [one.description for one in report.side_effects_report.side_effects_observed])
    Path(sys.argv[1], "two").unlink()
"""


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_users_steps_are_observed_where_that_was_asked_for(repository: Path) -> None:
    folder = Path("/tmp") / f"placed-{os.getpid()}"
    folder.mkdir()
    code = AS_NOBODY.format(repository=str(repository), source=str(repository / "src"))
    try:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        ended = ordinary.run_as_nobody([sys.executable, "-c", code, str(folder)], HOME=str(folder), TMPDIR=str(folder))
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    unasked, asked = ended.stdout.splitlines() or ("", ended.stderr)
    assert unasked.startswith("True [")
    assert "`--in-place` has it observed, and makes sudo powerless" in unasked
    assert unasked.endswith("[]")
    assert asked == f"False [] ['{folder}/two was created']", ended.stderr
