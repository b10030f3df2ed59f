"""`hearth verify`: is a record whole and unchanged?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._options import EXECUTION, log_key_options
from hearth.cli._tombstone import show_tombstone
from hearth.errors import ExecutionNotFoundError, ExecutionPurgedError, LedgerNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings
    from hearth.operations import LogKeys, Verified

    Check = Callable[[str], Verified]

__all__ = ["verify"]


_IS_FOLDER = (
    "{0} is a folder, and no record; the published log in a folder is checked with `hearth log verify {0} --key VKEY`"
)


class SubjectType(click.ParamType[str]):
    """A file, or an execution."""

    name = "subject"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return files and ids."""
        return [*click.Path().shell_complete(ctx, param, incomplete), *EXECUTION.shell_complete(ctx, param, incomplete)]


@click.command()
@click.argument("subjects", nargs=-1, type=SubjectType(), metavar="[FILE|ID|last]...")
@click.option("--all", "everything", is_flag=True, help="Check every record in the ledger.")
@click.option("--quiet", "-q", is_flag=True, help="Print only what does not hold.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="PUBLIC|FILE",
    help="A public key (ed25519:…) whose envelopes count; repeatable; else those of the ledger's policy.",
)
@click.option("--proof", metavar="FILE", help="A proof that a log has the record (hearth prove); needs --log-key.")
@log_key_options("--log-key")
@click.option("--record", metavar="FILE", help="The record of a detached envelope (export --dsse --detached).")
@click.option(
    "--anew",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="NEW",
    help="Make a dossier's page anew from its data, into the file NEW: what another version shows is not compared.",
)
@json_option
@click.pass_obj
def verify(
    settings: Settings,
    subjects: tuple[str, ...],
    *,
    everything: bool,
    quiet: bool,
    keys: tuple[str, ...],
    record: str | None,
    anew: Path | None,
    proof: str | None,
    log_keys: tuple[str, ...],
    witnesses: tuple[str, ...],
    quorum: int | None,
    policy: Path | None,
    as_json: bool,
) -> int:
    """Check that records are whole and unchanged: files, executions, or all.

    A file is an exported record, a journal, a dossier, or a signed envelope (export --dsse); its content says which.
    It needs no ledger for files, but for an envelope a key that is trusted. Every hash, link and count is computed
    anew; of a stored record also the row that lists show. Ends with 5 when something does not hold, and names the first
    bad entry.
    """
    _require_subjects(subjects, everything=everything, one=any(given is not None for given in (record, proof, anew)))
    if not subjects:
        return _verify_all(settings, quiet=quiet, as_json=as_json)

    of_log = _log_keys(log_keys, witnesses, quorum, policy, proof)

    def check(subject: str) -> Verified:
        found = _verify_one(settings, subject, keys, record, of_log, anew)
        if proof is not None and of_log is not None:
            return _with_proof(settings, found, proof, of_log)
        if of_log is not None and found.kind != "dossier":
            raise click.UsageError(
                f"--log-key, --witness, --quorum and --policy are for a dossier, or with --proof; {subject} is neither"
            )
        return _refuse_unsigned(found) if keys or record is not None else found

    if len(subjects) > 1:
        return _verify_each(settings, subjects, check, quiet=quiet, as_json=as_json)
    (subject,) = subjects
    try:
        found = check(subject)
    except ExecutionPurgedError as purged:
        show_tombstone(settings, purged.tombstone, as_json=as_json)
        return Exit.NOT_VERIFIED
    if as_json:
        print_json(found.to_dict())
    elif not quiet or not found.verdict:
        _print(settings.screen(), found, whole=True)
    return Exit.DONE if found.verdict else Exit.NOT_VERIFIED


def _require_subjects(subjects: tuple[str, ...], *, everything: bool, one: bool) -> None:
    if bool(subjects) == everything:
        both = "not both of a name and --all" if everything else "name a FILE or an ID, or give --all"
        raise click.UsageError(both)
    if one and len(subjects) != 1:
        raise click.UsageError("--record, --proof and --anew are of one file: name that one alone")


def _with_proof(settings: Settings, found: Verified, proof: str, keys: LogKeys) -> Verified:
    """Check a record's proof, too; what was verified is a file with a record, or an execution of the ledger."""
    from hearth.operations import check_proof
    from hearth.record import LARGEST_EXPORT

    if found.kind not in {"ledger", "record"}:
        raise click.UsageError(f"--proof FILE is of a record, and {found.subject} is another kind of file")
    if found.kind == "ledger":
        with settings.records() as records:
            record = records.ledger.get_bytes(found.subject)
    else:
        with Path(found.subject).open("rb") as file:
            record = file.read(LARGEST_EXPORT)
    return check_proof(found, record, Path(proof), keys)


def _log_keys(
    log_keys: tuple[str, ...], witnesses: tuple[str, ...], quorum: int | None, policy: Path | None, proof: str | None
) -> LogKeys | None:
    """Return whose checkpoints are believed; None where nothing was said of that, and no proof is to be checked."""
    if not log_keys and not witnesses and quorum is None and policy is None and proof is None:
        return None
    from hearth.operations import LogKeys

    return LogKeys.read(log_keys, witnesses, quorum, policy)


