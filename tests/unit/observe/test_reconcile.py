"""What a step did against what it declares: nothing undeclared passes, and nothing declared is missed unsaid."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hearth.observe import (
    Change,
    Node,
    NodeType,
    ObservedRequest,
    RowChanges,
    StepManifest,
    Way,
    category_of,
    reconcile,
)
from hearth.plan import DeclaredEffect
from hearth.record import SideEffectCategory

CWD = Path("/srv/app")
FILE = Node(type=NodeType.FILE, mode=0o644, uid=0, gid=0, size=1, sha256="a" * 64)
UID, GID = (os.geteuid(), os.getegid()) if hasattr(os, "geteuid") else (0, 0)
FOLDER = Node(type=NodeType.DIRECTORY, mode=0o755, uid=UID, gid=GID)


def made(path: str, node: Node = FILE) -> Change:
    change = Change.between(path, None, node)
    assert change is not None
    return change


def seen(*changes: Change, **more: Any) -> StepManifest:
    return StepManifest(index=0, name="s", way=Way.SANDBOX, changes=changes, **more)


def effect(category: str, pattern: str, *, must: bool = False) -> DeclaredEffect:
    return DeclaredEffect(SideEffectCategory(category), pattern, reversible=False, must=must)


@pytest.mark.parametrize(
    "category, pattern, path, covered",
    [
        ("file_system", "out.txt", "/srv/app/out.txt", True),
        ("file_system", "out.txt", "/srv/app/out.txt.bak", False),
        ("file_system", "out", "/srv/app/out/deep/x", True),
        ("file_system", "out/", "/srv/app/out/deep/x", True),
        ("file_system", "*.log", "/srv/app/a.log", True),
        ("file_system", "*.log", "/srv/app/sub/a.log", False),
        ("file_system", "**/*.log", "/srv/app/sub/a.log", True),
        ("configuration", "/etc/app.ini", "/etc/app.ini", True),
        ("data_mutation", "app.db", "/srv/app/app.db", True),
        ("data_mutation", "users", "/srv/app/users", False),
        ("network", "out.txt", "/srv/app/out.txt", False),
        ("other", "out.txt", "/srv/app/out.txt", False),
        ("file_system", "../other/x", "/srv/other/x", True),
    ],
)
def test_paths(category: str, pattern: str, path: str, covered: bool) -> None:
    found = reconcile(seen(made(path)), [effect(category, pattern)], CWD)
    assert (not found.undeclared) is covered
    assert (path in found.covered) is covered
    if not covered:
        assert path in found.undeclared[0]


def test_directories_on_the_way_to_what_is_declared_are_declared_too() -> None:
    declared = [effect("file_system", "out/deep/x.txt")]
    on_the_way = made("/srv/app/out", FOLDER), made("/srv/app/out/deep", FOLDER), made("/srv/app/out/deep/x.txt")
    assert reconcile(seen(*on_the_way), declared, CWD).undeclared == ()
    beside = reconcile(seen(made("/srv/app/other", FOLDER)), declared, CWD)
    assert len(beside.undeclared) == 1
    a_file_there = reconcile(seen(made("/srv/app/out")), declared, CWD)
    assert len(a_file_there.undeclared) == 1


@pytest.mark.parametrize(
    "pattern, path, declared",
    [
        ("**/x.txt", "/srv/app/new", False),
        ("**/x.txt", "/srv/else/deep", False),
        ("**/x.txt", "/srv", True),
        ("out/*/x.txt", "/srv/app/out", True),
        ("out/*/x.txt", "/srv/app/out/new", False),
        ("out/*/../../../../etc/x", "/srv/app/out", False),
        ("out/", "/srv/app/out", True),
        ("out/deep/x.txt", "/srv/app/out/deep", True),
        ("out/deep/x.txt", "/srv/app/out/dee", False),
        ("*/x.txt", "/srv/app/a/b", False),
    ],
)
def test_an_empty_directory_is_declared_only_where_the_plan_names_it(pattern: str, path: str, declared: bool) -> None:
    found = reconcile(seen(made(path, FOLDER)), [effect("file_system", pattern)], CWD)
    assert (not found.undeclared) is declared


def test_a_directory_above_something_made_and_declared_is_declared_and_those_beside_it_are_not() -> None:
    declared = [effect("file_system", "**/x.txt")]
    way = made("/srv/app/a", FOLDER), made("/srv/app/a/b", FOLDER), made("/srv/app/a/b/x.txt")
    beside = made("/srv/else", FOLDER), made("/srv/else/deep", FOLDER), made("/srv/app/a/c", FOLDER)
    found = reconcile(seen(*way, *beside), declared, CWD)
    assert found.undeclared == tuple(f"{one.path} was created" for one in beside)
    assert found.covered["/srv/app/a"] == "**/x.txt"


@pytest.mark.parametrize(
    "more",
    [
        {"mode": 0o1777},
        {"mode": 0o2755},
        {"mode": 0o4755},
        {"uid": UID + 1},
        {"xattrs": {"system.posix_acl_default": "a" * 64}},
    ],
)
def test_a_directory_with_more_rights_than_mkdir_gives_is_declared_by_itself_alone(more: dict[str, Any]) -> None:
    folder = made("/srv/app/out", replace(FOLDER, **more))
    changes = seen(folder, made("/srv/app/out/x.txt"))
    found = reconcile(changes, [effect("file_system", "out/x.txt")], CWD)
    assert found.undeclared == ("/srv/app/out was created",)
    assert reconcile(changes, [effect("file_system", "out")], CWD).undeclared == ()


@pytest.mark.parametrize(
    "cwd, path, covered",
    [
        ("/srv/*", "/srv/victim/a.txt", False),
        ("/srv/*", "/srv/*/a.txt", True),
        ("/srv/*", "/srv/*/a.txt/below", True),
        ("/srv/app[1]", "/srv/app[1]/a.txt", True),
        ("/srv/app[1]", "/srv/app1/a.txt", False),
        ("/srv/**", "/srv/x/y/a.txt", False),
        ("/srv/a?", "/srv/ab/a.txt", False),
        ("/srv/a]b[", "/srv/a]b[/a.txt", True),
    ],
)
def test_wildcards_in_the_name_of_the_plans_folder_are_none(cwd: str, path: str, covered: bool) -> None:
    for pattern in ("a.txt", "*.txt*") if not path.endswith("below") else ("a.txt",):
        found = reconcile(seen(made(path)), [effect("file_system", pattern)], Path(cwd))
        assert (not found.undeclared) is covered


def test_a_path_that_is_not_plain_is_not_declared_by_its_beginning() -> None:
    found = reconcile(seen(actions=("write /srv/app/../../etc/passwd",)), [effect("system", "/srv/app/")], CWD)
    assert len(found.undeclared) == 1


def test_a_directory_on_the_way_does_not_fulfil_the_declaration() -> None:
    declared = [effect("file_system", "out/x.txt", must=True)]
    found = reconcile(seen(made("/srv/app/out", FOLDER)), declared, CWD)
    assert found.missing == tuple(declared)
    assert found.must == tuple(declared)


@pytest.mark.parametrize(
    "pattern, covered",
    [
        ("users", True),
        ("app.db:users", True),
        ("other.db:users", False),
        ("groups", False),
        ("app.db", True),
        ("*", True),
    ],
)
def test_rows(pattern: str, covered: bool) -> None:
    rows = (RowChanges(database="/srv/app/app.db", table="users", inserted=1, updated=0, deleted=0),)
    found = reconcile(seen(rows=rows), [effect("data_mutation", pattern)], CWD)
    assert (not found.undeclared) is covered


@pytest.mark.parametrize(
    "pattern, covered",
    [
        ("api.example", True),
        ("api.example:8080", True),
        ("api.example:80", False),
        ("POST api.example", True),
        ("post api.example:8080", True),
        ("GET api.example", False),
        ("*.example", True),
        ("http://api.example:8080/reload", True),
        ("http://api.example:8080/*", True),
        ("http://api.example:8080/other", False),
        ("example", False),
        ("https://api.example:8080/reload", False),
        ("HTTP://api.example:8080/reload", True),
        ("*://api.example:8080/reload", True),
    ],
)
def test_requests(pattern: str, covered: bool) -> None:
    requests = (ObservedRequest(method="POST", url="http://api.example:8080/reload", sent=True, status=200),)
    found = reconcile(seen(requests=requests), [effect("network", pattern)], CWD)
    assert (not found.undeclared) is covered


@pytest.mark.parametrize(
    "pattern, url, covered",
    [
        ("http://h/reload", "http://h/evil?x=/../../reload", False),
        ("http://h/reload", "http://h/x/../reload", False),
        ("http://h/public/**", "http://h/public/../admin", False),
        ("http://h/public/**", "http://h/public/%2E%2e/admin", False),
        ("http://h/public/**", "http://h/public/a/b", True),
        ("http://h/public/", "http://h/public/", True),
        ("http://h/public/", "http://h/public/a/b", True),
        ("http://h/public/", "http://h/public", False),
        ("http://h", "http://h/", True),
        ("http://h/", "http://h", True),
        ("http://h", "http://h/admin", False),
    ],
)
def test_of_a_url_nothing_is_taken_away_before_it_is_compared(pattern: str, url: str, covered: bool) -> None:
    requests = (ObservedRequest(method="GET", url=url, sent=True, status=200),)
    assert (not reconcile(seen(requests=requests), [effect("network", pattern)], CWD).undeclared) is covered


@pytest.mark.parametrize(
    "pattern, rows, schema",
    [
        ("users", True, False),
        ("app.db:users", True, False),
        ("schema:users", False, True),
        ("schema:*", False, True),
        ("schema:other", False, False),
        ("app.db:schema:users", False, True),
        ("other.db:schema:users", False, False),
        ("*users", True, False),
        ("us*", True, False),
        ("*", True, True),
        ("app.db:*", True, True),
        ("other.db:*", False, False),
        ("app.db", True, True),
    ],
)
def test_a_change_of_the_schema_is_declared_by_its_own_name(pattern: str, rows: bool, schema: bool) -> None:
    one = RowChanges(database="/srv/app/app.db", table="users", inserted=1)
    other = RowChanges(database="/srv/app/app.db", table="schema:users", definition="a" * 64)
    assert (not reconcile(seen(rows=(one,)), [effect("data_mutation", pattern)], CWD).undeclared) is rows
    found = reconcile(seen(rows=(other,)), [effect("data_mutation", pattern)], CWD)
    assert found.undeclared == (() if schema else ("the schema of /srv/app/app.db was changed (schema:users)",))


def test_a_table_is_no_path() -> None:
    rows = (RowChanges(database="/srv/app/app.db", table="secrets/../users", inserted=1, updated=0, deleted=0),)
    assert reconcile(seen(rows=rows), [effect("data_mutation", "users")], CWD).undeclared


ROWS = (RowChanges(database="/srv/app/app.db", table="users", inserted=1, updated=0, deleted=0),)
EVIL = RowChanges(database="/srv/app/app.db", table="schema:evil", definition="a" * 64)
MORE = (*ROWS, RowChanges(database="/srv/app/app.db", table="log", inserted=1, updated=0, deleted=0))


@pytest.mark.parametrize(
    "patterns, rows, unseen, covered",
    [
        (["users"], ROWS, (), True),
        (["app.db:users"], ROWS, (), True),
        (["users"], MORE, (), False),
        (["users", "log"], MORE, (), True),
        (["users"], (), (), False),
        (["users"], ROWS, ("/srv/app/app.db: the schema: CREATE TABLE x",), False),
        (["users"], ROWS, ("rows in /srv/app/app.db: it cannot be read",), False),
        (["users"], ROWS, ("/srv/app/other.db: the schema",), True),
        (["app.db"], ROWS, (), True),
        (["users"], (*ROWS, EVIL), ("/srv/app/app.db: the schema: CREATE TRIGGER evil",), False),
        (["users", "schema:evil"], (*ROWS, EVIL), ("/srv/app/app.db: the schema: CREATE TRIGGER evil",), True),
        (["schema:evil"], (EVIL,), ("/srv/app/app.db: the schema: CREATE TRIGGER evil",), True),
        (["users", "schema:evil"], (*ROWS, EVIL), ("/srv/app/app.db: rows of x: unknown",), False),
    ],
)
def test_a_databases_file_is_declared_by_the_tables_where_all_its_rows_were_seen(
    patterns: list[str], rows: tuple[RowChanges, ...], unseen: tuple[str, ...], covered: bool
) -> None:
    before = replace(FILE, sha256="b" * 64)
    change = Change.between("/srv/app/app.db", before, FILE)
    assert change is not None
    beside = made("/srv/app/app.db-wal")
    declared = [effect("data_mutation", pattern) for pattern in patterns]
    found = reconcile(seen(change, beside, rows=rows, unseen=unseen), declared, CWD)
    assert (found.undeclared == ()) is covered
    assert reconcile(seen(made("/srv/app/app.db"), rows=rows), declared[:1], CWD).undeclared or patterns == ["app.db"]


def test_what_sqlite_keeps_beside_a_database_belongs_to_it_and_to_no_other_file() -> None:
    gone = Change.between("/srv/app/app.db-shm", FILE, None)
    assert gone is not None
    assert reconcile(seen(gone), [effect("data_mutation", "app.db")], CWD).undeclared == ()
    assert reconcile(seen(gone), [effect("file_system", "app.db")], CWD).undeclared != ()
    assert reconcile(seen(gone), [effect("data_mutation", "other.db")], CWD).undeclared != ()


SCRIPT = Node(type=NodeType.FILE, mode=0o6755, uid=0, gid=0, size=1, sha256="c" * 64)
DATABASE = Node(type=NodeType.FILE, mode=0o600, uid=UID, gid=GID, size=1, sha256="a" * 64)


@pytest.mark.parametrize(
    "name, before, after",
    [
        ("app.db", DATABASE, replace(DATABASE, mode=0o6777, sha256="b" * 64)),
        ("app.db", DATABASE, replace(DATABASE, uid=65534, sha256="b" * 64)),
        ("app.db", DATABASE, replace(DATABASE, xattrs={"user.x": "d" * 64}, sha256="b" * 64)),
        ("app.db", DATABASE, replace(DATABASE, mode=0o644)),
        ("app.db", DATABASE, Node(type=NodeType.SYMLINK, mode=0o777, uid=0, gid=0, target="/etc/shadow")),
        ("app.db-journal", None, SCRIPT),
        ("app.db-journal", None, replace(DATABASE, mode=0o700)),
        ("app.db-journal", None, replace(DATABASE, mode=0o644)),
        ("app.db-journal", None, replace(DATABASE, links=2)),
        ("app.db-wal", None, replace(DATABASE, xattrs={"user.x": "d" * 64})),
        ("app.db-wal", None, replace(FOLDER, mode=0o1777)),
        ("app.db-shm", None, Node(type=NodeType.SYMLINK, mode=0o777, uid=0, gid=0, target="/etc/shadow")),
        ("app.db-shm", DATABASE, replace(DATABASE, uid=65534)),
        ("app.db-shm", FOLDER, None),
    ],
)
def test_a_declared_change_of_rows_covers_the_content_of_a_databases_files_alone(
    name: str, before: Node | None, after: Node | None
) -> None:
    change = Change.between(f"/srv/app/{name}", before, after)
    content = Change.between("/srv/app/app.db", DATABASE, replace(DATABASE, sha256="b" * 64))
    assert change is not None
    assert content is not None
    changes = (change,) if name == "app.db" else (content, change)
    for pattern in ("users", "app.db"):
        found = reconcile(seen(*changes, rows=ROWS), [effect("data_mutation", pattern)], CWD)
        assert found.undeclared == (f"{change.path} was {change.kind.words}",)
    assert reconcile(seen(change), [effect("file_system", name)], CWD).undeclared == ()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_sqlite_makes_beside_a_database_has_its_permissions(end: str) -> None:
    content = Change.between("/srv/app/app.db", DATABASE, replace(DATABASE, sha256="b" * 64))
    assert content is not None
    beside = made(f"/srv/app/app.db{end}", replace(DATABASE, sha256="e" * 64))
    for pattern in ("users", "app.db"):
        assert reconcile(seen(content, beside, rows=ROWS), [effect("data_mutation", pattern)], CWD).undeclared == ()


def test_beside_a_database_that_did_not_change_itself_its_permissions_are_those_on_the_host(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"x")
    (tmp_path / "app.db").chmod(0o660)
    rows = (RowChanges(database=str(tmp_path / "app.db"), table="users", inserted=1),)
    for mode, covered in ((0o660, True), (0o644, False), (0o666, False)):
        beside = made(str(tmp_path / "app.db-wal"), replace(DATABASE, mode=mode))
        found = reconcile(seen(beside, rows=rows), [effect("data_mutation", "users")], tmp_path)
        assert (found.undeclared == ()) is covered
    (tmp_path / "app.db").unlink()
    for mode, covered in ((0o600, True), (0o644, True), (0o755, False), (0o666, False)):
        beside = made(str(tmp_path / "app.db-wal"), replace(DATABASE, mode=mode))
        found = reconcile(seen(beside, rows=rows), [effect("data_mutation", "users")], tmp_path)
        assert (found.undeclared == ()) is covered


def test_connections_are_declared_by_host_and_port() -> None:
    tried = seen(connections=("tcp 10.0.0.1:80",))
    assert reconcile(tried, [effect("network", "10.0.0.1:80")], CWD).undeclared == ()
    assert reconcile(tried, [effect("network", "10.0.0.1")], CWD).undeclared == ()
    assert len(reconcile(tried, [effect("network", "10.0.0.2")], CWD).undeclared) == 1


def test_programs_count_only_where_some_are_declared() -> None:
    ran = seen(programs=("/usr/bin/git commit", "/bin/sh -c x"))
    assert reconcile(ran, [], CWD).undeclared == ()
    found = reconcile(ran, [effect("system", "program:git")], CWD)
    assert found.undeclared == ("the program /bin/sh -c x was started",)


def test_what_was_not_seen_is_missing_and_free_words_are_not() -> None:
    declared = [effect("file_system", "a"), effect("other", "sends a letter"), effect("system", "restarts nginx")]
    found = reconcile(seen(), declared, CWD)
    assert found.missing == (declared[0],)
    assert found.must == ()


@pytest.mark.parametrize(
    "path, category",
    [
        ("/etc/app.ini", "configuration"),
        ("/etc/systemd/system/a.service", "system"),
        ("/etc/passwd", "system"),
        ("/var/lib/dpkg/status", "system"),
        ("/srv/app/app.db", "data_mutation"),
        ("/srv/app/app.db-wal", "data_mutation"),
        ("/srv/app/app.conf", "configuration"),
        ("/srv/app/notes.txt", "file_system"),
        ("/etcetera/x", "file_system"),
    ],
)
def test_categories(path: str, category: str) -> None:
    assert category_of(made(path), ["/srv/app/*.conf"]) == SideEffectCategory(category)


def test_a_set_uid_program_is_of_the_system_wherever_it_lies() -> None:
    shell = Node(type=NodeType.FILE, mode=0o4755, uid=0, gid=0, size=1, sha256="a" * 64)
    assert category_of(made("/srv/app/tool", shell)) is SideEffectCategory.SYSTEM
    kept = Change.between("/srv/app/tool", shell, Node(type=NodeType.FILE, mode=0o4700, uid=0, gid=0, size=1))
    assert kept is not None
    assert category_of(kept) is SideEffectCategory.FILE_SYSTEM


def test_actions_are_declared_by_their_call_and_files_of_the_kernel_by_their_path_as_well() -> None:
    done = seen(actions=("kill SIGTERM to nginx (7)", "mount /mnt", "write /proc/sys/kernel/shmmax"))
    declared = [effect("system", "call:mount"), effect("system", "/proc/sys/kernel/*"), effect("system", "call:reboot")]
    held = reconcile(done, declared, CWD)
    assert held.undeclared == ("kill SIGTERM to nginx (7) was called",)
    assert held.covered == {"mount /mnt": "call:mount", "write /proc/sys/kernel/shmmax": "/proc/sys/kernel/*"}
    assert [one.pattern for one in held.missing] == ["call:reboot"]
    assert reconcile(done, [effect("network", "call:mount")], CWD).undeclared == tuple(
        f"{action} was called" for action in done.actions
    )
