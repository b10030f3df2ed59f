"""Running a command within a sandbox: the work that a sandbox is given for it."""

from __future__ import annotations

import json
import os
import signal

__all__ = ["run_command"]

_HIGH = 200  # descriptors are moved there first, so that none is overwritten before it is placed
_NOT_STARTED = 127


def run_command(payload: bytes, descriptors: list[int]) -> int:
    """Become the command of the payload; return (127) only where it cannot be started, with the reason on stderr.

    The payload is JSON: `argv`, `cwd`, `env`, and `targets`, the numbers that the descriptors get, in their order.
    """
    request = json.loads(payload)
    targets = [int(target) for target in request["targets"]]
    lifted = []
    for number, descriptor in enumerate(descriptors):
        high = _HIGH + max([0, *targets]) + number
        os.dup2(descriptor, high)
        lifted.append(high)
    for high, target in zip(lifted, targets, strict=True):
        os.dup2(high, target, inheritable=True)
    for descriptor in {*descriptors, *lifted} - set(targets):
        os.close(descriptor)
    argv = [os.fsencode(word) for word in request["argv"]]
    env = {os.fsencode(name): os.fsencode(value) for name, value in request["env"].items()}
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(request["cwd"])
        os.execvpe(argv[0], argv, env)  # noqa: S606 - the command is what was approved
    except OSError as error:
        what = f"cannot start {request['argv'][0]!r}: {error.strerror}\n"
        os.write(2 if 2 in targets else targets[-1], what.encode("utf-8", "replace"))  # noqa: PLR2004 - stderr
    return _NOT_STARTED