def _verify_each(settings: Settings, subjects: tuple[str, ...], check: Check, *, quiet: bool, as_json: bool) -> int:
    """Check several, one after the other, as --all does; what is not there is an error, and ends it."""
    checked = []
    for subject in subjects:
        try:
            checked.append(check(subject))
        except ExecutionPurgedError as purged:
            checked.append(_purged(subject, purged))
        if not as_json and not (quiet and checked[-1].verdict):
            _print(settings.screen(), checked[-1])
    bad = [found for found in checked if not found.verdict]
    if as_json:
        print_json({"ok": not bad, "checked": [found.to_dict() for found in checked]})
    return Exit.NOT_VERIFIED if bad else Exit.DONE


def _refuse_unsigned(found: Verified) -> Verified:
    """Refuse what is no envelope where a signature is asked for: it may have been put in the place of one."""
    from hearth.record import Verdict

    if not found.verdict or found.kind not in {"record", "journal", "ledger"}:
        return found
    why = "it is signed by nobody: it is no envelope, and --key and --record are for one"
    return replace(found, verdict=Verdict(ok=False, why=why, notes=found.verdict.notes))


def _purged(subject: str, purged: ExecutionPurgedError) -> Verified:
    from hearth.operations import Verified
    from hearth.record import Verdict

    return Verified(subject=subject, kind="ledger", verdict=Verdict(ok=False, why=str(purged)))


def _verify_one(
    settings: Settings,
    subject: str,
    keys: tuple[str, ...],
    record: str | None,
    of_log: LogKeys | None,
    anew: Path | None,
) -> Verified:
    from hearth.operations import trusted_keys, verify_file, verify_found

    path = Path(subject)
    if path.is_file():
        return verify_file(
            path,
            trusted=lambda: trusted_keys(keys, settings.home),
            record=None if record is None else Path(record),
            keys=keys,
            of_log=of_log,
            anew=anew,
        )
    if anew is not None:
        raise click.UsageError(f"--anew is of a dossier, and {subject} is no file")
    if path.parent != Path() or path.suffix in {".json", ".journal", ".dsse"}:
        raise ExecutionNotFoundError(
            _IS_FOLDER.format(subject) if path.is_dir() else f"the file {subject} is not there"
        )
    try:
        with settings.records() as records:
            return verify_found(records, records.find(subject))
    except (ExecutionNotFoundError, LedgerNotFoundError):
        if path.is_dir():
            raise ExecutionNotFoundError(_IS_FOLDER.format(subject)) from None
        raise


def _verify_all(settings: Settings, *, quiet: bool, as_json: bool) -> int:
    from hearth.cli._text import count
    from hearth.operations import verify_all

    checked = 0
    bad: list[dict[str, Any]] = []
    screen = settings.screen()
    with settings.records() as records:
        for found in verify_all(records):
            checked += 1
            if not found.verdict:
                bad.append(found.to_dict())
            if not as_json and not (quiet and found.verdict):
                _print(screen, found)
        told = {found["subject"] for found in bad}
        waiting = sum((note.execution_id or str(note.path)) not in told for note in records.journals())
    if as_json:
        print_json({"ok": not bad, "checked": checked, "not_verified": bad, "not_sealed": waiting})
    elif bad:
        screen.line((f"{len(bad)} of {count(checked, 'record')} NOT VERIFIED", "bold red"))
    elif not quiet:
        screen.line(
            (
                f"{count(checked, 'record')} verified" if checked else "no records to verify",
                "bold green" if checked else "",
            )
        )
    if waiting and not as_json and not quiet:
        screen.line(
            (f"{count(waiting, 'execution')} not sealed; what is written so far holds; see `hearth list`", "yellow")
        )
    return Exit.NOT_VERIFIED if bad else Exit.DONE


def _print(screen: Screen, found: Verified, *, whole: bool = False) -> None:
    from hearth.operations import UNSEALED

    verdict = found.verdict
    if verdict:
        screen.line((f"{screen.symbols.done} ", "green"), found.subject, ("  verified", "green"))
    elif verdict.why == UNSEALED:
        screen.line(
            (f"{screen.symbols.failed} ", "yellow"),
            found.subject,
            ("  NOT SEALED", "bold yellow"),
            ": what is written so far holds; where its run is over, `hearth recover` seals it",
        )
    else:
        first = "" if verdict.first_bad is None else f" (first bad entry: {verdict.first_bad})"
        screen.line(
            (f"{screen.symbols.failed} ", "red"),
            found.subject,
            ("  NOT VERIFIED: ", "bold red"),
            f"{verdict.why}{first}",
        )
    if found.emergency:
        screen.line(("EMERGENCY: the glass was broken for this run", "bold red"), indent=2)
    if found.checks:
        from hearth.cli._dossier import print_checks

        print_checks(screen, found.checks)
    for note in verdict.notes if not found.checks else ():
        screen.line((f"note: {note}", "yellow"), indent=2)
    if verdict and found.signed_by:
        screen.line(("signed by ", "dim"), ", ".join(found.signed_by), indent=2)
    if whole and verdict and found.execution_id is not None and found.execution_hash is not None:
        if found.execution_id != found.subject:
            screen.line(("execution ", "dim"), found.execution_id, indent=2)
        screen.line(("hash      ", "dim"), found.execution_hash, indent=2)
