"""What the command line and a console both do: run, preview, verify, recover, export. Nothing here prints or asks.

Names load when they are first used: most of them need the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.operations._approval_view import ApprovalView, LastApproved
    from hearth.operations._approvals import Approvals
    from hearth.operations._backup import Backup, back_up
    from hearth.operations._checks import HANDOFF, Check, checks
    from hearth.operations._command import command_plan
    from hearth.operations._cosign import LogCosigned, cosign_log, read_policy, witnesses_to_ask
    from hearth.operations._dossier import DossierMade, dossier_of
    from hearth.operations._envelopes import TrustedKeys, read_public_key, trusted_keys
    from hearth.operations._examples import EXAMPLES, Example
    from hearth.operations._export import export_envelope, export_record, write_file
    from hearth.operations._find import Found, JournalNote, Records
    from hearth.operations._fsck._check import fsck
    from hearth.operations._fsck._report import Finding, FsckReport
    from hearth.operations._hold import add_hold, list_holds, release_hold
    from hearth.operations._home import Initialised, find_home, initialise
    from hearth.operations._kept import contents_in_manifests, named_contents
    from hearth.operations._keys import (
        PASSPHRASE_VARIABLE,
        TrustedAs,
        default_key,
        keygen,
        load_key,
        trust_key,
        untrusted_key,
    )
    from hearth.operations._log import (
        LogStatus,
        LogVerified,
        log_init,
        log_status,
        log_update,
        opened_log,
        prove_execution,
        publish_log,
        read_note,
        verify_log,
    )
    from hearth.operations._log_keys import LogKeys
    from hearth.operations._manifests import approved_manifest, keep_manifest
    from hearth.operations._material import InputText, Material
    from hearth.operations._notify import notify, notify_of_request, probe_hooks
    from hearth.operations._observation import observation_plan
    from hearth.operations._outputs import read_output
    from hearth.operations._people import person
    from hearth.operations._plans import KeptPlan, PlanArchive
    from hearth.operations._posture import (
        Lockdown,
        PostureEntry,
        PostureView,
        StoppedRun,
        lock_down,
        posture_doubt,
        posture_history,
        read_posture,
        report_states,
        restore_posture,
    )
    from hearth.operations._preview import Preview, StepPreview, plan_warnings, preview_plan
    from hearth.operations._proof import check_proof
    from hearth.operations._purge import Purged, PurgeReport, purge
    from hearth.operations._recover import Recovered, recover
    from hearth.operations._restore import Restored, restore_backup
    from hearth.operations._review import emergency_runs, review_emergency, review_of
    from hearth.operations._rollback import RollbackReport, plan_rollback
    from hearth.operations._run import Confirmation, RunOutcome, run_plan
    from hearth.operations._sandbox_preview import PreviewOutcome, preview_in_sandbox
    from hearth.operations._sensors import record_refusal, tell_damage
    from hearth.operations._standalone import StandaloneOutcome, installed_tasks, run_standalone
    from hearth.operations._verify import UNSEALED, Verified, verify_all, verify_file, verify_found

__all__ = [
    "EXAMPLES",
    "HANDOFF",
    "PASSPHRASE_VARIABLE",
    "UNSEALED",
    "ApprovalView",
    "Approvals",
    "Backup",
    "Check",
    "Confirmation",
    "DossierMade",
    "Example",
    "Finding",
    "Found",
    "FsckReport",
    "Initialised",
    "InputText",
    "JournalNote",
    "KeptPlan",
    "LastApproved",
    "Lockdown",
    "LogCosigned",
    "LogKeys",
    "LogStatus",
    "LogVerified",
    "Material",
    "PlanArchive",
    "PostureEntry",
    "PostureView",
    "Preview",
    "PreviewOutcome",
    "PurgeReport",
    "Purged",
    "Records",
    "Recovered",
    "Restored",
    "RollbackReport",
    "RunOutcome",
    "StandaloneOutcome",
    "StepPreview",
    "StoppedRun",
    "TrustedAs",
    "TrustedKeys",
    "Verified",
    "add_hold",
    "approved_manifest",
    "back_up",
    "check_proof",
    "checks",
    "command_plan",
    "contents_in_manifests",
    "cosign_log",
    "default_key",
    "dossier_of",
    "emergency_runs",
    "export_envelope",
    "export_record",
    "find_home",
    "fsck",
    "initialise",
    "installed_tasks",
    "keep_manifest",
    "keygen",
    "list_holds",
    "load_key",
    "lock_down",
    "log_init",
    "log_status",
    "log_update",
    "named_contents",
    "notify",
    "notify_of_request",
    "observation_plan",
    "opened_log",
    "person",
    "plan_rollback",
    "plan_warnings",
    "posture_doubt",
    "posture_history",
    "preview_in_sandbox",
    "preview_plan",
    "probe_hooks",
    "prove_execution",
    "publish_log",
    "purge",
    "read_note",
    "read_output",
    "read_policy",
    "read_posture",
    "read_public_key",
    "record_refusal",
    "recover",
    "release_hold",
    "report_states",
    "restore_backup",
    "restore_posture",
    "review_emergency",
    "review_of",
    "run_plan",
    "run_standalone",
    "tell_damage",
    "trust_key",
    "trusted_keys",
    "untrusted_key",
    "verify_all",
    "verify_file",
    "verify_found",
    "verify_log",
    "witnesses_to_ask",
    "write_file",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "witnesses_to_ask": "_cosign",
        "read_policy": "_cosign",
        "cosign_log": "_cosign",
        "LogCosigned": "_cosign",
        "verify_log": "_log",
        "read_note": "_log",
        "publish_log": "_log",
        "prove_execution": "_log",
        "opened_log": "_log",
        "log_update": "_log",
        "log_status": "_log",
        "log_init": "_log",
        "check_proof": "_proof",
        "LogVerified": "_log",
        "LogStatus": "_log",
        "LogKeys": "_log_keys",
        "record_refusal": "_sensors",
        "tell_damage": "_sensors",
        "restore_posture": "_posture",
        "report_states": "_posture",
        "read_posture": "_posture",
        "posture_doubt": "_posture",
        "posture_history": "_posture",
        "lock_down": "_posture",
        "StoppedRun": "_posture",
        "PostureView": "_posture",
        "PostureEntry": "_posture",
        "Lockdown": "_posture",
        "PASSPHRASE_VARIABLE": "_keys",
        "review_emergency": "_review",
        "emergency_runs": "_review",
        "review_of": "_review",
        "ApprovalView": "_approval_view",
        "Approvals": "_approvals",
        "LastApproved": "_approval_view",
        "InputText": "_material",
        "Material": "_material",
        "TrustedAs": "_keys",
        "default_key": "_keys",
        "keygen": "_keys",
        "load_key": "_keys",
        "trust_key": "_keys",
        "untrusted_key": "_keys",
        "HANDOFF": "_checks",
        "checks": "_checks",
        "EXAMPLES": "_examples",
        "UNSEALED": "_verify",
        "Check": "_checks",
        "Confirmation": "_run",
        "Example": "_examples",
        "Backup": "_backup",
        "back_up": "_backup",
        "add_hold": "_hold",
        "list_holds": "_hold",
        "release_hold": "_hold",
        "Purged": "_purge",
        "PurgeReport": "_purge",
        "purge": "_purge",
        "Restored": "_restore",
        "restore_backup": "_restore",
        "Finding": "_fsck._report",
        "Found": "_find",
        "FsckReport": "_fsck._report",
        "Initialised": "_home",
        "JournalNote": "_find",
        "KeptPlan": "_plans",
        "PlanArchive": "_plans",
        "Preview": "_preview",
        "Records": "_find",
        "Recovered": "_recover",
        "RollbackReport": "_rollback",
        "RunOutcome": "_run",
        "StandaloneOutcome": "_standalone",
        "StepPreview": "_preview",
        "Verified": "_verify",
        "approved_manifest": "_manifests",
        "keep_manifest": "_manifests",
        "PreviewOutcome": "_sandbox_preview",
        "preview_in_sandbox": "_sandbox_preview",
        "command_plan": "_command",
        "TrustedKeys": "_envelopes",
        "read_public_key": "_envelopes",
        "trusted_keys": "_envelopes",
        "export_envelope": "_export",
        "export_record": "_export",
        "find_home": "_home",
        "fsck": "_fsck._check",
        "initialise": "_home",
        "installed_tasks": "_standalone",
        "notify": "_notify",
        "notify_of_request": "_notify",
        "observation_plan": "_observation",
        "person": "_people",
        "plan_rollback": "_rollback",
        "plan_warnings": "_preview",
        "preview_plan": "_preview",
        "probe_hooks": "_notify",
        "contents_in_manifests": "_kept",
        "named_contents": "_kept",
        "read_output": "_outputs",
        "recover": "_recover",
        "run_plan": "_run",
        "run_standalone": "_standalone",
        "verify_all": "_verify",
        "verify_file": "_verify",
        "verify_found": "_verify",
        "write_file": "_export",
        "DossierMade": "_dossier",
        "dossier_of": "_dossier",
    },
)
