"""Filters of system calls as the kernel takes them: the instructions that ours are made of, and their bytes. Linux.

Source: seccomp(2), "Seccomp BPF"; an instruction is (code, jump if true, jump if false, constant).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "ALLOW",
    "ANY_BIT",
    "ARCHITECTURES",
    "EQUAL",
    "ERRNO",
    "KILL_PROCESS",
    "NOTIFY",
    "RETURN",
    "SECCOMP",
    "X32",
    "Instruction",
    "argument",
    "number_of_call",
    "packed",
    "when",
    "with_an_address",
]

Instruction = tuple[int, int, int, int]

SECCOMP = {"x86_64": 317, "aarch64": 277}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
X32 = 0x40000000  # numbers from here on are another ABI's
KILL_PROCESS, ERRNO, NOTIFY, ALLOW = 0x80000000, 0x00050000, 0x7FC00000, 0x7FFF0000
_LOAD, EQUAL, _AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets within struct seccomp_data


def number_of_call(machine: str, otherwise: int) -> Iterator[Instruction]:
    """Load the number of the call; what comes by another ABI, which numbers its calls in another way, ends there."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield EQUAL, 1, 0, ARCHITECTURES[machine]
    yield RETURN, 0, 0, otherwise
    yield _LOAD, 0, 0, _NUMBER
    if machine == "x86_64":
        yield _AT_LEAST, 0, 1, X32
        yield RETURN, 0, 0, otherwise


def when(number: int, body: list[Instruction]) -> Iterator[Instruction]:
    """Yield what decides about one call; `body` ends with a return."""
    yield EQUAL, 0, len(body), number
    yield from body


def argument(place: int, *, high: bool = False) -> Instruction:
    """Load one half of an argument of the call."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * place + (4 if high else 0)


def with_an_address() -> list[Instruction]:
    """Notify of a sendto that names an address; on a connected socket there is none."""
    notify = (RETURN, 0, 0, NOTIFY)
    low = [argument(4), (EQUAL, 1, 0, 0), notify]
    return [*low, argument(4, high=True), (EQUAL, 1, 0, 0), notify, (RETURN, 0, 0, ALLOW)]


def packed(instructions: Iterable[Instruction]) -> bytes:
    """Return the bytes of a filter (struct sock_filter)."""
    return b"".join(struct.pack("HBBI", *one) for one in instructions)
