from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from hearth.execution import scrubbed_environment

if TYPE_CHECKING:
    from hearth.plan import InputCopies


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    for name, value in {
        "PATH": "/bin", "HOME": "/home/x", "LANG": "C.UTF-8", "LC_TIME": "de_DE", "TZ": "UTC",
        "AWS_SECRET_ACCESS_KEY": "s3cret", "PYTHONPATH": "/evil", "LD_PRELOAD": "/evil.so", "SSH_AUTH_SOCK": "/x",
        "HEARTH_INPUTS": "/stale", "HEARTH_HOME": "/h",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def test_only_what_programs_need_is_kept() -> None:
    kept = {"PATH": "/bin", "HOME": "/home/x", "LANG": "C.UTF-8", "LC_TIME": "de_DE", "TZ": "UTC"}
    assert scrubbed_environment({}, {}) == kept


def test_the_step_outranks_the_plan_and_the_plan_outranks_what_is_kept() -> None:
    result = scrubbed_environment({"PATH": "/opt/bin", "A": "plan", "B": "plan"}, {"B": "step"})
    assert (result["PATH"], result["A"], result["B"]) == ("/opt/bin", "plan", "step")


def test_the_folder_of_the_inputs_outranks_everything() -> None:
    inputs = cast("InputCopies", SimpleNamespace(folder="/private/inputs"))
    assert (
        scrubbed_environment({"HEARTH_INPUTS": "/a"}, {"HEARTH_INPUTS": "/b"}, inputs)["HEARTH_INPUTS"]
        == "/private/inputs"
    )


def test_without_inputs_there_is_no_such_folder() -> None:
    assert "HEARTH_INPUTS" not in scrubbed_environment({"HEARTH_INPUTS": "/a"}, {})


def test_without_a_search_path_the_platforms_own_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert scrubbed_environment({}, {})["PATH"] == os.defpath
