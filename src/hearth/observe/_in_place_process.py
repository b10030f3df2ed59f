"""The process that observes steps on the host: one thread, which forks an observer for each command. Linux.

    HEARTH ──socket──► server ──fork──► observer (holds the listener; looks; compares at the end)

An observer is told which process to observe and says whether it can; is told the listener and says that it listens; is
told that the step is over and says what it did. When HEARTH is gone it goes on until nothing of the step runs any more:
who listens to a program must not leave it alone, for its calls would fail.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from hearth.observe import _linux as linux
from hearth.observe._in_place_actions import Actions
from hearth.observe._in_place_kin import Kin
from hearth.observe._in_place_states import States
from hearth.observe._in_place_watch import InPlaceWatch
from hearth.observe._sandbox_watch import HostServices
from hearth.observe._sandbox_wire import receive, receive_message, send_message

__all__ = ["main"]

_SETTLE = 1.0  # seconds that processes may be left after the step's end, until they are told


def main(arguments: list[str]) -> None:
    """Serve until HEARTH is gone, the process whose number is given; requests come on descriptor 0."""
    requests = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for an observer
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # HEARTH's own end is what ends this
    linux.set_dumpable(False)  # a step of this user must not trace it
    if os.getppid() != int(arguments[0]):
        return
    while True:
        letter, descriptors = receive(requests)
        if not letter:
            return
        if os.fork() == 0:
            _observe(requests, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _observe(requests: socket.socket, descriptors: list[int]) -> None:
    """Be an observer; does not return."""
    try:
        requests.close()
        _Observer(socket.socket(fileno=descriptors[0])).run()
    except BaseException as error:  # noqa: BLE001 - HEARTH sees that nothing came
        with suppress(OSError):
            os.write(2, f"hearth: an observer failed: {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


class _Observer:
    """The observer of one command."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._proc = os.open("/proc", os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
        self._asked = False

    def run(self) -> None:
        received = receive_message(self._control)
        if received is None:
            return
        told, _ = received
        try:
            process = os.pidfd_open(told["pid"])
            os.close(os.open(f"{told['pid']}/mem", os.O_RDONLY, dir_fd=self._proc))
            os.close(linux.pidfd_getfd(process, 0))
        except OSError as error:
            send_message(self._control, {"problem": f"its processes cannot be looked into: {error.strerror}"})
            return
        send_message(self._control, {"ready": True})
        received = receive_message(self._control)
        if received is None:
            return
        states = States(told["search"])
        actions = Actions(self._proc, Kin(self._proc, told["pid"], supervised=told["supervised"]))
        listener = linux.pidfd_getfd(process, received[0]["listener"])
        os.close(process)
        watch = InPlaceWatch(listener, self._proc, HostServices(), states, actions)
        send_message(self._control, {"listening": True})
        left = self._listen(watch)
        result = _result(watch, states, told["ignore"], left=left)
        if self._asked or receive_message(self._control) is not None:
            send_message(self._control, result)

    def _listen(self, watch: InPlaceWatch) -> bool:
        """Look at every call until nothing is left that could call; True where something still is at the end."""
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        deadline = 0.0
        while True:
            patience = max(0.0, deadline - time.monotonic()) * 1000 if deadline else None
            for descriptor, event in poll.poll(patience):
                if descriptor == self._control.fileno():
                    poll.unregister(self._control)
                    self._asked = receive_message(self._control) is not None
                    if self._asked:
                        deadline = time.monotonic() + _SETTLE
                elif event & select.POLLIN:
                    watch.look()
                else:
                    return False
            if deadline and time.monotonic() > deadline:
                return True


def _result(watch: InPlaceWatch, states: States, ignore: list[str], *, left: bool) -> dict[str, Any]:
    changes = [change.to_dict() for change in states.changes(ignore)]
    unseen = [*watch.unseen, *watch.actions.unseen, *states.unseen]
    if left:
        unseen.append("processes of it were left, and may change more")
    return {
        "changes": changes,
        "programs": watch.programs,
        "connections": sorted(watch.connections),
        "actions": sorted(watch.actions.done),
        "unseen": unseen,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
