"""Which paths of a manifest an approver cannot rely on, for they are compared loosely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.observe import loosely_compared, risky_patterns
from tests.unit.observe.test_volatile import FOLDER, LINK, LOG, OTHER, step

if TYPE_CHECKING:
    from hearth.observe import Loose, StepManifest

CWD = Path("/w")


def loose(seen: StepManifest, *patterns: str) -> dict[str, Loose]:
    return loosely_compared(seen, patterns, CWD)


def test_it_is_said_what_may_differ() -> None:
    seen = step(
        ("/w/new.log", None, LOG),
        ("/w/old.log", LOG, OTHER),
        ("/w/link.log", None, LINK),
        ("/w/folder.log", None, FOLDER),
        ("/w/other", None, LOG),
        ("/w/set.log", None, replace(LOG, mode=0o4755)),
        ("/w/__pycache__/m.pyc", None, LOG),
    )
    found = loose(seen, "*.log")
    assert {path: one.words for path, one in found.items()} == {
        "/w/new.log": "name and content may differ",
        "/w/old.log": "content may differ",
        "/w/link.log": "name may differ",
        "/w/folder.log": "name may differ",
        "/w/__pycache__/m.pyc": "name and content may differ",
    }
    assert not any(one.risky for one in found.values())


@pytest.mark.parametrize(
    "path",
    ["/etc/a.log", "/usr/bin/a.log", "/boot/a.log", "/w/.ssh/a.log", "/w/cron.d/a.log", "/w/sudoers.d/a.log"],
)
def test_what_others_trust_is_risky(path: str) -> None:
    assert loose(step((path, LOG, OTHER)), "*.log")[path].risky


def test_a_program_is_risky_and_what_hearth_leaves_open_itself_is_not() -> None:
    program = replace(LOG, mode=0o755)
    assert loose(step(("/w/run.log", program, replace(OTHER, mode=0o755))), "*.log")["/w/run.log"].risky
    assert not loose(step(("/usr/lib/x.pyc", LOG, OTHER)))["/usr/lib/x.pyc"].risky


def test_patterns_for_what_others_trust_are_known() -> None:
    risky = ("/etc/**", "sudoers", "/usr/local/bin/*", "**/.ssh/**", "/var/spool/cron/root", "*.service")
    assert risky_patterns((*risky, "*.log", "var/cache/**", "/srv/usr/x", "etcetera")) == risky
