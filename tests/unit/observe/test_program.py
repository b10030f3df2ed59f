"""A program's line: a shell reads the same words from it, and no quote in it hides a secret."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.execution._manifest_effects import without_secrets
from hearth.observe import StepManifest, Way, program_name, program_text, reconcile, unquoted
from hearth.plan import parse_effect
from hearth.record import Redactor

if TYPE_CHECKING:
    from pathlib import Path

WORDS = st.lists(st.text("ab '\"\\$\n-=#é", max_size=6), min_size=1, max_size=4)


def redacted(*words: str, known: str = "") -> str:
    redactor = Redactor()
    if known:
        redactor.add_secret(known)
    seen = StepManifest(index=0, name="x", way=Way.SANDBOX, programs=(program_text(words),))
    return without_secrets(seen, redactor).programs[0]


@given(WORDS)
def test_a_shell_reads_the_same_words(words: list[str]) -> None:
    text = program_text(words)
    assert shlex.split(text) == words
    assert unquoted(text) == " ".join(words)
    assert program_name(text) == words[0]


@given(st.lists(st.binary(min_size=1, max_size=5).filter(lambda word: b"\0" not in word), min_size=1, max_size=3))
def test_words_that_are_no_text_can_be_written_down_and_copied(words: list[bytes]) -> None:
    given = [os.fsdecode(word) for word in words]
    text = program_text(given)
    assert text.encode()
    assert unquoted(text) == " ".join(given)
    assert program_name(text) == given[0]


def test_bash_reads_the_same_bytes() -> None:
    words = [b"x\xff", b"a'b\\n\xfe c", "é\\".encode() + b"\x80"]
    line = program_text(["printf", "%s\\0", *map(os.fsdecode, words)])
    told = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert told.stdout.split(b"\0")[:-1] == words


def test_a_secret_beside_such_bytes_is_hidden() -> None:
    told = redacted("mysql", "-ph#nter2", os.fsdecode(b"x\xff"))
    assert "h#nter2" not in told
    assert told.encode()


def test_words_that_are_not_told_stay_as_they_are() -> None:
    assert program_text(["./tool", "a b", "…", "1"]) == "./tool 'a b' … 1"


@pytest.mark.parametrize(
    "words",
    [
        ("mysql", "-ph#nter2"),
        ("curl", "-uann:h#nter2", "https://example.test/"),
        ("tool", "--password", "h#nter2"),
        ("sh", "-c", "API_TOKEN=h#nter2 ./deploy"),
    ],
)
def test_quotes_hide_no_secret(words: tuple[str, ...]) -> None:
    assert "h#nter2" not in redacted(*words)


@pytest.mark.parametrize("secret", ["it's one", "two words", "a$b;c"])
def test_nor_one_that_is_known_even_where_it_was_split_into_words(secret: str) -> None:
    for words in (("echo", secret), ("echo", *secret.split()), ("sh", "-c", f"echo '{secret}'")):
        assert secret not in unquoted(redacted(*words, known=secret))
        assert "[redacted:" in redacted(*words, known=secret)


def test_nor_where_a_program_is_not_declared(tmp_path: Path) -> None:
    line = program_text(["mysql", "-ph#nter2"])
    seen = StepManifest(index=0, name="x", way=Way.SANDBOX, programs=(line,))
    (said,) = reconcile(seen, [parse_effect({"system": "program:ls"})], tmp_path).undeclared
    assert "h#nter2" not in Redactor().text(said)


def test_what_holds_none_can_be_copied() -> None:
    assert redacted("sh", "-c", "echo a > 'b c'") == """sh -c 'echo a > '"'"'b c'"'"''"""
