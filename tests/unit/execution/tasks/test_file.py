from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError
from hearth.execution.tasks import _change, _files
from hearth.execution.tasks.file import FILE

if TYPE_CHECKING:
    from tests.unit.execution.tasks.conftest import Bench

posix = pytest.mark.skipif(os.name != "posix", reason="permission bits and links are POSIX")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def effects(result: Any) -> list[tuple[str, bool]]:
    return [(effect.description, effect.reversible) for effect in result.side_effects]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


@pytest.fixture
def umask() -> Any:
    before = os.umask(0o022)
    yield
    os.umask(before)


class TestWrite:
    def test_a_new_file(self, bench: Bench, umask: None) -> None:
        result = bench.run("file", {"write": "VERSION", "content": "9\n"})
        path = bench.folder / "VERSION"
        assert (result.failed, result.error) == (False, "")
        assert path.read_bytes() == b"9\n"
        after = {"sha256": sha(b"9\n"), "size": 2, "mode": "0644"}
        assert result.details == {"path": str(path), "before": None, "after": after, "changed": True}
        assert effects(result) == [("wrote VERSION (2 bytes)", True)]
        effect = result.side_effects[0]
        assert effect.category == "FILE_SYSTEM"
        assert effect.details == {"path": str(path), "before": None, "after": after}
        assert leftovers(bench.folder) == []

    def test_what_was_there_is_kept(self, bench: Bench) -> None:
        path = bench.folder / "VERSION"
        path.write_text("version 8\n")
        path.chmod(0o640)
        result = bench.run("file", {"write": "VERSION", "content": "version 99\n"})
        assert effects(result) == [("wrote VERSION (11 bytes, was 10)", True)]
        assert result.details["before"] == {"sha256": sha(b"version 8\n"), "size": 10, "mode": "0640"}
        assert result.details["after"] == {"sha256": sha(b"version 99\n"), "size": 11, "mode": "0640"}
        assert bench.store.read(result.details["before"]["sha256"]) == b"version 8\n"
        assert mode(path) == 0o640

    def test_the_same_content_again_is_no_effect(self, bench: Bench) -> None:
        bench.run("file", {"write": "a", "content": "x"})
        result = bench.run("file", {"write": "a", "content": "x"})
        assert (result.failed, result.details["changed"], result.side_effects) == (False, False, ())

    @posix
    def test_a_mode_of_its_own(self, bench: Bench, umask: None) -> None:
        bench.run("file", {"write": "a", "content": "x", "mode": "0600"})
        assert mode(bench.folder / "a") == 0o600
        result = bench.run("file", {"write": "a", "content": "x", "mode": "666"})
        assert mode(bench.folder / "a") == 0o666
        assert result.details["changed"] is True

    def test_overwriting_can_be_forbidden(self, bench: Bench) -> None:
        (bench.folder / "a").write_text("old")
        result = bench.run("file", {"write": "a", "content": "new", "overwrite": False})
        assert result.error == "a is there already, and the plan says `overwrite: false`"
        assert (bench.folder / "a").read_text() == "old"

    def test_folders_are_made_only_where_asked_for(self, bench: Bench) -> None:
        result = bench.run("file", {"write": "a/b/c", "content": "x"})
        assert result.error == f"there is no folder {bench.folder / 'a' / 'b'}; say `parents: true` if it is to be made"
        assert list(bench.folder.iterdir()) == []
        result = bench.run("file", {"write": "a/b/c", "content": "x", "parents": True})
        assert effects(result) == [
            (f"created the folder {bench.folder / 'a'}", True),
            (f"created the folder {bench.folder / 'a' / 'b'}", True),
            ("wrote a/b/c (1 byte)", True),
        ]

    def test_paths_start_at_cwd(self, bench: Bench) -> None:
        (bench.folder / "sub").mkdir()
        bench.run("file", {"write": "a", "content": "x"}, cwd="sub")
        assert (bench.folder / "sub" / "a").is_file()

    def test_text_is_utf8_and_line_ends_stay(self, bench: Bench) -> None:
        bench.run("file", {"write": "a", "content": "ä\r\nb\n"})
        assert (bench.folder / "a").read_bytes() == b"\xc3\xa4\r\nb\n"

    @posix
    def test_what_is_no_regular_file_is_left_alone(self, bench: Bench) -> None:
        (bench.folder / "folder").mkdir()
        os.mkfifo(bench.folder / "pipe")
        assert (
            "is a folder; the file task acts on regular files only"
            in bench.run("file", {"write": "folder", "content": "x"}).error
        )
        assert "is no regular file" in bench.run("file", {"write": "pipe", "content": "x"}).error
        assert (bench.folder / "pipe").is_fifo()

    @posix
    def test_extended_attributes_stay(self, bench: Bench) -> None:
        path = bench.folder / "a"
        path.write_text("x")
        try:
            os.setxattr(path, "user.note", b"kept")
        except OSError:
            pytest.skip("this file system has no extended attributes")
        bench.run("file", {"write": "a", "content": "y"})
        assert os.getxattr(path, "user.note") == b"kept"

    @posix
    def test_other_names_of_the_file_are_told(self, bench: Bench) -> None:
        path = bench.folder / "a"
        path.write_text("old")
        os.link(path, bench.folder / "b")
        result = bench.run("file", {"write": "a", "content": "new"})
        assert result.details["links"] == 2
        assert (bench.folder / "b").read_text() == "old"

    def test_configuration_is_told_apart(self) -> None:
        assert _change._category(Path("/etc/app.conf")) == "CONFIGURATION"
        assert _change._category(Path("/srv/etc/app.conf")) == "FILE_SYSTEM"


