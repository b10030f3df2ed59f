"""The environment that a step's processes see: what they need to work, nothing that happens to be set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.plan import InputCopies

__all__ = ["INPUTS_VARIABLE", "scrubbed_environment"]

INPUTS_VARIABLE = "HEARTH_INPUTS"

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR")
_KEPT_ON_WINDOWS = (
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME", "HOMEDRIVE",
    "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
)  # fmt: skip


def scrubbed_environment(
    plan_env: Mapping[str, str], step_env: Mapping[str, str], inputs: InputCopies | None = None
) -> dict[str, str]:
    """Return the whole environment of a step's processes.

    Of HEARTH's own environment only PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_*, TZ and TMPDIR are kept, as
    far as they are set (on Windows also what programs cannot start without); then come the plan's variables, then the
    step's, and last `HEARTH_INPUTS`, the folder with the private copies of the inputs. Without any PATH the platform's
    default search path stands in.
    """
    kept = _KEPT + _KEPT_ON_WINDOWS if os.name == "nt" else _KEPT
    environment = {name: value for name, value in os.environ.items() if name in kept or name.startswith("LC_")}
    environment.setdefault("PATH", os.defpath)
    environment.update(plan_env)
    environment.update(step_env)
    environment.pop(INPUTS_VARIABLE, None)
    if inputs is not None:
        environment[INPUTS_VARIABLE] = str(inputs.folder)
    return environment
