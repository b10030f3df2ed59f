"""What becomes a step's command: it has its system calls looked at, then starts the command in its own place. Linux.

A program of its own, run by its path without the rest of HEARTH (so it starts fast), with a socket to HEARTH at the
descriptor that its first argument names. HEARTH sends one message, the length of which comes first: the filter (in
hexadecimal; "": none), the number of seccomp(2), 1 where new privileges may be given up for it, the number of words,
the words, and the environment, all divided by zero bytes. Back goes `L` with the number of the listener's descriptor,
or `E` with that of the error that kept the filter out. `g` from HEARTH then starts the command: the socket ends with
that, or `X` and an error's number say why it could not be started.

It stays the same process, so that whoever supervises the command supervises this. Nothing that is looked at is called
between the filter and `g`, for nobody answers before.
"""

from __future__ import annotations

import _socket
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

_MARK = b"HEARTH_STEP"  # what the supervising process has given it besides
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5
_NO_NEW_PRIVS = 38
_EINVAL, _EACCES = 22, 13
_LENGTH = 8  # bytes


def main(number: int) -> None:
    """Do it; returns only where the command cannot be started."""
    os.set_inheritable(number, False)  # noqa: FBT003 - positional only
    control = _socket.socket(fileno=number)
    said = _exactly(control, int.from_bytes(_exactly(control, _LENGTH), "big"))
    code, call, yielding, count, *words = said.split(b"\0")
    argv, env = words[: int(count)], dict(word.split(b"=", 1) for word in words[int(count) :] if word)
    env.update((name, value) for name, value in os.environb.items() if name == _MARK)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python
        signal.signal(ignored, signal.SIG_DFL)
    listener = -1
    if code:
        listener = _install(bytes.fromhex(code.decode()), int(call), yielding == b"1")
        os.write(number, b"L%d\n" % listener if listener >= 0 else b"E%d\n" % -listener)
    if control.recv(1) != b"g":
        return
    if listener >= 0:
        os.close(listener)  # else its calls would wait for this process itself, were the observer to die
    os.write(number, b"X%d\n" % _start(argv, env))


def _install(code: bytes, call: int, yielding: bool) -> int:
    """Install the filter; return the listener, or an error's number below zero."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(code, len(code))
    program = (len(code) // 8).to_bytes(8, sys.byteorder) + ctypes.addressof(held).to_bytes(8, sys.byteorder)
    pointer = ctypes.create_string_buffer(program, len(program))
    flags = _NEW_LISTENER | _WAIT_KILLABLE
    while (listener := libc.syscall(call, _SET_MODE_FILTER, flags, pointer)) < 0:
        number = ctypes.get_errno()
        if number == _EINVAL and flags & _WAIT_KILLABLE:  # which this kernel does not know (Linux 5.19)
            flags = _NEW_LISTENER
        elif number == _EACCES and yielding:
            yielding = False
            libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        else:
            return -number
    return int(listener)


def _start(argv: list[bytes], env: dict[bytes, bytes]) -> int:
    """Become the command; return the number of the error that kept it from starting."""
    first = last = 0
    for path in _candidates(argv[0], env):
        try:
            os.execve(path, argv, env)  # noqa: S606 - the command is what was approved
        except (FileNotFoundError, NotADirectoryError) as error:
            last = error.errno or 2
        except OSError as error:
            first = first or error.errno or _EACCES
    return first or last or 2


def _candidates(name: bytes, env: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield where the program may lie, as execvp looks for it."""
    if b"/" in name:
        yield name
        return
    for folder in env.get(b"PATH", os.defpath.encode()).split(b":"):
        path = os.path.join(folder, name)  # noqa: PTH118 - pathlib would cost more than the rest
        if os.path.lexists(path):
            yield path


def _exactly(control: _socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = control.recv(min(1 << 16, size - len(content)))
        if not piece:
            sys.exit(1)  # HEARTH is gone
        content += piece
    return content


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(127)
