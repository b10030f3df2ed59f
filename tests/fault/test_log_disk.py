"""A volume for the log that fills up: before a run no step starts, after it the next update tells of the run."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault.test_recorder_failure import why_no_namespace

if TYPE_CHECKING:
    from pathlib import Path

# In a mount namespace of its own: the log's folder is a small volume, which is full, then filled by the step itself.
DRIVER = """
import json, shutil, subprocess, sys
from pathlib import Path

folder = Path(sys.argv[1])
log, fill = folder / ".hearth" / "transparency", folder / ".hearth" / "transparency" / "fill"
shutil.copytree(log, folder / "kept")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "none", log], check=True)
shutil.copytree(folder / "kept", log, dirs_exist_ok=True)

def hearth(*words):
    done = subprocess.run(
        [sys.executable, "-m", "hearth", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}

def fill_up():
    with fill.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass

told = {}
fill_up()
told["full"] = hearth("run", "plan.yaml", "--mode", "staging", "--id", "refused")
told["acted when full"] = (folder / "acted").exists()
told["lockdown when full"] = hearth("lockdown", "--reason", "drill")
fill.unlink()
told["state"] = hearth("state", "--json")
print(json.dumps(told))
"""
FILLING = (
    DRIVER[: DRIVER.index("told = {}")]
    + """
told = {}
told["run"] = hearth("run", "filling.yaml", "--mode", "staging", "--id", "filled")
told["status when full"] = hearth("log", "status", "--json")
fill.unlink()
told["status"] = hearth("log", "status", "--json")
told["update"] = hearth("log", "update", "--json")
told["verify"] = hearth("log", "verify", "--json")
told["next"] = hearth("run", "plan.yaml", "--mode", "staging", "--id", "next")
told["fsck"] = hearth("fsck", "--json")
print(json.dumps(told))
"""
)


def drive(tmp_path: Path, driver: str) -> dict[str, Any]:
    if why_no_namespace():
        pytest.skip(why_no_namespace())
    home = tmp_path / ".hearth"
    (tmp_path / "plan.yaml").write_text("plan: acts\nsteps: [{name: Act, shell: 'touch acted'}]\n")
    fills = f"head -c 10000000 /dev/zero > {home / 'transparency' / 'fill'} || true"
    (tmp_path / "filling.yaml").write_text(json.dumps({"plan": "fills", "steps": [{"name": "Fill", "shell": fills}]}))
    for words in (["init"], ["log", "init", "--origin", "example.org/disk"]):
        subprocess.run([sys.executable, "-m", "hearth", *words], cwd=tmp_path, check=True, capture_output=True)
    (home / "policy.yaml").write_text(json.dumps({"staging": {"targets": [f"host:*:{tmp_path}"]}}))
    argv = ["unshare", "-rm", sys.executable, "-c", driver, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout
    return dict(json.loads(done.stdout))


def test_where_the_log_cannot_take_up_a_run_no_step_starts(tmp_path: Path) -> None:
    told = drive(tmp_path, DRIVER)
    assert told["full"]["code"] != 0
    assert "so no step starts" in " ".join(told["full"]["err"].split())
    assert told["acted when full"] is False
    # A stop needs no evidence: it stands, and the log tells of it later.
    assert told["lockdown when full"]["code"] == 0
    assert "the transparency log does not tell of it yet" in " ".join(told["lockdown when full"]["err"].split())
    assert json.loads(told["state"]["out"])["security"] == "LOCKDOWN"


def test_what_the_log_cannot_take_up_after_a_run_is_told_by_the_next_update(tmp_path: Path) -> None:
    told = drive(tmp_path, FILLING)
    assert told["run"]["code"] == 0, told["run"]["err"]
    assert "is in the ledger, and the transparency log does not tell of it yet" in " ".join(told["run"]["err"].split())
    assert json.loads(told["status"]["out"])["waiting"] == 1
    assert json.loads(told["update"]["out"])["added"] == 1
    assert json.loads(told["verify"]["out"])["ok"] is True
    assert told["next"]["code"] == 0
    assert json.loads(told["fsck"]["out"])["ok"] is True
