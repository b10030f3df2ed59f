"""Who is asking, as the system knows it."""

from __future__ import annotations

import getpass
import os

__all__ = ["person"]


def person() -> str:
    """Return the name of the user that this process runs as; behind `sudo`, also who called it.

    On POSIX it comes from the user database, not from variables that anybody can set; the caller named by `sudo` does
    come from one, which only root's own processes can have changed by then.
    """
    if not hasattr(os, "getuid"):
        try:
            return getpass.getuser()
        except (OSError, ImportError, KeyError):
            return "unknown"
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"  # a container without an entry for its user
    caller = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo by {caller})" if uid == 0 and caller and caller != name else name
