"""When recording stops, the run stops before its next action, says what, where and what to do, and sends an alert.

Every fault is the system's own: files moved by a step, full and read-only volumes in a mount namespace, and errors and
delays that strace puts into single system calls. Each run is the command itself, in STAGING, and ends with `recover`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from hearth.operations import Records, initialise, recover
from hearth.record import ExecutionRecord, SealCause, StepEventType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.ledger import LedgerHome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands are a POSIX shell's")

ID = "run-1"
DEADLINE = 1.0
# The command, with a deadline for the disk that a test can wait for.
HEARTH = (
    "import hearth.recorder._journal as j\n"
    f"j.Journal.create.__func__.__kwdefaults__['deadline'] = {DEADLINE}\n"
    "from hearth.cli import main\n"
    "main()\n"
)


@cache
def why_no_namespace() -> str:
    """Say why volumes cannot be mounted here, or ""."""
    if shutil.which("unshare") is None:
        return "there is no unshare"
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


@cache
def why_no_strace() -> str:
    """Say why no system call can be made to fail here, or ""."""
    if shutil.which("strace") is None:
        return "there is no strace"
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"strace cannot inject: {tried.stderr.strip()}"


@dataclass(frozen=True)
class Ended:
    """A run of the command that has ended."""

    code: int
    said: str
    seconds: float
    folder: Path
    home: LedgerHome

    @property
    def acted(self) -> list[int]:
        """Which steps have really acted."""
        return sorted(int(path.suffix[1:]) for path in self.folder.glob("acted.*"))

    @property
    def alert(self) -> Any:
        """What the hook was told; it stands before the command has ended."""
        return json.loads((self.folder / "alert").read_text())

    def recovered(self) -> ExecutionRecord:
        """What is in the ledger once everything was recovered."""
        with Records(self.home) as records:
            assert all(outcome.ok for outcome in recover(records)), "what was recorded is whole"
            return records.read(records.find(ID))


class Bench:
    """A ledger, a hook that keeps its alert, and a plan of steps that leave a file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.home = initialise(folder / ".hearth").home
        self.journal = self.home.journal_path(ID)
        self.journals = self.journal.parent

    def run(
        self, first: str, *, steps: int = 3, free_space: int = 0, around: Sequence[str] = (), before: str = ""
    ) -> Ended:
        """Run `steps` steps, of which the first one does `first`; `before` is done in the same namespace."""
        alert = self.folder / "alert"
        hook = ["sh", "-c", f"cat >'{alert}.new' && mv '{alert}.new' '{alert}'"]
        self.home.policy.write_text(
            json.dumps(
                {
                    "staging": {"targets": [f"host:*:{self.work}"]},
                    "notify": [{"on": ["recorder_failure"], "command": hook}],
                    "journal": {"free_space_mb": free_space},
                }
            )
        )
        plan = self.folder / "plan.json"
        acts = [f"touch '{self.folder}/acted.{number}'\n{first if number == 0 else ''}" for number in range(steps)]
        document = {
            "plan": "fault",
            "cwd": str(self.work),
            "steps": [{"name": f"step {number}", "shell": act} for number, act in enumerate(acts)],
        }
        plan.write_text(json.dumps(document))
        words = [sys.executable, "-c", HEARTH, "--home", str(self.home.root), "run", str(plan)]
        words += ["--mode", "staging", "--id", ID]
        if before:
            words = ["sh", "-c", f'{before} && exec "$@"', "sh", *words]
        began = time.monotonic()
        ended = subprocess.run(
            [*around, *words], capture_output=True, text=True, timeout=60, check=False, cwd=self.folder
        )
        seconds = time.monotonic() - began
        return Ended(ended.returncode, ended.stdout + ended.stderr, seconds, self.folder, self.home)

    def traced(self, calls: str, *injections: str) -> list[str]:
        """Return what puts faults into calls on the journal alone."""
        faults = [word for injection in injections for word in ("-e", f"inject={injection}")]
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(self.journal), "-e", f"trace={calls}", *faults]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def namespace() -> list[str]:
    """What runs a command where it may mount volumes."""
    if why_no_namespace():
        pytest.skip(why_no_namespace())
    return ["unshare", "-rm"]


@pytest.fixture
def strace() -> None:
    if why_no_strace():
        pytest.skip(why_no_strace())


def assert_stopped(ended: Ended, bench: Bench, *words: str, acted: Sequence[int] = (0,)) -> None:
    """The run stopped, said what, where and what to do, and the alert says the same."""
    assert ended.code == 1, ended.said
    assert ended.acted == list(acted), ended.said
    for word in (str(bench.journals), *words):
        assert word in ended.said, ended.said
    alert = ended.alert
    assert (alert["event"], alert["execution_id"], alert["plan_id"]) == ("recorder_failure", ID, "fault")
    for word in (str(bench.journals), *words[:1]):
        assert word in alert["reason"]


def assert_recovered(ended: Ended, *causes: SealCause) -> None:
    record = ended.recovered()
    assert record.verify()
    assert record.cause in (causes or (SealCause.RECOVERED,))
    started = {event.step_index for event in record.step_events if event.event_type is StepEventType.STEP_STARTED}
    assert started >= set(ended.acted), "no step acted without evidence"


# --- the file


