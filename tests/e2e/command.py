"""`hearth` as the tests from end to end call it, in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from hearth.cli import cli

if TYPE_CHECKING:
    from click.testing import Result


def hearth(*arguments: str, code: int | None = None, **environment: str) -> Result:
    """Run `hearth`; with `code`, expect that exit code."""
    result = CliRunner(env=environment).invoke(cli, list(arguments))
    if code is not None:
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def document(*arguments: str, code: int = 0) -> Any:
    """Run `hearth` with --json; return the one document on stdout."""
    return json.loads(hearth(*arguments, "--json", code=code).stdout)
