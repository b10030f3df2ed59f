from __future__ import annotations

import errno
import os
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hearth.observe import _seccomp
from hearth.observe._linux import no_new_privileges

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINES = ("x86_64", "aarch64")
ALLOW, KILL, NOTIFY = 0x7FFF0000, 0x80000000, 0x7FC00000
EPERM, ENOSYS, EAFNOSUPPORT = (0x00050000 | number for number in (errno.EPERM, 38, 97))
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
READ, GETPID = {"x86_64": 0, "aarch64": 63}, {"x86_64": 39, "aarch64": 172}


def decide(machine: str, number: int, *arguments: int, architecture: int = 0, network: bool = False) -> int:
    """Interpret the filter for one call, as the kernel would (BPF's jumps, loads and returns)."""
    six = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture or ARCHITECTURES[machine], 0, *six)
    program = list(_seccomp._program(machine, network=network, watch=True))
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
def test_what_is_refused_is_refused_and_what_is_watched_is_told(machine: str) -> None:
    for name, number in _seccomp._REFUSED[machine].items():
        assert decide(machine, number) == EPERM, name
    for number in (425, 426, 427, 435):  # io_uring, clone3
        assert decide(machine, number) == ENOSYS
    for name, number in _seccomp.WATCHED[machine].items():
        assert decide(machine, number) == (ALLOW if name == "sendto" else NOTIFY), name
    assert decide(machine, READ[machine]) == decide(machine, GETPID[machine]) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_by_numbers_of_another_kind_kill(machine: str) -> None:
    for architecture in {0x40000003, 0x40000028, *ARCHITECTURES.values()} - {ARCHITECTURES[machine]}:
        assert decide(machine, GETPID[machine], architecture=architecture) == KILL
    assert decide("x86_64", 0x40000000 | 39) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_what_depends_on_an_argument_looks_at_the_right_one(machine: str) -> None:
    others = _seccomp._OTHERS[machine]
    for command, verdict in ((0x5412, EPERM), (0x541C, EPERM), (0x5401, ALLOW), (0x5412 | 1 << 32, EPERM)):
        assert decide(machine, others["ioctl"], 0, command) == verdict
        assert decide(machine, others["ioctl"], command, 0) == ALLOW
    for flags in (0x10000000, 0x40000000, 0x10000000 | 0x20000, 0x40000000 | signal.SIGCHLD):
        assert decide(machine, others["clone"], flags) == decide(machine, others["unshare"], flags) == EPERM
    for flags in (0x01200011, 0x20000):  # fork(3) as the C library has it, and mounts of one's own
        assert decide(machine, others["clone"], flags) == decide(machine, others["unshare"], flags) == ALLOW
    sendto = _seccomp.WATCHED[machine]["sendto"]
    for address in (1, 1 << 32, 0x7FFF00000000):  # either half of it may be zero
        assert decide(machine, sendto, 3, 0, 0, 0, address) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_families_of_sockets_that_no_namespace_divides_need_the_network(machine: str) -> None:
    number = _seccomp._OTHERS[machine]["socket"]
    for family in (1, 2, 10, 16, 17, 38):
        assert decide(machine, number, family, 1) == ALLOW
    for family in (31, 40, 44):  # Bluetooth, vsock, XDP
        assert decide(machine, number, family, 1) == EAFNOSUPPORT
        assert decide(machine, number, family, 1, network=True) == ALLOW


def in_child(work: Callable[[], int]) -> int:
    """Run something in a process that the filter may be installed in; return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(work())
        except BaseException:  # noqa: BLE001 - the parent sees 99
            os._exit(99)
    return os.waitpid(pid, 0)[1]


def set_the_clock_to_what_it_is() -> int:
    no_new_privileges()
    assert _seccomp.install_filter(network=False, watch=False) == -1
    try:
        time.clock_settime(time.CLOCK_REALTIME, time.time())
    except OSError as error:
        return error.errno or 0
    return 0


def install_with_a_listener() -> int:
    no_new_privileges()
    return 7 if _seccomp.install_filter(network=False, watch=True) >= 0 else 0


def install_without_giving_up_privileges() -> int:
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 65534)
    try:
        _seccomp.install_filter(network=False, watch=False)
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine not in MACHINES, reason="Linux, x86-64 and arm64")
def test_the_kernel_takes_it() -> None:
    assert os.waitstatus_to_exitcode(in_child(set_the_clock_to_what_it_is)) == errno.EPERM
    assert os.waitstatus_to_exitcode(in_child(install_with_a_listener)) == 7
    assert os.waitstatus_to_exitcode(in_child(install_without_giving_up_privileges)) == errno.EACCES


@pytest.mark.skipif(sys.platform != "linux", reason="it is asked for the machine's name")
def test_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6", "1", "riscv64")))
    with pytest.raises(OSError, match="riscv64"):
        _seccomp.install_filter(network=False, watch=False)
