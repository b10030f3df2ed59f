"""What the host would refuse an ordinary user, a sandbox refuses too, or the preview says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.observe import probe
from tests import ordinary

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not()),
    pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox"),
]
KINDS = ("file_system", "configuration")
SCRIPT = """
for path in /etc/new /opt/new; do touch $path && echo $path >> done; done
rm /etc/hosts && echo hosts >> done
rm -f {kept} && echo kept >> done
touch mine {folder}.new && echo own >> done
"""


def test_an_ordinary_user_is_shown_nothing_that_the_host_would_refuse(repository: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="refused-") as name, tempfile.NamedTemporaryFile() as kept:
        if os.stat(tempfile.gettempdir()).st_mode & 0o1000 == 0:  # noqa: PTH116
            pytest.skip("the folder for temporary files is not sticky")
        folder = Path(name)
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        script = SCRIPT.format(kept=kept.name, folder=folder)
        argv = [sys.executable, "-m", "hearth", "preview", "--json", "--", "sh", "-c", f"cd {folder}; {script}"]
        path = os.pathsep.join((str(repository / "src"), str(repository)))
        ended = ordinary.run_as_nobody(argv, HOME=name, TMPDIR=name, PYTHONPATH=path)
        assert ended.returncode == 0, ended.stderr
        (step,) = json.loads(ended.stdout)["steps"]
        shown = {change["path"]: change["kind"] for change in step["changes"]}
        assert shown == {
            f"{folder}/mine": "created",
            f"{folder}/done": "created",
            f"{folder}.new": "created",
            kept.name: "deleted",
        }
        assert (
            f"the host would refuse that {kept.name} was deleted: in {tempfile.gettempdir()} only its owner may do that"
        ) in step["unseen"]
        assert Path(kept.name).exists()
        assert sorted(folder.iterdir()) == []


def as_nobody(repository: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(repository / "src"), str(repository)))
    argv = ["sh", "-c", 'cd "$0" && exec "$@"', str(folder), sys.executable, "-m", "hearth", *words]
    return ordinary.run_as_nobody(argv, HOME=str(folder), TMPDIR=str(folder), PYTHONPATH=path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="refused-") as name:
        os.chown(name, ordinary.NOBODY, ordinary.NOBODY)
        yield Path(name)


def test_a_change_of_another_users_folder_is_shown_and_said_to_be_refused(repository: Path, folder: Path) -> None:
    mode = Path("/opt").stat().st_mode
    ended = as_nobody(repository, folder, "preview", "--json", "--", "sh", "-c", "chmod 700 /opt")
    (step,) = json.loads(ended.stdout)["steps"]
    (change,) = step["changes"]
    assert (change["path"], change["kind"]) == ("/opt", "metadata")
    assert (change["before"]["mode"], change["after"]["mode"]) == (f"{mode & 0o7777:04o}", "0700")
    assert change["before"]["uid"] == change["after"]["uid"] == 0
    reason = "the host would refuse that /opt was given other permissions, owner or attributes: it is another user's"
    assert reason in step["unseen"]
    assert Path("/opt").stat().st_mode == mode


def test_another_file_in_the_place_of_somebody_elses_is_said_to_be_refused(repository: Path, folder: Path) -> None:
    with tempfile.NamedTemporaryFile() as theirs:
        os.chmod(theirs.name, 0o644)  # noqa: PTH101
        script = f"echo 1 > x; mv -f x {theirs.name}"
        ended = as_nobody(repository, folder, "preview", "--json", "--", "sh", "-c", script)
        (step,) = json.loads(ended.stdout)["steps"]
        assert [(one["path"], one["kind"]) for one in step["changes"]] == [(theirs.name, "modified")]
        reason = f"the host would refuse that {theirs.name} was modified: in {tempfile.gettempdir()} only its owner"
        assert [one for one in step["unseen"] if one.startswith(reason)]


@pytest.mark.parametrize(
    "script, path, why",
    [
        ("chmod 700 /opt; echo 1 > done", "/opt", "it is another user's"),
        ("chmod u+w /etc; touch /etc/z1 && echo 1 > done", "/etc/z1", "/etc is not this user's to write"),
    ],
)
def test_nothing_of_a_live_step_is_committed_where_the_host_would_refuse_a_part(
    repository: Path, folder: Path, script: str, path: str, why: str
) -> None:
    plan = f"plan: p\nsteps:\n  - name: s\n    shell: '{script}'\n    effects:\n"
    plan += "".join(f"      - {{{kind}: {one}}}\n" for kind in KINDS for one in (path, "done"))
    (folder / "plan.yaml").write_text(plan)
    for first in (("init",), ("keygen", "--trust", "ann")):
        assert as_nobody(repository, folder, *first).returncode == 0
    asked = as_nobody(repository, folder, "request", "plan.yaml", "--preview", "--reason", "why")
    assert asked.returncode == 3
    assert f"step 0 cannot do what was shown here: the host would refuse that {path} was" in asked.stderr
    words = ("run", "plan.yaml", "--mode", "live", "--sandbox", "--yes", "--reason", "why", "--id", "run")
    ended = as_nobody(repository, folder, *words)
    assert ended.returncode == 1, ended.stderr
    told = json.loads(as_nobody(repository, folder, "export", "run").stdout)
    (failed,) = (one for one in told["step_events"] if one["event_type"] == "step_failed")
    assert f"the host would refuse that {path} was" in failed["error_message"]
    assert failed["error_message"].endswith(f"{why}: nothing of the step was committed")
    assert not (folder / "done").exists()
    assert not Path("/etc/z1").exists()


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="there is no setfacl to name another user with")
def test_a_list_for_access_that_names_others_is_kept_or_nothing_is_committed(repository: Path, folder: Path) -> None:
    given = ["setfacl", "-m", "u:1:rw,g::r--"]
    for name in ("written", "replaced", "narrowed"):
        (folder / name).write_text("1\n")
        if subprocess.run([*given, str(folder / name)], check=False, capture_output=True).returncode != 0:
            pytest.skip("this file system has no lists for access")
    for path in (folder, *folder.iterdir()):
        os.chown(path, ordinary.NOBODY, ordinary.NOBODY)
    before = os.getxattr(folder / "written", "system.posix_acl_access")
    words = "echo 2 >> written; chmod 640 narrowed; {}"
    plan = "plan: p\nsteps:\n  - name: s\n    shell: '{}'\n    effects:\n"
    plan += "".join(f"      - {{{{file_system: {name}}}}}\n" for name in ("written", "replaced", "narrowed"))
    for first in (("init",), ("keygen", "--trust", "ann")):
        assert as_nobody(repository, folder, *first).returncode == 0
    run = ("run", "plan.yaml", "--mode", "live", "--sandbox", "--yes", "--reason", "why", "--id")
    (folder / "plan.yaml").write_text(plan.format(words.format("sed -i s/1/2/ replaced")))
    ended = as_nobody(repository, folder, *run, "lost")
    assert ended.returncode == 1, ended.stderr
    assert f"{folder}/replaced lost entries of its list for access (ACL)" in " ".join(ended.stdout.split())
    assert (folder / "written").read_text() == (folder / "replaced").read_text() == "1\n"
    (folder / "plan.yaml").write_text(plan.format(words.format("true")))
    ended = as_nobody(repository, folder, *run, "kept")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "written").read_text() == "1\n2\n"
    assert os.getxattr(folder / "written", "system.posix_acl_access") == before
