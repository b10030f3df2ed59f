"""Who runs this: the system's word, not a variable's."""

from __future__ import annotations

import os

import pytest

from hearth.operations import person

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="users of POSIX")


@posix
def test_the_user_database_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert person() == pwd.getpwuid(os.getuid()).pw_name


@posix
def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_123)
    assert person() == "uid 3999999123"


@posix
def test_behind_sudo_the_caller_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    assert person() == "root (sudo by alice)"


@posix
def test_the_word_of_sudo_counts_for_root_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_123)
    monkeypatch.setenv("SUDO_USER", "alice")
    assert "alice" not in person()
