"""What the host would refuse an ordinary user, a sandbox refuses too, or the preview says so."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from hearth.observe import probe
from tests import ordinary

pytestmark = [
    pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not()),
    pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox"),
]
SCRIPT = """
for path in /etc/new /opt/new; do touch $path && echo $path >> done; done
rm /etc/hosts && echo hosts >> done
rm -f {kept} && echo kept >> done
touch mine {folder}.new && echo own >> done
"""


def test_an_ordinary_user_is_shown_nothing_that_the_host_would_refuse(repository: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="refused-") as name, tempfile.NamedTemporaryFile() as kept:
        if os.stat(tempfile.gettempdir()).st_mode & 0o1000 == 0:  # noqa: PTH116
            pytest.skip("the folder for temporary files is not sticky")
        folder = Path(name)
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        script = SCRIPT.format(kept=kept.name, folder=folder)
        argv = [sys.executable, "-m", "hearth", "preview", "--json", "--", "sh", "-c", f"cd {folder}; {script}"]
        path = os.pathsep.join((str(repository / "src"), str(repository)))
        ended = ordinary.run_as_nobody(argv, HOME=name, TMPDIR=name, PYTHONPATH=path)
        assert ended.returncode == 0, ended.stderr
        (step,) = json.loads(ended.stdout)["steps"]
        shown = {change["path"]: change["kind"] for change in step["changes"]}
        assert shown == {
            f"{folder}/mine": "created",
            f"{folder}/done": "created",
            f"{folder}.new": "created",
            kept.name: "deleted",
        }
        assert (
            f"the host would refuse that {kept.name} was deleted: in {tempfile.gettempdir()} only its owner may do that"
        ) in step["unseen"]
        assert Path(kept.name).exists()
        assert sorted(folder.iterdir()) == []
