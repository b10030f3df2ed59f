"""ReportFolder: reports of detectors outside are taken once, and what is none is doubt."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from hearth.execution._reports import ReportFolder
from hearth.security import BoundaryState, Finding, SecurityState

if TYPE_CHECKING:
    from pathlib import Path

OLD = 10.0


def write(folder: Path, content: Any, name: str = "falco-1.json", *, age: float = OLD) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def take(folder: Path) -> list[Finding]:
    told: list[Finding] = []
    assert ReportFolder(folder).take(told.append) == len(told)
    return told


def names(folder: Path) -> list[str]:
    return sorted(path.name.rsplit(".", 1)[0] for path in folder.iterdir()) if folder.exists() else []


def test_a_report_is_told_once_and_moved_aside(tmp_path: Path) -> None:
    write(
        tmp_path, {"security": "compromised", "boundary": "ELEVATED", "reason": "a shell in nginx", "source": "falco"}
    )
    (tmp_path / "notes.txt").touch()
    assert take(tmp_path) == [
        Finding(
            security=SecurityState.COMPROMISED,
            boundary=BoundaryState.ELEVATED,
            reason="a shell in nginx",
            source="falco",
        )
    ]
    assert take(tmp_path) == []
    assert names(tmp_path / "taken") == ["falco-1.json"]
    assert take(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff",
        b"{}" + b" " * (1 << 17),
        [],
        {"reason": "x", "source": "y"},
        {"security": "SUNNY", "reason": "x", "source": "y"},
        {"security": 3, "reason": "x", "source": "y"},
        {"boundary": "DEGRADED", "reason": "x", "source": "y"},
        {"security": "LOCKDOWN", "source": "y"},
        {"security": "LOCKDOWN", "reason": " ", "source": "y"},
        {"security": "LOCKDOWN", "reason": "x", "source": ["y"]},
        {"security": "LOCKDOWN", "reason": "x", "source": "y", "severity": 9},
    ],
    ids=str,
)
def test_what_is_no_report_is_doubt(tmp_path: Path, content: Any) -> None:
    write(tmp_path, content)
    (finding,) = take(tmp_path)
    assert (finding.security, finding.boundary, finding.source) == (SecurityState.DEGRADED, None, "reports")
    assert finding.reason.startswith("a report from outside cannot be understood (falco-1.json): ")
    assert names(tmp_path / "refused") == ["falco-1.json"]
    assert take(tmp_path) == []


def test_a_file_that_is_being_written_is_left_for_a_second(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"security": "LOCK', age=0)
    assert take(tmp_path) == []
    assert path.exists()
    write(tmp_path, {"security": "LOCKDOWN", "reason": "x", "source": "y"}, age=0)
    assert [finding.security for finding in take(tmp_path)] == [SecurityState.LOCKDOWN]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as on POSIX")
def test_what_is_no_file_is_doubt_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").symlink_to("/etc/passwd")
    (tmp_path / "c.json").mkdir()
    assert {finding.security for finding in take(tmp_path)} == {SecurityState.DEGRADED}
    assert names(tmp_path / "refused") == ["a.json", "b.json", "c.json"]


def test_a_report_that_was_not_told_stays(tmp_path: Path) -> None:
    path = write(tmp_path, {"security": "LOCKDOWN", "reason": "x", "source": "y"})

    def fail(_: Finding) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        ReportFolder(tmp_path).take(fail)
    assert path.exists()


def test_a_report_that_cannot_be_moved_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"security": "LOCKDOWN", "reason": "x", "source": "y"})
    (tmp_path / "taken").touch()
    folder, told = ReportFolder(tmp_path), list[Finding]()
    folder.take(told.append)
    folder.take(told.append)
    assert len(told) == 1
    assert "cannot be moved aside" in caplog.text