class TestAtOnceOrNotAtAll:
    @pytest.mark.parametrize("call", ["write", "fsync", "replace", "fchmod"])
    def test_a_failing_system_call_leaves_the_file_as_it_was(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        path = bench.folder / "a"
        path.write_text("old")
        path.chmod(0o640)

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        if call == "write":
            monkeypatch.setattr(_change.Change, "_may_go_on", fail)
        else:
            monkeypatch.setattr(os, call, fail)
        result = bench.run("file", {"write": "a", "content": "new"})
        monkeypatch.undo()
        assert result.failed
        assert "No space left on device" in result.error
        assert result.side_effects == ()
        assert (path.read_text(), mode(path)) == ("old", 0o640)
        assert leftovers(bench.folder) == []

    @pytest.mark.parametrize(
        "params, effect",
        [
            ({"write": "a", "content": "new"}, "wrote a (3 bytes, was 3)"),
            ({"delete": "a"}, "deleted a (3 bytes)"),
            ({"move": "a", "to": "b"}, "moved a to b (3 bytes)"),
        ],
    )
    def test_what_has_happened_is_told_even_if_it_cannot_be_made_durable(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, params: Any, effect: str
    ) -> None:
        (bench.folder / "a").write_text("old")

        def fail(folder: Path) -> None:
            raise OSError(5, "Input/output error", str(folder))

        monkeypatch.setattr(_change, "sync_directory", fail)
        result = bench.run("file", params)
        assert result.error == f"{bench.folder}: Input/output error"
        assert effects(result) == [(effect, True)]

    def test_the_order_of_system_calls(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        fsync, replace = os.fsync, os.replace

        def spy_fsync(descriptor: int) -> None:
            calls.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
            fsync(descriptor)

        def spy_replace(*args: Any, **kwargs: Any) -> None:
            replace(*args, **kwargs)
            calls.append("rename")

        monkeypatch.setattr(os, "fsync", spy_fsync)
        monkeypatch.setattr(os, "replace", spy_replace)
        bench.run("file", {"write": "a", "content": "new"})
        assert calls == ["sync file", "rename", "sync folder"]

    def test_a_change_by_somebody_else_meanwhile_is_seen(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        path = bench.folder / "a"
        path.write_text("old")
        carry_over = _files._carry_over

        def meanwhile(*args: Any) -> None:
            path.write_text("by somebody else")
            carry_over(*args)

        monkeypatch.setattr(_files, "_carry_over", meanwhile)
        result = bench.run("file", {"write": "a", "content": "new"})
        assert result.error == f"{path} was changed by somebody else meanwhile; nothing was done to it"
        assert path.read_text() == "by somebody else"

    def test_a_cancellation_comes_before_the_change(self, bench: Bench) -> None:
        (bench.folder / "a").write_text("old")
        bench.cancellation.request("LOCKDOWN", immediate=True)
        for params in (
            {"write": "a", "content": "new"},
            {"delete": "a"},
            {"move": "a", "to": "b"},
            {"append": "a", "content": "x"},
        ):
            assert bench.run("file", params).error == "stopped: LOCKDOWN"
        assert (bench.folder / "a").read_text() == "old"
        assert sorted(path.name for path in bench.folder.iterdir()) == ["a"]

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
    def test_what_the_system_refuses_is_told(self, bench: Bench) -> None:
        bench.folder.chmod(0o500)
        result = bench.run("file", {"write": "a", "content": "x"})
        bench.folder.chmod(0o700)
        assert "Permission denied as user" in result.error


class TestAppend:
    def test_content_is_added(self, bench: Bench) -> None:
        (bench.folder / "hosts").write_text("one\n")
        result = bench.run("file", {"append": "hosts", "content": "two\n"})
        assert (bench.folder / "hosts").read_text() == "one\ntwo\n"
        assert effects(result) == [("appended to hosts (4 bytes more, 8 bytes)", True)]
        assert bench.store.read(result.details["before"]["sha256"]) == b"one\n"

    def test_a_missing_file_is_made(self, bench: Bench) -> None:
        result = bench.run("file", {"append": "new", "content": "x"})
        assert (bench.folder / "new").read_text() == "x"
        assert result.details["before"] is None

    def test_a_large_file(self, bench: Bench) -> None:
        (bench.folder / "log").write_bytes(b"line\n" * 100_000)
        bench.run("file", {"append": "log", "content": "end\n"})
        assert (bench.folder / "log").read_bytes() == b"line\n" * 100_000 + b"end\n"


class TestTemplate:
    def render(self, bench: Bench, template: str, **variables: Any) -> Any:
        (bench.folder / "app.conf.j2").write_text(template)
        return bench.run("file", {"template": "app.conf.j2", "to": "app.conf", "variables": variables})

    def test_it_is_filled_in(self, bench: Bench) -> None:
        result = self.render(
            bench, "port = {{ port }}\n{% for h in hosts %}- {{ h }}\n{% endfor %}<&>\n", port=80, hosts=["a", "b"]
        )
        assert (bench.folder / "app.conf").read_text() == "port = 80\n- a\n- b\n<&>\n"
        assert effects(result) == [("wrote app.conf (22 bytes)", True)]

    def test_the_template_is_an_input(self, bench: Bench) -> None:
        (bench.folder / "t.j2").write_text("x")
        assert list(bench.plan({"template": "t.j2", "to": "a"}, task="file").inputs) == ["t.j2"]

    @pytest.mark.parametrize(
        "template, error",
        [
            ("{{ missing }}", "app.conf.j2: 'missing' is undefined"),
            ("a\n{% if %}", "app.conf.j2, line 2: Expected an expression, got 'end of statement block'"),
            ("{{ ''.__class__.__mro__ }}", "app.conf.j2: access to attribute '__class__' of 'str' object is unsafe."),
            ("{{ 1 / 0 }}", "app.conf.j2: ZeroDivisionError: division by zero"),
            ("{% include 'x' %}", "app.conf.j2: TypeError: no loader for this environment specified"),
            (
                "{{ range(10000000) }}",
                "app.conf.j2: OverflowError: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
            ),
        ],
    )
    def test_what_cannot_be_filled_in_changes_nothing(self, bench: Bench, template: str, error: str) -> None:
        result = self.render(bench, template)
        assert (result.failed, result.error) == (True, error)
        assert not (bench.folder / "app.conf").exists()


class TestCopy:
    def test_a_file_is_copied(self, bench: Bench, umask: None) -> None:
        source = bench.folder / "app.db"
        source.write_bytes(os.urandom(300_000))
        result = bench.run("file", {"copy": "app.db", "to": "backup.db"})
        assert (bench.folder / "backup.db").read_bytes() == source.read_bytes()
        assert effects(result) == [("copied app.db to backup.db (300 000 bytes)", True)]
        assert result.details["from"] == "app.db"
        assert mode(bench.folder / "backup.db") == 0o644

    @posix
    def test_programs_stay_programs(self, bench: Bench, umask: None) -> None:
        (bench.folder / "tool").write_text("#!/bin/sh\n")
        (bench.folder / "tool").chmod(0o755)
        bench.run("file", {"copy": "tool", "to": "tool2"}, inputs=["tool"])
        assert mode(bench.folder / "tool2") == 0o755

    def test_an_input_is_copied_from_its_private_copy(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        (bench.folder / "in").write_text("approved")
        run = FILE.run

        def changed_meanwhile(params: Any, context: Any) -> Any:
            (bench.folder / "in").write_text("changed after the approval")
            return run(params, context)

        monkeypatch.setattr(type(FILE), "run", lambda _, params, context: changed_meanwhile(params, context))
        bench.run("file", {"copy": "in", "to": "out"}, inputs=["in"])
        assert (bench.folder / "out").read_text() == "approved"

    def test_what_is_overwritten_is_kept(self, bench: Bench) -> None:
        (bench.folder / "a").write_text("a")
        (bench.folder / "b").write_text("old b")
        result = bench.run("file", {"copy": "a", "to": "b"})
        assert bench.store.read(result.details["before"]["sha256"]) == b"old b"
        assert effects(result) == [("copied a to b (1 byte, was 5)", True)]

    def test_a_missing_source(self, bench: Bench) -> None:
        assert bench.run("file", {"copy": "none", "to": "b"}).error == "none is not there, or is no regular file"


class TestMove:
    def test_a_file_is_moved(self, bench: Bench) -> None:
        (bench.folder / "a").write_text("content")
        inode = (bench.folder / "a").stat().st_ino
        result = bench.run("file", {"move": "a", "to": "b"})
        assert not (bench.folder / "a").exists()
        assert (bench.folder / "b").stat().st_ino == inode
        assert effects(result) == [("moved a to b (7 bytes)", True)]
        assert result.details["from"] == "a"
        assert (result.details["before"], result.details["after"]["sha256"]) == (None, sha(b"content"))
        (effect,) = result.side_effects
        assert effect.details["path"] == str(bench.folder / "b")
        assert effect.details["from"] == {
            "path": str(bench.folder / "a"),
            "before": result.details["after"],
            "after": None,
        }

    def test_what_is_overwritten_is_kept(self, bench: Bench) -> None:
        (bench.folder / "a").write_text("a")
        (bench.folder / "b").write_text("old b")
        result = bench.run("file", {"move": "a", "to": "b"})
        assert bench.store.read(result.details["before"]["sha256"]) == b"old b"
        refused = bench.run("file", {"move": "b", "to": "b"})
        assert refused.error == "b and b are the same file"

    def test_across_file_systems_it_is_a_copy_and_a_deletion(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (bench.folder / "a").write_text("content")
        (bench.folder / "a").chmod(0o640)

        def other_device(*_: object, **__: object) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "rename", other_device)
        result = bench.run("file", {"move": "a", "to": "b"})
        assert not result.failed, result.error
        assert not (bench.folder / "a").exists()
        assert (bench.folder / "b").read_text() == "content"
        assert mode(bench.folder / "b") == 0o640
        assert effects(result) == [("moved a to b (7 bytes)", True)]

    def test_across_file_systems_a_deletion_that_fails_leaves_a_copy(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (bench.folder / "a").write_text("content")

        def fail(number: int) -> Any:
            def call(*_: object, **__: object) -> None:
                raise OSError(number, os.strerror(number))

            return call

        monkeypatch.setattr(os, "rename", fail(18))
        monkeypatch.setattr(os, "unlink", fail(13))
        result = bench.run("file", {"move": "a", "to": "b"})
        assert result.failed
        assert effects(result) == [("copied a to b (7 bytes)", True)]
        assert result.side_effects[0].details["from"]["after"]["sha256"] == sha(b"content")
        assert (bench.folder / "a").read_text() == (bench.folder / "b").read_text() == "content"

    def test_a_missing_source(self, bench: Bench) -> None:
        assert bench.run("file", {"move": "none", "to": "b"}).error == "none is not there"


class TestDelete:
    def test_what_is_deleted_is_kept(self, bench: Bench) -> None:
        (bench.folder / "a").write_text("content")
        result = bench.run("file", {"delete": "a"})
        assert not (bench.folder / "a").exists()
        assert effects(result) == [("deleted a (7 bytes)", True)]
        assert bench.store.read(result.details["before"]["sha256"]) == b"content"
        assert result.details["after"] is None

    def test_what_is_not_there(self, bench: Bench) -> None:
        assert bench.run("file", {"delete": "a"}).error == "a is not there; say `missing_ok: true` if that is all right"
        result = bench.run("file", {"delete": "a", "missing_ok": True})
        assert (result.failed, result.details["changed"], result.side_effects) == (False, False, ())

    def test_folders_are_left_alone(self, bench: Bench) -> None:
        (bench.folder / "a").mkdir()
        assert "is a folder" in bench.run("file", {"delete": "a"}).error
        assert (bench.folder / "a").is_dir()

    def test_a_file_too_large_to_keep_cannot_be_undone(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_files, "LARGEST_KEPT", 5)
        (bench.folder / "a").write_text("content")
        result = bench.run("file", {"delete": "a"})
        assert effects(result) == [("deleted a (7 bytes)", False)]
        assert result.details["before"]["withheld"] == "it is larger than 5 bytes: not kept"
        assert result.details["before"]["sha256"] == sha(b"content")
        assert not bench.store.has(sha(b"content"))


@posix
class TestMode:
    def test_a_mode_is_set(self, bench: Bench) -> None:
        path = bench.folder / "a"
        path.write_text("x")
        path.chmod(0o644)
        result = bench.run("file", {"path": "a", "mode": "0600"})
        assert mode(path) == 0o600
        assert effects(result) == [("set the mode of a to 0600 (was 0644)", True)]
        assert (result.details["before"]["mode"], result.details["after"]["mode"]) == ("0644", "0600")
        again = bench.run("file", {"path": "a", "mode": "600"})
        assert (again.details["changed"], again.side_effects) == (False, ())

    def test_a_missing_file(self, bench: Bench) -> None:
        assert bench.run("file", {"path": "a", "mode": "0600"}).error == "a is not there"


@posix
class TestLinks:
    @pytest.fixture
    def target(self, bench: Bench) -> Path:
        target = bench.folder / "target"
        target.write_text("old")
        (bench.folder / "link").symlink_to("target")
        return target

    @pytest.mark.parametrize(
        "params",
        [
            {"write": "link", "content": "x"},
            {"append": "link", "content": "x"},
            {"delete": "link"},
            {"copy": "target", "to": "link"},
            {"copy": "link", "to": "other"},
            {"move": "link", "to": "other"},
            {"move": "target", "to": "link"},
            {"path": "link", "mode": "0600"},
        ],
    )
    def test_a_symbolic_link_is_not_followed_silently(self, bench: Bench, target: Path, params: Any) -> None:
        result = bench.run("file", params)
        assert result.error == "link is a symbolic link to target; say `follow: true`, or name what it points to"
        assert target.read_text() == "old"
        assert (bench.folder / "link").is_symlink()

    def test_it_is_followed_where_the_plan_says_so(self, bench: Bench, target: Path) -> None:
        result = bench.run("file", {"write": "link", "content": "new", "follow": True})
        assert target.read_text() == "new"
        assert (bench.folder / "link").is_symlink()
        assert result.details["path"] == str(target)

    def test_a_link_that_leads_round_in_circles(self, bench: Bench) -> None:
        (bench.folder / "a").symlink_to("b")
        (bench.folder / "b").symlink_to("a")
        assert bench.run("file", {"write": "a", "content": "x", "follow": True}).failed

    def test_folders_on_the_way_may_be_links(self, bench: Bench) -> None:
        (bench.folder / "real").mkdir()
        (bench.folder / "alias").symlink_to("real")
        bench.run("file", {"write": "alias/a", "content": "x"})
        assert (bench.folder / "real" / "a").read_text() == "x"
        (bench.folder / "real" / "deep").mkdir()
        (bench.folder / "short").symlink_to("real/deep")
        bench.run("file", {"write": "short/../b", "content": "y"})
        assert (bench.folder / "real" / "b").read_text() == "y"


class TestSecrets:
    SECRET = "db-passw0rd-xyz"

    def test_content_with_a_secret_is_written_but_not_recorded(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DB_PASSWORD", self.SECRET)
        params = {"write": "app.conf", "content": "secret text {secret: env:DB_PASSWORD}\n", "mode": "0600"}
        result = bench.run("file", params)
        assert (bench.folder / "app.conf").read_text() == f"secret text {self.SECRET}\n"
        withheld = "it holds a secret: neither kept nor hashed"
        assert result.details["after"] == {"sha256": None, "size": 28, "mode": "0600", "withheld": withheld}
        assert effects(result) == [("wrote app.conf (28 bytes)", True)]
        bench.assert_nowhere(self.SECRET)

    def test_a_pre_image_with_a_secret_is_not_kept_and_the_effect_says_so(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (bench.folder / "app.conf").write_text("x = 1\n" * 50_000 + "DB_PASSWORD=hunter2hunter2\n")
        result = bench.run("file", {"write": "app.conf", "content": "x"})
        assert result.details["before"]["sha256"] is None
        assert [reversible for _, reversible in effects(result)] == [False]
        bench.assert_nowhere("hunter2hunter2")
        assert not [path for path in bench.store.folder.rglob("*") if path.is_file()]

    def test_a_secret_in_a_name(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NAME", "folder-name-secret")
        bench.run("file", {"write": "{secret: env:NAME}/a", "content": "x"})
        bench.run("file", {"write": "{secret: env:NAME}/a", "content": "x", "parents": True})
        bench.run("file", {"move": "{secret: env:NAME}/a", "to": "{secret: env:NAME}/b"})
        assert (bench.folder / "folder-name-secret" / "b").is_file()
        bench.assert_nowhere("folder-name-secret")

    def test_a_secret_in_a_template(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DB_PASSWORD", self.SECRET)
        (bench.folder / "t.j2").write_text("{{ p }}{{ p.nothing }}")
        params = {"template": "t.j2", "to": "a", "variables": {"p": {"secret": "env:DB_PASSWORD"}}}
        assert bench.run("file", params).failed
        (bench.folder / "t.j2").write_text("{{ p }}")
        assert not bench.run("file", params).failed
        assert (bench.folder / "a").read_text() == self.SECRET
        bench.assert_nowhere(self.SECRET)


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        "params, summary",
        [
            ({"write": "VERSION", "content": "9\n"}, "write VERSION: 9"),
            ({"append": "a", "content": {"secret": "env:X"}}, "append a"),
            ({"copy": "a", "to": "b"}, "copy a to b"),
            ({"template": "a", "to": "b"}, "template a to b"),
            ({"delete": "a"}, "delete a"),
            ({"path": "a", "mode": "0600"}, "set the mode of a to 0600"),
        ],
    )
    def test_the_summary_is_one_line(self, params: Any, summary: str) -> None:
        assert FILE.summary(params) == summary

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"write": "a"},
            {"content": "a"},
            {"write": "a", "delete": "b"},
            {"write": "a", "content": "b", "to": "c"},
            {"copy": "a"},
            {"copy": "a", "to": "b", "content": "c"},
            {"delete": "a", "mode": "0600"},
            {"delete": "a", "overwrite": True},
            {"path": "a"},
            {"mode": "0600"},
            {"write": "a", "content": "b", "mode": 600},
            {"write": "a", "content": "b", "mode": "0899"},
            {"write": "", "content": "b"},
            {"write": "a", "content": "b", "missing_ok": True},
        ],
    )
    def test_what_is_wrong_is_refused_before_anything_runs(self, bench: Bench, params: Any) -> None:
        with pytest.raises(PlanError):
            bench.plan(params, task="file")
