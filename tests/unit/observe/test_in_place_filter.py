from __future__ import annotations

import os
import struct

import pytest

from hearth.observe import _in_place_filter as looked_at
from hearth.observe._in_place_calls import ACTIONS, DESCRIPTORS, IDENTITIES, NAMES, SIGNALS
from hearth.observe._in_place_handles import HANDLES
from hearth.observe._in_place_ioctls import ETHTOOL_SETS, INTERFACES, IOCTLS
from hearth.observe._in_place_others import MAKING, OTHERS

MACHINES = ("x86_64", "aarch64")
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# What programs call most, and changes nothing; the last are clone3 and futex_waitv.
IDLE = {
    "x86_64": (0, 1, 3, 4, 5, 6, 8, 9, 10, 12, 13, 16, 20, 22, 23, 32, 33, 39, 40, 56, 57, 61, 72, 79, 89, 96, 102, 202,
               217, 228, 231, 232, 262, 285, 318, 326, 332, 435, 449),
    "aarch64": (29, 57, 62, 63, 64, 66, 78, 79, 80, 93, 98, 113, 172, 214, 215, 220, 222, 226, 260, 278, 285, 291, 435),
}  # fmt: skip

OF_PROCESS = (
    "prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr", "move_pages",
    "migrate_pages",
)  # fmt: skip


def decide(machine: str, number: int, *arguments: int, architecture: int = 0) -> int:
    """Interpret the filter for one call, as the kernel would (BPF's jumps, loads and returns)."""
    six = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture or ARCHITECTURES[machine], 0, *six)
    program = list(looked_at.program(machine))
    place = held = 0
    while True:
        code, if_true, if_false, constant = program[place]
        place += 1
        if code == 0x20:
            (held,) = struct.unpack_from("=I", data, constant)
        elif code == 0x06:
            return constant
        else:
            true = {0x15: held == constant, 0x35: held >= constant, 0x45: bool(held & constant)}[code]
            place += if_true if true else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_what_changes_something_is_looked_at_and_all_of_it_goes_on(machine: str) -> None:
    calls = looked_at.CALLS[machine]
    depends = {*looked_at.OPENS, *SIGNALS, *MAKING, *OF_PROCESS, "shmat", "ioctl", "sendto", "ptrace"}
    for name, number in calls.items():
        if name not in depends:
            assert decide(machine, number) == NOTIFY, name
    for number in IDLE[machine]:
        assert decide(machine, number, *[0xFFFFFFFF] * 6) == ALLOW, number
    assert {one[3] for one in looked_at.program(machine) if one[0] == 0x06} == {ALLOW, NOTIFY}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["open", "openat", "open_by_handle_at", "mq_open"])
