"""The command `hearth` itself: its options, its commands by name, and its main function."""

from __future__ import annotations

import click

from hearth._version import __version__
from hearth.cli._group import CommandName, HearthGroup, prepare_streams
from hearth.cli._settings import Settings

__all__ = ["cli", "main"]

COMMANDS = (
    CommandName("init", "hearth.cli._init:init", "Make a ledger here, where records will be kept.", "Runs"),
    CommandName("plan", "hearth.cli._plan:plan", "Look at a plan before it runs: check, digest, schema, show.", "Runs"),
    CommandName("preview", "hearth.cli._preview:preview", "See what a plan or a command would do.", "Runs"),
    CommandName(
        "run", "hearth.cli._run:run", "Run a plan and record it; a dry run unless --mode says otherwise.", "Runs"
    ),
    CommandName("exec", "hearth.cli._exec:exec_command", "Run one command and record it.", "Runs"),
    CommandName(
        "keygen", "hearth.cli._keygen:keygen", "Make an Ed25519 key; approvals are signed with one.", "Approvals"
    ),
    CommandName("request", "hearth.cli._request:request", "Ask for an approval of one live run.", "Approvals"),
    CommandName(
        "approvals", "hearth.cli._request:approvals", "List approval requests and how they stand.", "Approvals"
    ),
    CommandName(
        "approve",
        "hearth.cli._decide:approve",
        "Read a plan that somebody wants to run, and approve one run of it.",
        "Approvals",
    ),
    CommandName("deny", "hearth.cli._decide:deny", "Deny a request; it outweighs every approval.", "Approvals"),
    CommandName("review", "hearth.cli._decide:review", "Review an emergency run: what came of it.", "Approvals"),
    CommandName("state", "hearth.cli._state:state", "Show the security posture, and what it permits.", "Posture"),
    CommandName("lockdown", "hearth.cli._state:lockdown", "Stop everything on this ledger, at once.", "Posture"),
    CommandName("report", "hearth.cli._state:report", "Worsen the posture by a report from outside.", "Posture"),
    CommandName(
        "restore", "hearth.cli._restore:restore", "Return to a better posture, or restore a backup.", "Posture"
    ),
    CommandName("list", "hearth.cli._list:list_executions", "List and search recorded executions.", "Records"),
    CommandName("show", "hearth.cli._show:show", "Show what an execution did, step by step.", "Records"),
    CommandName("verify", "hearth.cli._verify:verify", "Check that records are whole and unchanged.", "Records"),
    CommandName("rollback", "hearth.cli._rollback:rollback", "Show how an execution can be taken back.", "Records"),
    CommandName("export", "hearth.cli._export:export", "Write a record as JSON, for others to check.", "Records"),
    CommandName(
        "dossier",
        "hearth.cli._dossier:dossier",
        "Write all that is known of a sealed execution, and its proof, into one HTML file.",
        "Records",
    ),
    CommandName("log", "hearth.cli._log:log", "Keep a transparency log: init, status, verify, publish.", "Evidence"),
    CommandName(
        "prove", "hearth.cli._prove:prove", "Write a proof that the transparency log has this record.", "Evidence"
    ),
    CommandName("witness", "hearth.cli._witness:witness", "Cosign the checkpoints of logs, over HTTP.", "Evidence"),
    CommandName(
        "timestamp",
        "hearth.cli._timestamp:timestamp",
        "Have a log's checkpoint stamped by an authority, or check a stamp.",
        "Evidence",
    ),
    CommandName("recover", "hearth.cli._recover:recover", "Seal what a killed process left behind.", "Upkeep"),
    CommandName(
        "fsck",
        "hearth.cli._fsck:fsck",
        "Check the whole ledger from its bytes: every hash, count, link and file.",
        "Upkeep",
    ),
    CommandName("purge", "hearth.cli._purge:purge", "Remove records; a tombstone of each stays.", "Upkeep"),
    CommandName("redact", "hearth.cli._redact:redact", "Erase disclosed values of a record for good.", "Upkeep"),
    CommandName("hold", "hearth.cli._hold:hold", "Keep records from being purged: add, release, list.", "Upkeep"),
    CommandName("backup", "hearth.cli._backup:backup", "Copy a ledger, in use or not, into one new file.", "Upkeep"),
    CommandName("notify", "hearth.cli._notify:notify", "Try out who is told of what happens.", "Upkeep"),
    CommandName(
        "doctor", "hearth.cli._doctor:doctor", "Say what this machine can see of a step, and what it cannot.", "Upkeep"
    ),
    CommandName("completion", "hearth.cli._completion:completion", "Print a shell's completion script.", "Upkeep"),
)

_EPILOG = """Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 escalated, 5 not verified; 130 and 143 after Ctrl-C and
SIGTERM. An execution is named by its id, by the beginning of it, or by the word last."""


@click.group(
    cls=HearthGroup,
    names=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, "--version", prog_name="hearth", message="%(prog)s %(version)s")
@click.option("--home", metavar="PATH", help="The ledger's folder; else HEARTH_HOME, else the nearest .hearth upward.")
@click.option("--no-color", is_flag=True, help="Print without colours; so does the variable NO_COLOR.")
@click.pass_context
def cli(context: click.Context, home: str | None, *, no_color: bool) -> None:
    """Run approved plans on live systems and keep the flight recorder.

    It says what was to be done, who allowed it, what each step did, and how to take it back.
    """
    settings = context.ensure_object(Settings)
    settings.home = home
    settings.no_color = no_color


def main() -> None:
    """Run the command line; ends the process with an exit code."""
    prepare_streams()
    cli.main(prog_name="hearth", obj=Settings(ends_process=True))
