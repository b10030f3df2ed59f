from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hearth.observe._tiers import probe
from tests import ordinary, overlays

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has what a sandbox is made of")
PIECES = (
    "user namespace",
    "mount namespace",
    "process namespace",
    "network namespace",
    "overlay",
    "pivot_root",
    "seccomp filter",
    "seccomp notification",
    "landlock",
    "strace",
)
TELL = "import json; from hearth.observe._tiers import probe; print(json.dumps(probe().to_dict()))"


@pytest.fixture(scope="module")
def works() -> dict[str, bool]:
    return {name: works for name, works, _ in probe().capabilities}


@LINUX
def test_every_piece_is_tried_and_said(works: dict[str, bool]) -> None:
    assert set(PIECES) < set(works)
    assert all(why for _, works, why in probe().capabilities if not works)


@LINUX
def test_the_tier_is_that_of_the_sandbox(works: dict[str, bool]) -> None:
    sandbox = works["sandbox (overlay, namespaces, pivot_root, seccomp)"]
    assert probe().name == ("fallback" if not sandbox else "full" if ROOT else "unprivileged")
    assert sandbox <= all(
        works[name] for name in ("mount namespace", "process namespace", "pivot_root", "seccomp filter")
    )


@LINUX
def test_an_overlay_works_where_a_test_can_mount_one(works: dict[str, bool]) -> None:
    assert works["overlay"] == (not overlays.why_not(root=ROOT))


@LINUX
def test_strace_is_tried_where_it_is_there(works: dict[str, bool]) -> None:
    assert works["strace"] <= (shutil.which("strace") is not None)


def test_what_stays_unseen_is_said_in_words_and_as_json() -> None:
    tier = probe()
    assert tier.cannot_see
    document = json.loads(json.dumps(tier.to_dict()))
    assert document["tier"] == tier.name
    assert document["cannot_see"] == list(tier.cannot_see)
    assert [(one["name"], one["works"], one["why"]) for one in document["capabilities"]] == list(tier.capabilities)


@LINUX
def test_trying_leaves_nothing_behind(tmp_path: Path) -> None:
    tried = subprocess.run(
        [sys.executable, "-c", TELL],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(tried.stdout)["tier"] == probe().name
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_has_another_tier() -> None:
    with tempfile.TemporaryDirectory(prefix="tier-") as folder:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        tried = ordinary.run_as_nobody([sys.executable, "-c", TELL], TMPDIR=folder)
        assert list(Path(folder).iterdir()) == []
    assert tried.returncode == 0, tried.stderr
    told = json.loads(tried.stdout)
    assert told["tier"] in ("unprivileged", "fallback")
    assert told["tier"] == ("unprivileged" if told["capabilities"][0]["works"] else "fallback")
    assert any("other users" in words for words in told["cannot_see"]) == (told["tier"] == "unprivileged")


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
def test_without_capabilities_and_namespaces_the_fallback_says_why() -> None:
    """As in a closed container: root in name, without what it takes. The call that failed is named."""
    argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", TELL]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    told = json.loads(tried.stdout)
    why = {one["name"]: one["why"] for one in told["capabilities"]}
    assert told["tier"] == "fallback"
    assert why["mount namespace"] == "unshare 0x20000: Operation not permitted"
    assert why["sandbox (overlay, namespaces, pivot_root, seccomp)"].startswith("unshare 0x")