def test_only_flags_that_write_make_or_cut_have_an_opening_looked_at(machine: str, name: str) -> None:
    if name not in looked_at.CALLS[machine]:
        return  # this machine has the newer one alone
    number, place = looked_at.CALLS[machine][name], looked_at.OPENS[name]
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_RDONLY | os.O_TRUNC, 0o20200000 | os.O_RDWR):
        assert decide(machine, number, *[0] * place, flags) == NOTIFY
        assert decide(machine, number, *[0] * place, flags | os.O_CLOEXEC | os.O_APPEND) == NOTIFY
    for flags in (os.O_RDONLY, os.O_DIRECTORY | os.O_CLOEXEC, os.O_NOFOLLOW | os.O_PATH, os.O_NONBLOCK):
        assert decide(machine, number, *[0xFFFFFFFF] * place, flags) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_a_signal_that_is_none_or_wakes_an_own_thread_is_not_looked_at(machine: str) -> None:
    places = {"tgkill": 2, "rt_tgsigqueueinfo": 2}
    for name in SIGNALS:
        number, place = looked_at.CALLS[machine][name], places.get(name, 1)
        assert decide(machine, number, *[9] * place, 0) == ALLOW
        assert decide(machine, number, *[9] * place, 23) == ALLOW
        assert decide(machine, number, *[0] * place, 9) == NOTIFY
        assert decide(machine, number, *[0] * place, 15) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_what_depends_on_other_arguments(machine: str) -> None:
    calls = looked_at.CALLS[machine]
    for address in (1, 1 << 32, 0x7FFF00000000):  # either half of it may be zero
        assert decide(machine, calls["sendto"], 3, 0, 0, 0, address) == NOTIFY
    assert decide(machine, calls["sendto"], 3, 1, 1, 1, 0) == ALLOW
    for request, verdict in ((16, NOTIFY), (0x4206, NOTIFY), (0, ALLOW), (7, ALLOW)):
        assert decide(machine, calls["ptrace"], request, 1) == verdict
    for name, place in (("msgget", 1), ("semget", 2), ("shmget", 2)):
        assert decide(machine, calls[name], *[0] * place, 0o1600) == NOTIFY
        assert decide(machine, calls[name], 7, *[0] * (place - 1), 0o600) == ALLOW
        assert decide(machine, calls[name], 0, *[0] * (place - 1), 0o600) == NOTIFY  # IPC_PRIVATE makes one, too
    assert decide(machine, calls["shmat"], 7, 0, 0) == NOTIFY
    assert decide(machine, calls["shmat"], 7, 0, 0o10000) == ALLOW
    for name in OF_PROCESS:
        assert decide(machine, calls[name], 0, 1, 1, 1) == ALLOW
        assert decide(machine, calls[name], 7, 1, 1, 1) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_requests_that_act_are_looked_at_and_those_that_ask_are_not(machine: str) -> None:
    number = looked_at.CALLS[machine]["ioctl"]
    for name, request in IOCTLS.items():
        assert decide(machine, number, 3, request) == NOTIFY, name
    # TCGETS, TIOCGWINSZ, FIONREAD, FIOCLEX, FS_IOC_GETFLAGS, BLKGETSIZE64, SIOCGIFFLAGS, RTC_RD_TIME, FICLONE
    for request in (0x5401, 0x5413, 0x541B, 0x5451, 0x80086601, 0x80081272, 0x8913, 0x80247009, 0x40049409):
        assert decide(machine, number, 3, request) == ALLOW
    assert len(set(IOCTLS.values())) == len(IOCTLS) < 255
    assert IOCTLS["SIOCETHTOOL"] == INTERFACES["SIOCETHTOOL"]
    assert not ETHTOOL_SETS & {0x01, 0x03, 0x0A, 0x1B, 0x1D, 0x25, 0x3A, 0x4C}  # those that ask most


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_another_architecture_is_looked_at(machine: str) -> None:
    for architecture in {0x40000003, 0x40000028, *ARCHITECTURES.values()} - {ARCHITECTURES[machine]}:
        assert decide(machine, 3, architecture=architecture) == NOTIFY
    assert decide("x86_64", 0x40000000 | 1) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_for_every_call_somebody_knows_what_it_means(machine: str) -> None:
    alone = {"creat", "bind", "openat2", "io_uring_setup", "setgroups", "ptrace", "process_vm_writev"}
    programs = {"execve", "execveat", "connect", "sendto", "sendmsg", "sendmmsg"}
    alone |= {*HANDLES, *OTHERS}
    known = {*NAMES, *DESCRIPTORS, *ACTIONS, *IDENTITIES, *SIGNALS, *looked_at.OPENS, *alone, *programs}
    assert set(looked_at.CALLS[machine]) <= known
    assert set(looked_at.CALLS["x86_64"]) == known
    assert set(MAKING) <= set(ACTIONS)
    assert len(set(looked_at.CALLS[machine].values())) == len(looked_at.CALLS[machine])


def test_another_machine_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "uname_result"):
        pytest.skip("this system has no name of a machine")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6", "1", "riscv64")))
    with pytest.raises(OSError, match="riscv64"):
        looked_at.filter_of_this_machine()
