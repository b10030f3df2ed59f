"""A ledger on a volume that fills up while a plan runs: what is left, and what recovery makes of it once there is room.

Everything is on the volume: the journal, the outputs, the ledger's database, the copy of the plan. Where in a run the
room ends is tried out from the first byte on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault.test_recorder_failure import why_no_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

STEPS = 6
# Kilobytes that are left at the second step. Half of them end the journal, the others an output, a seal or the ledger.
MOMENTS = (0, 4, 12, 20, 36, 56, 96, 600)
# In a mount namespace of its own: for each moment a fresh volume of a megabyte, a run, and what one would do then.
DRIVER = '''
import contextlib, gc, importlib, json, os, pkgutil, shutil, subprocess, sys
from pathlib import Path
import alembic.command, alembic.runtime.migration, jsonschema, rich.console, rich.table, sqlalchemy.dialects.sqlite
import hearth
from hearth.cli import main
from hearth.recorder._reading import scan_journal

for module in pkgutil.walk_packages(hearth.__path__, "hearth."):
    if "migrations" not in module.name and not module.name.endswith(("__main__", "_child")):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
gc.freeze()

folder, steps, moments = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
volume = folder / "volume"
home, fill = volume / "home", volume / "fill"

def hearth(*words):
    """The command in a process of its own; forked, because loading all of it takes longest."""
    said = [folder / "out", folder / "err"]
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for stream, path in enumerate(said, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = ["hearth", "--home", str(home), *words]
        main()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    out, err = (path.read_text() for path in said)
    return {"code": os.waitstatus_to_exitcode(status), "out": out, "err": err}

def started(entries):
    return [entry["step_index"] for entry in entries if entry["event_type"] == "step_started"]

for left in moments:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", volume], check=True)
    shutil.copytree(folder / "empty", home)
    acted = folder / f"acted-{left}"
    free = f"$(stat -f -c '%a * %S' '{volume}')"
    acts = [f"echo {number} >>'{acted}'" for number in range(steps)]
    acts[1] += f"\\nhead -c $(({free} - {left} * 1024)) /dev/zero >'{fill}'"
    acts[2:] = [f"{act}\\nhead -c 3000 /dev/urandom | od -An -tx1" for act in acts[2:]]
    plan = {"plan": "fill", "steps": [{"name": f"step {n}", "shell": act} for n, act in enumerate(acts)]}
    (folder / "plan.json").write_text(json.dumps(plan))
    told = {"left": left, "run": hearth("run", "plan.json", "--mode", "staging", "--id", "run")}
    told["acted"] = [int(line) for line in acted.read_text().split()] if acted.exists() else []
    journals = [path for path in (home / "journals").iterdir() if path.suffix == ".journal"]
    told["journal"] = started(scan_journal(journals[0], keep=True).entries) if journals else None
    told["recover, full"] = hearth("recover")
    fill.unlink()
    told["recover"] = hearth("recover", "--json")
    told["verify"] = hearth("verify", "--all", "--json")
    told["show"] = hearth("show", "run", "--json")
    told["left over"] = [path.name for path in (home / "journals").iterdir() if path.suffix == ".journal"]
    print(json.dumps(told), flush=True)
    subprocess.run(["umount", volume], check=True)
'''


@dataclass(frozen=True)
class Moment:
    """What was seen of one run, on a volume that had so much left."""

    told: dict[str, Any]

    def code(self, name: str) -> int:
        return int(self.told[name]["code"])

    def said(self, name: str) -> str:
        return str(self.told[name]["out"] + self.told[name]["err"])

    @property
    def acted(self) -> list[int]:
        return list(self.told["acted"])

    @property
    def record(self) -> dict[str, Any]:
        return dict(json.loads(self.told["show"]["out"])["record"])


def fill_up(folder: Path, moments: Sequence[int]) -> Iterator[Moment]:
    if why_no_namespace():
        pytest.skip(why_no_namespace())
    empty = folder / "empty"
    made = [sys.executable, "-m", "hearth", "--home", str(empty), "init"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    policy = {"staging": {"targets": [f"host:*:{folder}"]}, "journal": {"free_space_mb": 0}}
    (empty / "policy.yaml").write_text(json.dumps(policy))
    (folder / "volume").mkdir()
    driver = [sys.executable, "-c", DRIVER, str(folder), str(STEPS), json.dumps(moments)]
    ended = subprocess.run(
        ["unshare", "-rm", *driver], capture_output=True, text=True, check=False, timeout=60 + 60 * len(moments)
    )
    assert ended.returncode == 0, ended.stderr
    yield from (Moment(json.loads(line)) for line in ended.stdout.splitlines())


def check(moment: Moment) -> None:
    intended = moment.told["journal"]
    if moment.code("run"):
        said = moment.said("run")
        assert "No space left on device" in said or "the disk is full" in said
        assert "hearth recover" in said, "it says what to do"
        assert ", verified" not in said or "its journal, verified" in said, (
            "what could not be stored is not in the ledger"
        )
    assert "Traceback" not in "".join(map(moment.said, ("run", "recover, full")))
    assert moment.acted == list(range(len(moment.acted))), "a step ran twice, or out of order"
    if intended is not None:
        assert set(moment.acted) <= set(intended), "a step acted without its intent on disk"

    assert moment.code("recover") == 0, moment.said("recover")
    assert moment.code("verify") == 0, moment.said("verify")
    assert moment.told["left over"] == []
    events = moment.record["step_events"]
    started = [event["step_index"] for event in events if event["event_type"] == "step_started"]
    assert set(moment.acted) <= set(started)
    if intended is not None:
        assert started[: len(intended)] == intended, "what was on disk stays"


def test_a_ledger_on_a_volume_that_fills_up(tmp_path: Path) -> None:
    moments = list(fill_up(tmp_path, MOMENTS))
    assert [moment.told["left"] for moment in moments] == list(MOMENTS)
    for moment in moments:
        check(moment)
    ends = [moment.record["status"] for moment in moments]
    assert {"incomplete", "failed", "completed"} == set(ends), f"choose other moments: {ends}"
    assert moments[0].code("run") == 1
    assert moments[-1].code("run") == 0, "with room enough it completes"


@pytest.mark.soak
def test_a_ledger_on_a_volume_that_fills_up_page_by_page(tmp_path: Path) -> None:
    for moment in fill_up(tmp_path, [*range(0, 200, 4)]):
        check(moment)
