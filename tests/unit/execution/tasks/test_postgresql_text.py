"""How PostgreSQL reads a text: which words stand in it, and what is only looked like by the inside of a literal."""

from __future__ import annotations

import pytest

from hearth.execution.tasks._postgresql_text import read_postgresql


@pytest.mark.parametrize(
    "text, verb, names, literals",
    [
        ("COPY t TO 'x'", "copy", {"copy", "t", "to"}, ("'x'",)),
        ("/* a /* b */ c */ -- d\n(SELECT 1)", "(", {"select"}, ()),
        ('SELECT "A""b", "C" FROM É', "select", {"select", 'A"b', "C", "from", "É"}, ()),
        ("SELECT 'a''b--', E'\\'c', $$d ' e$$, $f$g $$ h$f$", "select", {"select"}, None),
        ("SELECT 'a\\', b, ' c'", "select", {"select", "b"}, ("'a\\'", "' c'")),
        ("SELECT $1, a$b$c, x'1F', U&'d!0061' UESCAPE '!'", "select", {"select", "a$b$c", "uescape"}, None),
        ("SELECT a.b::c", "select", {"select", "a", "b", "c"}, ()),
        ("SELECT '/*', \"*/\"", "select", {"select", "*/"}, ("'/*'",)),
        (f"SELECT {'n' * 70}()", "select", {"select", "n" * 63}, ()),
        ("'a' ", "'", set(), ("'a'",)),
        ("", "", set(), ()),
    ],
)
def test_reading(text: str, verb: str, names: set[str], literals: tuple[str, ...] | None) -> None:
    read = read_postgresql(text)
    assert (read.verb, set(read.names), read.doubt) == (verb, names, "")
    if literals is not None:
        assert read.literals == literals


@pytest.mark.parametrize(
    "text, doubt",
    [
        ('SELECT U&"lo!005fexport"(1)', "U&"),
        ("SELECT E'a'\n'b\\'c'", "goes on in another line"),
        ("SELECT 'a", "a quote does not end"),
        ('SELECT "a', "a quote does not end"),
        ("SELECT $a$ $b$", "what begins with $a$ does not end"),
        ("SELECT /* /* */ 1", "a comment does not end"),
    ],
)
def test_what_is_not_read_for_certain_is_said(text: str, doubt: str) -> None:
    assert doubt in read_postgresql(text).doubt


@pytest.mark.parametrize(
    "text, several",
    [("SELECT ';' -- ; x", False), ("SELECT 1 ; ; /* x */", False), ("SELECT 1; COPY t TO 'x'", True), (";;1", True)],
)
def test_several_statements(text: str, several: bool) -> None:
    assert read_postgresql(text).several is several
