"""What a sandbox that has the host's network is kept from by Landlock (landlock(7)), for good and with all it starts.

A filter of system calls decides before the kernel reads an address; Landlock decides on the address that is used.
"""

from __future__ import annotations

import ctypes
import os

from hearth.observe._linux import system_call

__all__ = ["restrict_network"]

# landlock(7): the same numbers on every architecture; linux/landlock.h.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION = 1
_CONNECT_TCP, _SINCE_TCP = 1 << 1, 4
_ABSTRACT_SOCKETS, _SINCE_SCOPES = 1 << 0, 6


def restrict_network(*, tcp: bool) -> bool:
    """Refuse this process the abstract Unix sockets of others (Linux 6.12), and with `tcp` connections of TCP (6.7).

    Those are then made by whoever looks at its calls. What this process and those that come of it make later can be
    reached by them. NO_NEW_PRIVS must be set. Returns whether abstract sockets are out of reach: an older kernel has
    no means, or no Landlock. OSError.
    """
    try:
        version = system_call("landlock_create_ruleset", _CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    except OSError:
        return False
    scoped = _ABSTRACT_SOCKETS if version >= _SINCE_SCOPES else 0
    handled = _CONNECT_TCP if tcp and version >= _SINCE_TCP else 0
    if not (handled or scoped):
        return False
    attributes = (ctypes.c_uint64 * 3)(0, handled, scoped)
    size = ctypes.c_size_t(24 if scoped else 16)  # an older kernel knows a shorter structure
    ruleset = system_call("landlock_create_ruleset", _CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        system_call("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return bool(scoped)
