"""What a step on the host does to processes, memory and keys that are not its own, by calls that name no file. Linux.

Each is told as `CALL WORDS`, as other actions are; what a step does to itself is no action. Sources: the calls' manual
pages; sysvipc(7); keyrings(7).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from hearth.observe._linux import signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.observe._in_place_kin import Kin

__all__ = ["MAKING", "OTHERS", "OTHER_NUMBERS", "Others"]

# Calls that act on a process, with the place of its number (0 is the caller).
_PROCESSES = {
    "prlimit64": 0, "sched_setparam": 0, "sched_setscheduler": 0, "sched_setaffinity": 0, "sched_setattr": 0,
    "move_pages": 0, "migrate_pages": 0,
}  # fmt: skip
_CHANGED_BY = {"prlimit64": 2, "move_pages": 3}  # without this argument they only ask
_HANDLES = ("process_madvise", "process_mrelease")  # on a process that a descriptor stands for
_PRIORITIES = {"setpriority": 0, "ioprio_set": 1}  # with the number that means "a process"; then its group, then a user
# Calls on what has a number in this IPC namespace, with its kind and the place of the command (-1: none).
_IPC = {
    "shmat": ("shm", -1), "shmctl": ("shm", 1), "semop": ("sem", -1), "semtimedop": ("sem", -1), "semctl": ("sem", 2),
    "msgsnd": ("msg", -1), "msgrcv": ("msg", -1), "msgctl": ("msg", 1),
}  # fmt: skip
MAKING = {"shmget": "shm", "semget": "sem", "msgget": "msg"}
"""Calls that make what the others act on."""
_COMMANDS = {
    "shm": {0: "IPC_RMID", 1: "IPC_SET", 11: "SHM_LOCK", 12: "SHM_UNLOCK"},
    "sem": {0: "IPC_RMID", 1: "IPC_SET", 16: "SETVAL", 17: "SETALL"},
    "msg": {0: "IPC_RMID", 1: "IPC_SET"},
}
_VERSION = 0x100  # IPC_64, which may be set in a command
_CREATOR = 4  # the column of /proc/sysvipc/shm
OTHER_NUMBERS = "it acted on processes by numbers of a process namespace of its own: on which ones was not observed"
_OTHER_IPC = "it used System V IPC of a namespace that is not this host's: what it did there was not observed"
# keyctl(2): what changes a key, with its place among the arguments. Others ask, or concern the caller alone.
_KEYS = {
    2: ("UPDATE", 1), 3: ("REVOKE", 1), 4: ("CHOWN", 1), 5: ("SETPERM", 1), 7: ("CLEAR", 1), 8: ("LINK", 2),
    9: ("UNLINK", 2), 12: ("INSTANTIATE", 1), 13: ("NEGATE", 1), 15: ("SET_TIMEOUT", 1), 18: ("SESSION_TO_PARENT", -1),
    19: ("REJECT", 1), 20: ("INSTANTIATE_IOV", 1), 21: ("INVALIDATE", 1), 29: ("RESTRICT_KEYRING", 1), 30: ("MOVE", 1),
}  # fmt: skip
_SEARCH = 10  # links what it finds to a fourth argument
_OWN_KEYRINGS = (-1, -2)  # the thread's and the process'
_LOGS = {2: "READ", 4: "READ_CLEAR", 5: "CLEAR", 6: "CONSOLE_OFF", 7: "CONSOLE_ON", 8: "CONSOLE_LEVEL"}
_PORTS = {"iopl": 0, "ioperm": 2}  # with the argument that gives rights up where it is 0
OTHERS = frozenset({*_PROCESSES, *_HANDLES, *_PRIORITIES, *_IPC, *_PORTS, "add_key", "request_key", "keyctl", "syslog"})
_LONGEST_TEXT = 200


class Others:
    """Tells such calls; to be made before the step begins, for what there is by then is not the step's."""

    def __init__(self, kin: Kin) -> None:
        self.unseen: dict[str, None] = {}
        self._kin = kin
        self._had = {kind: frozenset(self._ids(kind)) for kind in MAKING.values()}
        self._makes: set[str] = set()

    def makes(self, name: str) -> None:
        """Take in that the step calls what makes segments, semaphores or queues."""
        self._makes.add(MAKING[name])

    def of(self, pid: int, name: str, arguments: list[int], text: Callable[[int], bytes]) -> str:
        """Return the action that a call is, in words; "" where it is none."""
        if name in _PROCESSES:
            asks = name in _CHANGED_BY and not arguments[_CHANGED_BY[name]]
            return "" if asks else self._process(pid, name, signed(arguments[0]))
        if name in _HANDLES:
            return self._told(name, self._kin.meant(pid, signed(arguments[0])))
        if name in _PRIORITIES:
            return self._priority(pid, name, signed(arguments[0]) - _PRIORITIES[name], signed(arguments[1]))
        if name in _IPC:
            return self._ipc(pid, name, arguments)
        if name in _PORTS:
            return f"{name} {arguments[0]}" if arguments[_PORTS[name]] & 0xFFFFFFFF else ""
        if name == "syslog":
            what = _LOGS.get(signed(arguments[0]), "")
            return f"syslog {what}" if what else ""
        return self._key(name, arguments, text)

    # --- processes

    def _process(self, pid: int, name: str, target: int) -> str:
        if target == 0:
            return ""
        if not self._kin.is_in_namespace(pid, "pid"):
            self.unseen[OTHER_NUMBERS] = None
            return ""
        return self._told(name, target)

    def _told(self, name: str, target: int) -> str:
        if self._kin.has(target):
            return ""
        called = self._kin.called(target)
        return f"{name} {called}" if called else ""

    def _priority(self, pid: int, name: str, which: int, who: int) -> str:
        if which == 0:
            return self._process(pid, name, who)
        if which == 1:
            who = who or self._kin.group(pid)
            return "" if self._kin.has(who) else f"{name} of the group {who}"
        return f"{name} of the user {who or self._kin.line(pid, 'status', 'Uid').partition(chr(9))[0]}"

    # --- System V IPC

    def _ipc(self, pid: int, name: str, arguments: list[int]) -> str:
        kind, place = _IPC[name]
        command = ""
        if place >= 0:
            command = _COMMANDS[kind].get(arguments[place] & 0xFFFFFFFF & ~_VERSION, "")
            if not command:
                return ""  # it asks
        if not self._kin.is_in_namespace(pid, "ipc"):
            self.unseen[_OTHER_IPC] = None
            return ""
        number = signed(arguments[0])
        return "" if self._is_own(kind, number) else f"{name} {command} {number}".replace("  ", " ")

    def _is_own(self, kind: str, number: int) -> bool:
        """Whether the step itself made something, as far as the kernel remembers who did."""
        if number in self._had[kind] or kind not in self._makes:
            return False
        creator = self._ids(kind).get(number, 0)
        return not creator or self._kin.has(creator) or not self._kin.called(creator)

    def _ids(self, kind: str) -> dict[int, int]:
        """Return the numbers of what there is of a kind, each with the process that made it (0: not known)."""
        found = {}
        with suppress(OSError), open(f"/proc/sysvipc/{kind}", "rb") as file:  # noqa: PTH123 - no path is needed
            for line in file.readlines()[1:]:
                words = line.split()
                found[int(words[1])] = int(words[_CREATOR]) if kind == "shm" else 0
        return found

    # --- keys

    def _key(self, name: str, arguments: list[int], text: Callable[[int], bytes]) -> str:
        if name == "keyctl":
            operation = signed(arguments[0])
            what, place = _KEYS.get(operation, ("", -1))
            if operation == _SEARCH and signed(arguments[4]):
                what, place = "LINK", 4
            if not what or (place >= 0 and signed(arguments[place]) in _OWN_KEYRINGS):
                return ""
            return f"keyctl {what} {signed(arguments[1])}" if place >= 0 else f"keyctl {what}"
        keyring = signed(arguments[4 if name == "add_key" else 3])
        if name == "add_key" and keyring in _OWN_KEYRINGS:
            return ""
        if name == "request_key" and not arguments[2] and keyring in (0, *_OWN_KEYRINGS):
            return ""  # it looks for one, and has none made
        words = (os.fsdecode(text(arguments[place]))[:_LONGEST_TEXT] for place in (0, 1))
        return " ".join((name, *words))