@pytest.mark.parametrize(
    "act, word",
    [
        ("rm '{0}'", "the file is gone"),
        ("mv '{0}' '{0}.old'", "the file is gone"),
        ("cp '{0}' '{0}.new' && mv '{0}.new' '{0}'", "another file has taken its place"),
    ],
    ids=["unlinked", "renamed", "replaced"],
)
def test_a_journal_that_loses_its_name(bench: Bench, act: str, word: str) -> None:
    ended = bench.run(act.format(bench.journal))
    assert_stopped(ended, bench, word, "hearth recover")
    if "rm" not in act:
        old = bench.journal.with_name(bench.journal.name + ".old")
        if old.exists():
            old.rename(bench.journal)
        assert_recovered(ended)


def test_a_journal_that_somebody_else_writes_to(bench: Bench) -> None:
    ended = bench.run(f"echo forged >>'{bench.journal}'")
    assert_stopped(ended, bench, "somebody else has changed the file", "hearth recover")


# --- the volume


def test_a_volume_that_fills_up(bench: Bench, namespace: list[str]) -> None:
    """The journal's last page still takes lines; the first one that does not fit ends the run."""
    fill = f"cat /dev/zero >'{bench.journals}/fill' 2>/dev/null || true"
    mount = f"mount -t tmpfs -o size=1m none '{bench.journals}'"
    ended = bench.run(fill, steps=40, around=namespace, before=mount)
    assert 0 < len(ended.acted) < 40
    assert_stopped(ended, bench, "No space left on device", "hearth recover", acted=ended.acted)


def test_too_little_room_is_noticed_before_the_volume_is_full(bench: Bench, namespace: list[str]) -> None:
    """So the seal still fits, and the record says why it ended."""
    fill = f"head -c 3000000 /dev/zero >'{bench.journals}/fill'"
    mount = f"mount -t tmpfs -o size=4m none '{bench.journals}'"
    ended = bench.run(fill, free_space=2, around=namespace, before=mount)
    assert_stopped(ended, bench, "free where the journal lies", "make room")
    assert_recovered(ended, SealCause.RECORDER_FAILURE)
    assert "step 1 (step 1) was not begun" in ended.recovered().completion_reason


def test_a_volume_that_becomes_read_only(bench: Bench, namespace: list[str]) -> None:
    """As after `mount -o remount,ro` of a bind mount: what is open stays writable, so the run can be sealed."""
    act = f"mount --bind '{bench.journals}' '{bench.journals}' && mount -o remount,bind,ro '{bench.journals}'"
    ended = bench.run(act, around=namespace)
    assert_stopped(ended, bench, "read-only", "Mend it")
    assert_recovered(ended, SealCause.RECORDER_FAILURE)


def test_a_volume_with_an_open_journal_is_not_made_read_only(bench: Bench, namespace: list[str]) -> None:
    """The kernel refuses (EBUSY), so the step fails, and the recorder goes on."""
    mount = f"mount -t tmpfs -o size=4m none '{bench.journals}'"
    ended = bench.run(f"mount -o remount,ro '{bench.journals}'", around=namespace, before=mount)
    assert ended.code == 1
    assert ended.acted == [0]
    assert not (bench.folder / "alert").exists()
    assert ended.recovered().cause is SealCause.FAILED


def test_another_volume_over_the_journals(bench: Bench, namespace: list[str]) -> None:
    ended = bench.run(f"mount -t tmpfs -o ro none '{bench.journals}'", around=namespace)
    assert_stopped(ended, bench, "the file is gone", "hearth recover")
    assert_recovered(ended)


def test_a_volume_that_is_read_only_from_the_start(bench: Bench, namespace: list[str]) -> None:
    mount = f"mount -t tmpfs -o ro none '{bench.journals}'"
    ended = bench.run("true", around=namespace, before=mount)
    assert ended.code == 1
    assert ended.acted == []
    assert "Read-only file system" in ended.said
    assert "Nothing was started" in ended.said
    assert ended.alert["event"] == "recorder_failure"


# --- the system calls


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    "call, code, word",
    [
        ("write", "ENOSPC", "No space left on device"),
        ("write", "EDQUOT", "Disk quota exceeded"),
        ("write", "EROFS", "Read-only file system"),
        ("write", "EIO", "Input/output error"),
        ("fdatasync", "EIO", "Input/output error"),
        ("fdatasync", "EDQUOT", "Disk quota exceeded"),
        ("fdatasync", "ENOSPC", "No space left on device"),
    ],
)
def test_an_error_of_the_disk(bench: Bench, call: str, code: str, word: str) -> None:
    """From the second call of a thread on: mostly at the end of the first step, or at the second one's start."""
    ended = bench.run("true", around=bench.traced(call, f"{call}:error={code}:when=2+"))
    assert ended.acted in ([], [0])
    assert_stopped(ended, bench, word, "hearth recover", acted=ended.acted)
    assert_recovered(ended)


@pytest.mark.usefixtures("strace")
def test_a_disk_that_hangs_past_the_deadline(bench: Bench) -> None:
    """The caller is held by the disk, so it does not act; the alert goes out meanwhile, from the watchdog."""
    hang = 6.0
    traced = bench.traced("fdatasync", f"fdatasync:delay_enter={int(hang * 1e6)}:when=2")
    ended = bench.run("true", around=traced)
    assert ended.acted in ([], [0]), "in busy times the journal's thread syncs the first start, as its second commit"
    assert_stopped(ended, bench, f"did not answer within {DEADLINE:g} s", "hearth recover", acted=ended.acted)
    told = (bench.folder / "alert").stat().st_mtime
    assert time.time() - told > (hang - DEADLINE) / 2, "long before the disk answered"
    assert_recovered(ended)
