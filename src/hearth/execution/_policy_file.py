"""Reading a policy file, strictly: in doubt nothing runs."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

import yaml

from hearth.errors import GateRefusedError
from hearth.security import Policy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PolicyFile", "load_policy"]

_LARGEST = 1 << 16
_MOST_LINKS = 40  # as many as Linux follows
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BOOLEAN = "tag:yaml.org,2002:bool"


def load_policy(path: Path) -> Policy:
    """Read a policy file (YAML); one that is not there is the default policy.

    What cannot be read, is no YAML, repeats a key, uses an alias, or says what `Policy` does not know, raises
    GateRefusedError: what it would have forbidden is not known then.
    """
    try:
        # Not to block on a named pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(path, "the policy is not a regular file")
            if os.name == "posix":
                _check_writers(path, status)
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise _refused(path, "the policy is a link that leads nowhere") from None
        return Policy(source=str(path))
    except OSError as error:
        raise _refused(path, f"the policy cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise _refused(path, f"the policy is larger than {_LARGEST} bytes")
    try:
        document = yaml.load(data, _Loader)  # noqa: S506 - a SafeLoader
    except Exception as error:  # noqa: BLE001 - PyYAML raises whatever a value that is none of its tag leads to
        said = str(error) if isinstance(error, yaml.YAMLError | ValueError | RecursionError) else repr(error)
        raise _refused(path, " ".join(said.split())) from None
    try:
        return Policy.from_mapping(document, str(path))
    except GateRefusedError as error:
        # Escapes of YAML can make lone surrogates, which no terminal and no log takes.
        raise GateRefusedError(str(error).encode("utf-8", "backslashreplace").decode()) from None


def _check_writers(path: Path, status: os.stat_result) -> None:
    """Refuse a policy that others may write, or put another one in the place of, also where it is a link.

    In a folder that is closed to others, as a ledger's is, a file's own group bits mean nothing.
    """
    mine = (os.geteuid(), 0)
    if status.st_uid not in mine:
        raise _refused(path, f"the policy belongs to the user {status.st_uid}, who may write it (chown it)")
    folders = {folder: folder.stat() for folder in _folders_on_the_way(path)}
    closed = all(there.st_uid in mine and not there.st_mode & _OTHERS for there in folders.values())
    if status.st_mode & (stat.S_IWOTH if closed else _OTHERS_WRITE):
        raise _refused(path, "others than its owner can write the policy (chmod go-w)")
    for folder, there in folders.items():
        sticky = there.st_mode & stat.S_ISVTX  # there, only its owner replaces a file
        if there.st_uid not in mine or (there.st_mode & _OTHERS_WRITE and not sticky):
            raise _refused(path, f"others than its owner can replace the policy: look at who may write {folder}")


def _folders_on_the_way(path: Path) -> set[Path]:
    """Return the folders of the file and of each link that leads to it."""
    here, found = path.absolute(), {path.resolve().parent}
    for _ in range(_MOST_LINKS):
        found.add(here.parent)
        if not here.is_symlink():
            break
        here = here.parent / here.readlink()
    return found


class PolicyFile:
    """A policy file that is read again whenever it has changed; an unchanged one gives the same object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: tuple[object, Policy] | None = None

    def load(self) -> Policy:
        """Return the policy as it stands now; GateRefusedError as from `load_policy`."""
        try:
            there = self._path.stat()
            state = (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_mode)
        except OSError:
            state = None
        if self._kept is None or state is None or self._kept[0] != state:
            self._kept = (state, load_policy(self._path))
        return self._kept[1]


class _Loader(yaml.SafeLoader):
    """Refuses aliases and repeated keys: a policy says each thing once, where one reads it.

    Only true and false are booleans (YAML 1.2, section 10.3.2): in older YAML the key `on` of a hook would be one.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML's nodes
        if self.check_event(yaml.AliasEvent):
            mark: Any = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"line {mark.line + 1}: aliases are not accepted")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: ANN401 - as above
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"line {key.start_mark.line + 1}: the key {key.value!r} stands there twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))


def _refused(path: Path, what: str) -> GateRefusedError:
    what = what.encode("utf-8", "backslashreplace").decode()
    return GateRefusedError(f"{path}: {what}; nothing is run until the policy is put right")
