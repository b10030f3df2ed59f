"""What a step really did: sandbox, layers and manifest, SQL effects, committing and taking back. Names load lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.observe._category import category_of
    from hearth.observe._change import Change, ChangeKind
    from hearth.observe._commit import CommitOutcome, CommitResult, RecoveredCommit, commit, recover_commits, undo
    from hearth.observe._committed_then import CommittedThen, committed_then
    from hearth.observe._deviation import deviations
    from hearth.observe._hosts import named_connections
    from hearth.observe._in_place import HostObserver, Observed, host_observer_why_not, prepare_host_observers
    from hearth.observe._layer import LayerChanges, layer_path, read_layer
    from hearth.observe._layer_view import LowerView
    from hearth.observe._loose import Loose, loosely_compared, risky_patterns
    from hearth.observe._manifest import Manifest, StepManifest, Way
    from hearth.observe._node import Node, NodeType
    from hearth.observe._owned_folder import OwnedFolder
    from hearth.observe._postgresql import PostgresCounts, postgres_name
    from hearth.observe._program import program_name, program_text, unquoted
    from hearth.observe._reconcile import Reconciliation, declared_path, reconcile
    from hearth.observe._request import ObservedRequest
    from hearth.observe._room import SandboxRoom, clear_dead_sandboxes
    from hearth.observe._row_deviation import loose_columns
    from hearth.observe._rows import RowChanges
    from hearth.observe._sandbox import Layout, SandboxedProcess, SandboxEnd, SandboxServer
    from hearth.observe._sqlite import (
        DatabaseFiles,
        SqliteEffects,
        compare_databases,
        connect_recorded,
        held_by_others,
        in_use,
        is_sqlite,
        snapshot,
    )
    from hearth.observe._tiers import Tier, probe
    from hearth.observe._tree import compare, scan, tree_digest

__all__ = [
    "Change",
    "ChangeKind",
    "CommitOutcome",
    "CommitResult",
    "CommittedThen",
    "DatabaseFiles",
    "HostObserver",
    "LayerChanges",
    "Layout",
    "Loose",
    "LowerView",
    "Manifest",
    "Node",
    "NodeType",
    "Observed",
    "ObservedRequest",
    "OwnedFolder",
    "PostgresCounts",
    "Reconciliation",
    "RecoveredCommit",
    "RowChanges",
    "SandboxEnd",
    "SandboxRoom",
    "SandboxServer",
    "SandboxedProcess",
    "SqliteEffects",
    "StepManifest",
    "Tier",
    "Way",
    "category_of",
    "clear_dead_sandboxes",
    "commit",
    "committed_then",
    "compare",
    "compare_databases",
    "connect_recorded",
    "declared_path",
    "deviations",
    "held_by_others",
    "host_observer_why_not",
    "in_use",
    "is_sqlite",
    "layer_path",
    "loose_columns",
    "loosely_compared",
    "named_connections",
    "postgres_name",
    "prepare_host_observers",
    "probe",
    "program_name",
    "program_text",
    "read_layer",
    "reconcile",
    "recover_commits",
    "risky_patterns",
    "scan",
    "snapshot",
    "tree_digest",
    "undo",
    "unquoted",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Change": "_change",
        "ChangeKind": "_change",
        "CommitOutcome": "_commit",
        "CommitResult": "_commit",
        "CommittedThen": "_committed_then",
        "DatabaseFiles": "_sqlite",
        "HostObserver": "_in_place",
        "LayerChanges": "_layer",
        "Layout": "_sandbox",
        "Loose": "_loose",
        "LowerView": "_layer_view",
        "Manifest": "_manifest",
        "Node": "_node",
        "NodeType": "_node",
        "Observed": "_in_place",
        "ObservedRequest": "_request",
        "OwnedFolder": "_owned_folder",
        "PostgresCounts": "_postgresql",
        "Reconciliation": "_reconcile",
        "RecoveredCommit": "_commit",
        "RowChanges": "_rows",
        "SandboxEnd": "_sandbox",
        "SandboxRoom": "_room",
        "SandboxServer": "_sandbox",
        "SandboxedProcess": "_sandbox",
        "SqliteEffects": "_sqlite",
        "StepManifest": "_manifest",
        "Tier": "_tiers",
        "Way": "_manifest",
        "category_of": "_category",
        "clear_dead_sandboxes": "_room",
        "commit": "_commit",
        "committed_then": "_committed_then",
        "compare": "_tree",
        "compare_databases": "_sqlite",
        "connect_recorded": "_sqlite",
        "declared_path": "_reconcile",
        "deviations": "_deviation",
        "held_by_others": "_sqlite",
        "named_connections": "_hosts",
        "host_observer_why_not": "_in_place",
        "in_use": "_sqlite",
        "is_sqlite": "_sqlite",
        "layer_path": "_layer",
        "loose_columns": "_row_deviation",
        "loosely_compared": "_loose",
        "postgres_name": "_postgresql",
        "prepare_host_observers": "_in_place",
        "probe": "_tiers",
        "program_name": "_program",
        "program_text": "_program",
        "read_layer": "_layer",
        "reconcile": "_reconcile",
        "recover_commits": "_commit",
        "risky_patterns": "_loose",
        "scan": "_tree",
        "snapshot": "_sqlite",
        "tree_digest": "_tree",
        "undo": "_commit",
        "unquoted": "_program",
    },
)
