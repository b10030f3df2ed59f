"""What a command did is told from what it could not print: a full disk under stdout, or no stdout at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.ledger import Ledger, LedgerHome
from hearth.operations import initialise
from hearth.plan import load_plan
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL = Path("/dev/full")
SAID = "hearth: failed: the output could not be written ("

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    (tmp_path / "plan.yaml").write_text("plan: say\nsteps:\n  - name: Say\n    shell: echo said\n")
    return initialise(tmp_path / ".hearth").home


def hearth(home: LedgerHome, arguments: Sequence[str], redirect: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and stderr of a command whose stdout the shell redirects."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-m", "hearth", *arguments],
        cwd=home.root.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("redirect", [">/dev/full", ">&-"])
@pytest.mark.parametrize("arguments", [["approvals", "--json"], ["approvals"], ["list"], ["--version"]])
def test_what_cannot_be_printed_ends_in_one_plain_line(
    home: LedgerHome, arguments: list[str], redirect: str, unbuffered: str
) -> None:
    code, told = hearth(home, arguments, redirect, PYTHONUNBUFFERED=unbuffered)
    assert (code, told.count("\n")) == (1, 1), told
    assert told.startswith(SAID)


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-"])
@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_a_run_whose_output_is_lost_says_that_it_stands(home: LedgerHome, options: list[str], redirect: str) -> None:
    code, told = hearth(home, ["run", "plan.yaml", "--id", "one", *options], redirect)
    assert code == 1
    assert SAID in told
    assert "what the command did stands, and is stored: `hearth show last`" in told
    with Ledger.open(home) as ledger:
        assert ledger.get("one").verify()


@pytest.mark.parametrize("arguments", [["state"], ["state", "--json"], ["fsck"], ["approvals"], ["list"]])
def test_what_only_looks_says_nothing_of_what_stands(home: LedgerHome, arguments: list[str]) -> None:
    code, told = hearth(home, arguments, ">/dev/full")
    assert (code, told) == (1, f"{SAID}No space left on device)\n")


@pytest.mark.parametrize(
    "arguments, where",
    [
        (["lockdown", "--reason", "stop"], "`hearth state`"),
        (["deny", "REQUEST", "--reason", "no"], "`hearth approvals`"),
        (["request", "plan.yaml", "--reason", "once more"], "`hearth approvals`"),
    ],
)
def test_what_was_done_is_told_by_the_command_that_shows_it(home: LedgerHome, arguments: list[str], where: str) -> None:
    key = approving.trust(home)
    request = approving.approve(home, load_plan(home.root.parent / "plan.yaml"), key)
    given = [request if word == "REQUEST" else word for word in arguments]
    code, told = hearth(home, given, ">/dev/full", HEARTH_KEY=str(key))
    assert code == 1
    assert f"what the command did stands, and is stored: {where} tells of" in told
    assert "hearth show last" not in told


@pytest.mark.parametrize("arguments", [["approvals"], ["state"], ["list"]])
def test_whoever_reads_nothing_of_a_pipe_changes_no_exit_code(home: LedgerHome, arguments: list[str]) -> None:
    for options in ([], ["--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as pipe:  # noqa: PTH123 - a descriptor
            done = subprocess.run(
                [sys.executable, "-m", "hearth", *arguments, *options],
                cwd=home.root.parent,
                stdout=pipe,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, b""), options


@pytest.mark.parametrize("arguments", [["show", "nothing"], ["show", "nothing", "--json"]])
def test_another_error_keeps_its_own_line_and_code(home: LedgerHome, arguments: list[str]) -> None:
    code, told = hearth(home, arguments, ">/dev/full")
    assert code == 2
    assert told.startswith("hearth: error: ")
    assert SAID not in told


def test_without_stderr_it_goes_on(home: LedgerHome) -> None:
    assert hearth(home, ["run", "plan.yaml", "--id", "one"], "2>&-")[0] == 0
    assert hearth(home, ["show", "nothing"], "2>&- >&-")[0] == 2
