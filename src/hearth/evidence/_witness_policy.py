"""Which witnesses a checkpoint needs: a policy of logs, witnesses, groups and a quorum (C2SP tlog-policy)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._note import COSIGNATURE, ED25519, NoteKey
from hearth.evidence._witness_address import WitnessAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.evidence._note import Note
    from hearth.signing import PublicKey

__all__ = ["PolicyGroup", "PolicyWitness", "WitnessPolicy"]

_LARGEST = 1 << 20
_NONE = "none"
_BLANK = re.compile(rb"[ \t]+")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_LINES = {
    "log": "log VKEY [URL]",
    "witness": "witness NAME VKEY [URL]",
    "group": "group NAME all|any|NUMBER MEMBER…",
    "quorum": "quorum NAME",
}


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness, by the name that groups call it; `url` is only for asking it, and may be missing."""

    name: str
    key: NoteKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """A group has witnessed what at least so many of its members have; members are witnesses and earlier groups."""

    name: str
    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """What makes a checkpoint valid: one of the logs signed it, and `quorum`, a witness or a group, witnessed it.

    The quorum `none` asks for no cosignature. Without logs, that the right one signed it is known otherwise.
    EvidenceError where a name or a key stands twice, or is not defined before it is used.
    """

    logs: tuple[NoteKey, ...] = ()
    witnesses: tuple[PolicyWitness, ...] = ()
    groups: tuple[PolicyGroup, ...] = ()
    quorum: str = _NONE

    def __post_init__(self) -> None:
        known = _Known()
        for log in self.logs:
            known.log(log)
        for witness in self.witnesses:
            known.witness(witness)
        for group in self.groups:
            known.group(group)
        known.require(self.quorum)

    @classmethod
    def of(cls, keys: Sequence[NoteKey], quorum: int, *, logs: Sequence[NoteKey] = ()) -> Self:
        """Return the policy that asks for the cosignatures of any so many of these keys."""
        names = [key.name for key in keys]
        witnesses = tuple(PolicyWitness(key.name if names.count(key.name) == 1 else str(key), key) for key in keys)
        if not quorum:
            return cls(tuple(logs), witnesses)
        group = PolicyGroup("any of them", quorum, tuple(one.name for one in witnesses))
        return cls(tuple(logs), witnesses, (group,), group.name)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a policy file; EvidenceError names the line."""
        if len(data) > _LARGEST:
            raise EvidenceError(f"a policy of {len(data)} bytes is refused; the most is {_LARGEST}")
        known = _Known()
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                _read_line(known, line)
            except EvidenceError as error:
                raise EvidenceError(f"line {number} of the policy: {error}") from None
        if known.quorum is None:
            raise EvidenceError(f"the policy has no line `{_LINES['quorum']}`; `quorum none` asks for no cosignature")
        return cls(tuple(known.logs), tuple(known.witnesses), tuple(known.groups), known.quorum)

    @property
    def addresses(self) -> tuple[WitnessAddress, ...]:
        """The witnesses that can be asked, because the policy has their addresses."""
        return tuple(WitnessAddress(one.url, one.key) for one in self.witnesses if one.url is not None)

    def check(self, note: Note) -> Checkpoint:
        """Return the checkpoint in a note; EvidenceError unless one of the logs and the quorum signed it."""
        checkpoint = Checkpoint.parse(note.text)
        logs = [key for key in self.logs if key.name == checkpoint.origin]
        if self.logs and not logs:
            raise EvidenceError(f"the checkpoint is of the log {_shown(checkpoint.origin)}, which is not in the policy")
        signed = note.verified_by([*logs, *(one.key for one in self.witnesses)])
        if logs and not any(key in signed for key in logs):
            raise EvidenceError(f"no key that the policy has for the log {checkpoint.origin} signed the checkpoint")
        done = {one.name for one in self.witnesses if one.key in signed}
        for group in self.groups:
            if sum(member in done for member in group.members) >= group.least:
                done.add(group.name)
        if self.quorum != _NONE and self.quorum not in done:
            has = ", ".join(_shown(one.name) for one in self.witnesses if one.name in done) or "none"
            raise EvidenceError(
                f"the checkpoint of {checkpoint.origin} with {checkpoint.size} entries has too few cosignatures: the "
                f"policy asks for {self._asked(self.quorum)}, and it has {has}"
            )
        return checkpoint

    def _asked(self, name: str) -> str:
        """Return what a quorum asks for, in words."""
        group = next((one for one in self.groups if one.name == name), None)
        if group is None:
            return _shown(name)
        return f"{_shown(name)} ({group.least} of {', '.join(map(_shown, group.members))})"


@dataclass(slots=True)
class _Known:
    """What is defined so far; each method adds one, or raises EvidenceError."""

    logs: list[NoteKey] = field(default_factory=list)
    witnesses: list[PolicyWitness] = field(default_factory=list)
    groups: list[PolicyGroup] = field(default_factory=list)
    quorum: str | None = None
    _names: set[str] = field(default_factory=set)
    _members: set[str] = field(default_factory=set)
    _log_keys: set[PublicKey] = field(default_factory=set)
    _witness_keys: set[PublicKey] = field(default_factory=set)

    def log(self, key: NoteKey) -> None:
        if key.algorithm != ED25519:
            raise EvidenceError(f"{key} is the key of a witness, not of a log")
        if key.public in self._log_keys:
            raise EvidenceError(f"the log key {key} stands twice")
        self._log_keys.add(key.public)
        self.logs.append(key)

    def witness(self, witness: PolicyWitness) -> None:
        if witness.key.algorithm != COSIGNATURE:
            raise EvidenceError(f"{witness.key} is the key of a log, not of a witness")
        if witness.key.public in self._witness_keys:
            raise EvidenceError(f"the key of {_shown(witness.name)} stands twice: a witness would count as two")
        if witness.url is not None:
            WitnessAddress(witness.url, witness.key)
        self._define(witness.name)
        self._witness_keys.add(witness.key.public)
        self.witnesses.append(witness)

    def group(self, group: PolicyGroup) -> None:
        if not 1 <= group.least <= len(group.members):
            raise EvidenceError(
                f"the group {_shown(group.name)} has {len(group.members)} members, and asks for {group.least}"
            )
        for member in group.members:
            if member not in self._names:
                raise EvidenceError(f"{_shown(member)} is not the name of a witness or a group above")
            if member in self._members:
                raise EvidenceError(f"{_shown(member)} is in a group already, and can count only once")
            self._members.add(member)
        self._define(group.name)
        self.groups.append(group)

    def require(self, quorum: str) -> None:
        if self.quorum is not None:
            raise EvidenceError("there is one quorum in a policy, and it was defined above")
        if quorum != _NONE and quorum not in self._names:
            raise EvidenceError(f"the quorum {_shown(quorum)} is not the name of a witness or a group above")
        self.quorum = quorum

    def _define(self, name: str) -> None:
        if not name or name == _NONE or name in self._names:
            raise EvidenceError(f"the name {_shown(name)} is taken already, or is none")
        self._names.add(name)


def _read_line(known: _Known, line: bytes) -> None:
    """Take up one line of a file. Names are bytes, and compared as such: what is no UTF-8 is kept."""
    if _FORBIDDEN.search(line):
        raise EvidenceError("it has a control character; only tabs may stand between words")
    words = [one.decode("utf-8", "surrogateescape") for one in _BLANK.split(line.strip(b" \t"))]
    if not words[0] or words[0].startswith("#"):
        return
    match words:
        case ["log", key] | ["log", key, _]:
            known.log(_key(key))
        case ["witness", name, key]:
            known.witness(PolicyWitness(name, _key(key)))
        case ["witness", name, key, url]:
            known.witness(PolicyWitness(name, _key(key), url))
        case ["group", name, least, *members] if members:
            known.group(PolicyGroup(name, _least(least, len(members)), tuple(members)))
        case ["quorum", name]:
            known.require(name)
        case [word, *_]:
            form = _LINES.get(word)
            raise EvidenceError(f"not of the form `{form}`" if form else f"it begins with none of {', '.join(_LINES)}")


def _least(text: str, members: int) -> int:
    if text in ("all", "any"):
        return members if text == "all" else 1
    if not _NUMBER.fullmatch(text):
        raise EvidenceError(f"{_shown(text)} is neither all, any nor a number from 1 on")
    return int(text)


def _key(text: str) -> NoteKey:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EvidenceError(f"{_shown(text)} is no verifier key: its name is not UTF-8") from None
    return NoteKey.parse(text)


def _shown(name: str) -> str:
    """Return a name for a message: it may hold bytes of any kind."""
    return name[:100].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
