"""`hearth approve`, `hearth deny` and `hearth review`: a person's word, signed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hearth.cli._confirm import DIGITS, ask, is_terminal
from hearth.cli._json import json_option, print_json
from hearth.cli._keygen import ask_passphrase, key_option
from hearth.cli._options import execution_argument, read_variables, var_option
from hearth.cli._request import print_request
from hearth.errors import GateRefusedError

if TYPE_CHECKING:
    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings
    from hearth.operations import Approvals, ApprovalView, LastApproved, Material
    from hearth.plan import Plan

__all__ = ["approve", "deny", "review"]

_NO_END = "\\ No newline at end of file"


@click.command()
@click.argument("request_id", metavar="REQUEST")
@click.option(
    "--plan", "plan_file", metavar="FILE", help="Read the plan and its inputs from here, not from what was kept."
)
@var_option
@click.option("--reason", metavar="TEXT", default="", help="What is to be said with it; recorded.")
@click.option(
    "--digest", metavar="HEX", help=f"The plan's digest (at least {DIGITS} digits of it), where nobody can be asked."
)
@click.option(
    "--accept-unseen",
    "accepted",
    multiple=True,
    metavar="SHA256",
    help="Approve the input with this SHA-256, which is no text, unseen; repeatable.",
)
@key_option
@json_option
@click.pass_obj
def approve(
    settings: Settings,
    request_id: str,
    plan_file: str | None,
    variables: tuple[str, ...],
    *,
    reason: str,
    digest: str | None,
    accepted: tuple[str, ...],
    key: str | None,
    as_json: bool,
) -> None:
    """Read a plan that somebody wants to run, and approve one run of it.

    All of it is shown, with what differs from the version that was approved last. To approve, you type the first digits
    of its digest, which is how one knows that it was this plan. An input that cannot be shown refuses the approval: a
    text that was not kept is read with --plan, a binary one has to be accepted by its own SHA-256.
    """
    from hearth.ledger import Ledger
    from hearth.operations import Approvals, load_key, notify_of_request

    home = settings.find_home()
    plan = _plan(plan_file, variables)
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        view = approvals.view(request_id)
        approvals.require_open(view)
        material = approvals.material(view, plan)
        screen = settings.screen(to_stderr=True)
        _show(screen, approvals, view, material, plan)
        _require_seen(material, accepted)
        _require_digest(view, digest)
        signer = load_key(home, key, passphrase=ask_passphrase)
        view = approvals.decide(view.asked.request_id, signer, verdict="approve", reason=reason)
    troubles = notify_of_request(home, "approval", view)
    _tell(settings, view, f"approved by {signer.name}", troubles, as_json=as_json)


@click.command()
@click.argument("request_id", metavar="REQUEST")
@click.option("--reason", metavar="TEXT", required=True, help="Why not; the requester reads it.")
@key_option
@json_option
@click.pass_obj
def deny(settings: Settings, request_id: str, *, reason: str, key: str | None, as_json: bool) -> None:
    """Deny a request. It outweighs every approval, also one that was given before, and stops a run under way."""
    from hearth.ledger import Ledger
    from hearth.operations import Approvals, load_key, notify_of_request

    home = settings.find_home()
    signer = load_key(home, key, passphrase=ask_passphrase)
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).decide(request_id, signer, verdict="deny", reason=reason)
    troubles = notify_of_request(home, "denial", view)
    _tell(settings, view, f"denied by {signer.name}", troubles, as_json=as_json)


@click.command()
@execution_argument
@click.option("--reason", metavar="TEXT", required=True, help="What the review found.")
@key_option
@json_option
@click.pass_obj
def review(settings: Settings, execution: str, *, reason: str, key: str | None, as_json: bool) -> None:
    """Review an emergency run: somebody else than who broke the glass says, signed, what came of it."""
    from hearth.operations import load_key, review_emergency

    home = settings.find_home()
    signer = load_key(home, key, passphrase=ask_passphrase)
    reviewed = review_emergency(home, execution, signer, reason=reason)
    if as_json:
        print_json(reviewed)
        return
    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"), f"{reviewed['execution_id']} was reviewed by {reviewed['reviewer']}"
    )


def _plan(plan_file: str | None, variables: tuple[str, ...]) -> Plan | None:
    values = read_variables(variables)
    if plan_file is None:
        return None
    from hearth.plan import load_plan

    return load_plan(plan_file, variables=values)


def _show(screen: Screen, approvals: Approvals, view: ApprovalView, material: Material, plan: Plan | None) -> None:
    """Print everything that is to be approved; nothing is cut."""
    from hearth.cli._manifest_text import print_manifest
    from hearth.execution import held_manifest
    from hearth.operations import approved_manifest
    from hearth.plan import plan_text

    print_request(screen, view)
    screen.heading("Plan")
    screen.lines(plan_text(material.document).removesuffix("\n"), indent=2)
    for name, known in material.inputs.items():
        screen.heading(f"Input {name}")
        screen.line((f"sha256 {known.digest}", "dim"), indent=2)
        if known.text is None:
            screen.line((known.missing or f"{known.binary}; it cannot be shown", "yellow"), indent=2)
        else:
            _show_text(screen, known.text)
    manifest = approved_manifest(approvals.home, view.asked)
    if manifest is not None:
        screen.heading(f"What its preview did on {manifest.host} (manifest {manifest.digest})")
        held = held_manifest(manifest, material.document, None if plan is None else plan.cwd)
        volatile = [step.get("volatile", ()) for step in material.document["steps"]]
        print_manifest(screen, manifest, held=held, volatile=volatile, whole=True)
        if held is None:
            screen.line(("--plan FILE shows beside it what the plan declares of it", "dim"), indent=2)
    _show_changes(screen, view, material, approvals.last_approved(view))


def _show_text(screen: Screen, text: str) -> None:
    r"""Print an input whole. A line ends at LF alone; a CR or another control character is printed as an escape."""
    *lines, last = text.split("\n")
    screen.block([line.expandtabs(4) for line in lines], indent=2)
    if last:
        screen.block([last.expandtabs(4)], indent=2)
        screen.line((_NO_END, "dim"), indent=2)
    if not text:
        screen.line(("empty", "dim"), indent=2)


def _show_changes(screen: Screen, view: ApprovalView, material: Material, before: LastApproved | None) -> None:
    if before is None:
        screen.heading("No version of this plan was approved before")
        return
    asked, use = before.view.asked, before.view.use
    when = f"{asked.request_id}, asked for at {asked.created:%Y-%m-%d %H:%M:%S} UTC, " + (
        "not run" if use is None else f"run as {use.execution_id}"
    )
    if before.same:
        screen.heading(f"This very version was approved before ({when})")
        screen.line((f"digest {view.asked.plan_digest}: the plan and every input are the same", "dim"), indent=2)
        return
    if before.material is None:
        screen.heading(f"The version that was approved last ({when}) cannot be shown, so nothing is compared")
        screen.line((before.why, "yellow"), indent=2)
        return
    screen.heading(f"Against the version that was approved last ({when})")
    changes = list(material.diff(before.material))
    for line in changes:
        screen.line((line, {"+": "green", "-": "red"}.get(line[:1], "dim")), indent=2)
    if not changes:
        screen.line("the texts are the same; the digests differ by the version of a task, or by a secret", indent=2)


def _require_seen(material: Material, accepted: tuple[str, ...]) -> None:
    """Have the approver accept each input that is no text by its SHA-256; refuse what cannot be shown at all."""
    unseen = material.unseen(accepted)
    if unseen and not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        named = "; ".join(f"{name} ({known.binary}): {known.digest}" for name, known in unseen.items())
        raise GateRefusedError(
            "not approved: inputs that are no text cannot be shown, and there is no terminal to ask on; where you know "
            f"what they hold, give --accept-unseen with the SHA-256 of each: {named}"
        )
    for name, known in unseen.items():
        typed = ask(f"Type the first {DIGITS} digits of the SHA-256 of {name} to approve it unseen: ").lower()
        if len(typed) < DIGITS or not known.digest.startswith(typed):
            raise GateRefusedError(
                f"not approved: {typed or 'nothing'!r} is not how the SHA-256 of {name} begins ({DIGITS} digits)"
            )


def _require_digest(view: ApprovalView, given: str | None) -> None:
    """Have the approver type the beginning of the digest that was shown."""
    wanted = view.asked.plan_digest
    if given is None:
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise GateRefusedError(
                "an approval asks for the first digits of the plan's digest, and there is no terminal to ask on; "
                "read what is shown, then give --digest"
            )
        given = ask(f"Type the first {DIGITS} digits of the digest to approve it: ")
    typed = given.strip().lower()
    if len(typed) < DIGITS or not wanted.startswith(typed):
        raise GateRefusedError(
            f"not approved: {typed or 'nothing'!r} is not how the digest {wanted} begins ({DIGITS} digits or more)"
        )


def _tell(settings: Settings, view: ApprovalView, what: str, troubles: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({**view.to_dict(), "notes": list(troubles)})
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), f"{view.asked.request_id} {what}")
    if view.state == "denied" and view.use is not None:
        screen.line((f"{view.use.execution_id} used it: it stops before its next step", "yellow"), indent=2)
    elif view.state == "approved":
        screen.line((f"a run may use it until {view.asked.expires:%Y-%m-%d %H:%M:%S} UTC", "dim"), indent=2)
    elif view.why:
        screen.line((view.why, "yellow"), indent=2)
    for trouble in troubles:
        screen.line((trouble, "yellow"), indent=2)
