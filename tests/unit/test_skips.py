"""Where few skips are permitted, a test that is skipped for want of a program has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.skips import is_permitted

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="there is no gcc")
def test_marked():
    pass

def test_calls_it():
    pytest.skip("openssl is not installed")

def test_of_the_machine():
    pytest.skip("this file system knows no holes")

@pytest.mark.xfail
def test_known():
    assert False
"""


@pytest.mark.parametrize("few, ended", [("few", "1 skipped, 1 xfailed, 1 error"), ("", "3 skipped, 1 xfailed")])
def test_a_skip_for_want_of_something_fails(repository: Path, tmp_path: Path, few: str, ended: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        cwd=repository,
        env={**os.environ, "HEARTH_SKIPS": few},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended in done.stdout, done.stdout + done.stderr
    assert done.returncode == bool(few)
    assert ("there is no gcc; here nothing that the tests need may be missing" in done.stdout) == bool(few)


@pytest.mark.parametrize("reason", ["there is no gcc", "no overlay: mount: Operation not permitted", "no setpriv", ""])
def test_what_is_missing_is_no_permitted_reason(reason: str) -> None:
    assert not is_permitted(f"Skipped: {reason}")
