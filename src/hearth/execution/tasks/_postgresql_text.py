"""SQL texts as PostgreSQL's scanner reads them: which words and names stand in one, outside of literals and comments.

PostgreSQL's documentation, 4.1 "Lexical Structure". What is read for the safety of a preview errs to the safe side:
what could be read in another way than the server does is named in `doubt`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["PostgresText", "read_postgresql"]

_SPACE = re.compile(r"(?:[ \t\n\r\f\v]|--[^\n\r]*)+")
_WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*", re.ASCII)
_ESCAPED = re.compile(r"[eE]'(?:\\.|''|[^'\\])*'", re.DOTALL)
_STRING = re.compile(r"(?:[bBxXnN]|[uU]&)?'(?:''|[^'])*'")
_QUOTED = re.compile(r'"((?:""|[^"])*)"')
_DOLLAR = re.compile(r"\$((?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$", re.ASCII)
_LONGEST_NAME = 63  # bytes; the server cuts longer ones (NAMEDATALEN)
_CAPITALS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class PostgresText:
    """`verb` is the first word or sign; `names` are all words and quoted names, as the server compares them.

    `literals` are strings, also dollar-quoted ones. `several` says that something follows a semicolon, `doubt` what
    cannot be read for certain.
    """

    verb: str
    names: frozenset[str]
    literals: tuple[str, ...]
    several: bool
    doubt: str


def read_postgresql(text: str) -> PostgresText:
    """Read one statement; standard_conforming_strings is taken to be on."""
    reading = _Reading(text)
    ended = several = False
    while reading.position < len(text) and not reading.doubt:
        before = reading.tokens
        ended = ended or text[reading.position] == ";"
        reading.step()
        several = several or (ended and reading.tokens > before)
    return PostgresText(reading.verb, frozenset(reading.names), tuple(reading.literals), several, reading.doubt)


class _Reading:
    """How far a text has been read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0
        self.tokens = 0
        self.verb = ""
        self.names: set[str] = set()
        self.literals: list[str] = []
        self.doubt = ""

    def step(self) -> None:
        """Read one token, comment or space."""
        text, at = self._text, self.position
        if (found := _SPACE.match(text, at)) is not None:
            self.position = found.end()
        elif text.startswith("/*", at):
            self.position = _end_of_comment(text, at)
            self.doubt = "" if self.position else "a comment does not end"
        elif text[at : at + 3].lower() == 'u&"':
            self.doubt = 'a name is written as U&"…", which is not read here'
        elif (found := _QUOTED.match(text, at)) is not None:
            self._name(found, found[1].replace('""', '"'))
        elif not self._is_string() and (found := _WORD.match(text, at)) is not None:
            self._name(found, found[0].translate(_CAPITALS))
        elif self.position == at:
            self.verb = self.verb or text[at]
            self.position += 1
            self.tokens += text[at] != ";"
            self.doubt = "a quote does not end" if text[at] in "'\"" else self.doubt

    def _is_string(self) -> bool:
        """Read a string, if one begins here."""
        text, at = self._text, self.position
        if (found := _ESCAPED.match(text, at)) is not None:
            self._literal(found[0])
            after = _SPACE.match(text, self.position)
            if after is not None and text.startswith("'", after.end()):
                self.doubt = "a string with escapes goes on in another line, which is not read here"
        elif (found := _STRING.match(text, at)) is not None:
            self._literal(found[0])
        elif (found := _DOLLAR.match(text, at)) is not None:
            end = text.find(found[0], found.end())
            self.doubt = "" if end >= 0 else f"what begins with {found[0]} does not end"
            self._literal(text[at : end + len(found[0])] if end >= 0 else text[at:])
        else:
            return False
        return True

    def _literal(self, whole: str) -> None:
        self.verb = self.verb or "'"
        self.tokens += 1
        self.literals.append(whole)
        self.position += len(whole)

    def _name(self, found: re.Match[str], name: str) -> None:
        name = name.encode("utf-8", "surrogatepass")[:_LONGEST_NAME].decode("utf-8", "ignore")
        self.verb = self.verb or name
        self.tokens += 1
        self.names.add(name)
        self.position = found.end()


def _end_of_comment(text: str, at: int) -> int:
    """Return where a comment ends that may hold others; 0 where it does not."""
    depth = 0
    for sign in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if sign[0] == "/*" else -1
        if not depth:
            return at + sign.end()
    return 0
