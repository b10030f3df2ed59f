from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.cli._text import left_behind
from hearth.errors import PlanError
from hearth.execution import _process
from hearth.execution.tasks.shell import SHELL

if TYPE_CHECKING:
    from tests.unit.execution.tasks.conftest import Bench

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need process groups")


class TestWhatRuns:
    def test_a_text_is_a_script_for_sh(self, bench: Bench) -> None:
        result = bench.run("shell", "echo one; echo two >&2; pwd")
        assert (result.failed, result.error, result.side_effects) == (False, "", ())
        assert bench.output == {"stdout": f"one\n{bench.folder}\n".encode(), "stderr": b"two\n"}

    def test_details_say_what_happened(self, bench: Bench) -> None:
        details = bench.run("shell", "printf hello; exit 0").details
        digest = hashlib.sha256(b"hello").hexdigest()
        assert details["stdout"] == {"sha256": digest, "bytes": 5, "tail": "hello"}
        assert details["stderr"] == {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0, "tail": ""}
        assert details["exit_code"] == 0
        assert details["pid"] > 1
        assert details["duration_us"] > 0
        assert bench.kept(details["stdout"]) == b"hello"
        assert set(details) == {"pid", "exit_code", "duration_us", "stdout", "stderr"}

    def test_argv_runs_without_a_shell(self, bench: Bench) -> None:
        bench.run("shell", {"argv": ["printf", "%s|", "a b", "$HOME", "; echo x"]})
        assert bench.output["stdout"] == b"a b|$HOME|; echo x|"

    def test_a_script_takes_arguments(self, bench: Bench) -> None:
        bench.run("shell", {"script": 'echo "$0:$1:$2:$#"', "args": ["a b", "c"]})
        assert bench.output["stdout"] == b"sh:a b:c:2\n"

    def test_another_shell(self, bench: Bench) -> None:
        bench.run("shell", {"script": 'a=(1 2 3); echo "${#a[@]}"', "shell": "bash"})
        assert bench.output["stdout"] == b"3\n"

    def test_a_file_runs_from_the_private_copy(self, bench: Bench) -> None:
        file = bench.folder / "job.sh"
        file.write_text('echo "$1"; pwd; echo "$0"\n')
        result = bench.run("shell", {"file": "job.sh", "args": ["x y"]})
        assert not result.failed
        said = bench.output["stdout"].decode().splitlines()
        assert said[:2] == ["x y", str(bench.folder)]
        assert said[2] == str(bench.private / "inputs-1" / "job.sh")
        assert bench.plan({"file": "job.sh"}, task="shell").inputs == {
            "job.sh": hashlib.sha256(file.read_bytes()).hexdigest()
        }

    def test_an_executable_file_is_started_itself(self, bench: Bench) -> None:
        file = bench.folder / "job"
        file.write_text(f"#!{sys.executable}\nimport sys\nprint('python', sys.argv[1:])\n")
        file.chmod(0o755)
        bench.run("shell", {"file": "./job", "args": ["a"]})
        assert bench.output["stdout"] == b"python ['a']\n"

    def test_words_that_name_inputs_become_their_copies(self, bench: Bench) -> None:
        (bench.folder / "users.csv").write_text("approved\n")
        bench.run("shell", {"argv": ["echo", "users.csv", "not-users.csv"]}, inputs=["users.csv"])
        copy = bench.private / "inputs-1" / "users.csv"
        assert bench.output["stdout"] == f"{copy} not-users.csv\n".encode()
        bench.run("shell", 'cat "$HEARTH_INPUTS/users.csv"', inputs=["users.csv"])
        assert bench.output["stdout"].endswith(b"approved\n")

    def test_input_is_empty_or_given(self, bench: Bench) -> None:
        bench.run("shell", "cat; echo end")
        bench.run("shell", {"script": "cat; echo end", "stdin": "given\n"})
        assert bench.output["stdout"] == b"end\ngiven\nend\n"

    def test_the_environment_is_scrubbed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-operator")
        bench.run("shell", {"script": "env", "env": {"B": "task", "C": "task"}}, env={"A": "step", "B": "step"})
        names = dict(line.split("=", 1) for line in bench.output["stdout"].decode().splitlines())
        assert (names["A"], names["B"], names["C"]) == ("step", "task", "task")
        assert "AWS_SECRET_ACCESS_KEY" not in names
        assert names["HEARTH_INPUTS"] == str(bench.private / "inputs-1")


class TestFailure:
    def test_the_error_says_exit_code_and_last_words(self, bench: Bench) -> None:
        result = bench.run("shell", "echo first >&2; echo 'cp: cannot stat x' >&2; echo done; exit 3")
        assert result.failed
        assert result.error == "exit code 3: cp: cannot stat x"
        assert result.details["exit_code"] == 3
        assert result.details["stdout"]["tail"] == "done\n"

    @pytest.mark.parametrize(
        "code, expected, error",
        [
            (1, 1, ""),
            (0, 1, "exit code 0 (expected 1)"),
            (2, [0, 2], ""),
            (1, [0, 2], "exit code 1 (expected 0 or 2)"),
        ],
    )
    def test_other_exit_codes_may_be_expected(self, bench: Bench, code: int, expected: object, error: str) -> None:
        result = bench.run("shell", {"script": f"exit {code}", "expect_exit": expected})
        assert (result.failed, result.error) == (bool(error), error)

    def test_a_signal_is_named(self, bench: Bench) -> None:
        result = bench.run("shell", "kill -SEGV $$")
        assert result.error == "killed by SIGSEGV"
        assert (result.details["exit_code"], result.details["signal"]) == (None, "SIGSEGV")

    def test_a_signal_is_no_exit_code_one_can_expect(self, bench: Bench) -> None:
        assert bench.run("shell", {"script": "kill -TERM $$", "expect_exit": [0, 143]}).failed

    def test_what_cannot_start_says_why(self, bench: Bench) -> None:
        result = bench.run("shell", {"argv": ["hearth-no-such-command", "x"]})
        assert result.failed
        assert "no such command in PATH" in result.error
        assert result.details == {}

    def test_a_timeout_keeps_what_was_said(self, bench: Bench) -> None:
        result = bench.run("shell", "echo before; sleep 30; echo after", timeout="300ms")
        assert result.error == "timed out after 0.3 s; all its processes were stopped"
        assert (result.details["stopped"], result.details["signal"]) == ("timeout", "SIGTERM")
        assert bench.kept(result.details["stdout"]) == b"before\n"

    def test_a_cancellation_gives_its_reason(self, bench: Bench) -> None:
        timer = threading.Timer(0.1, lambda: bench.cancellation.request("SIGTERM", immediate=True))
        timer.start()
        result = bench.run("shell", "sleep 30")
        timer.join()
        assert (result.error, result.details["stopped"]) == ("stopped: SIGTERM", "cancelled")

    def test_processes_left_running_are_told(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_process, "SETTLE", 0.1)
        result = bench.run("shell", "sleep 30 &")
        assert not result.failed
        assert result.details["left_running"] == 1

    def test_processes_that_cannot_be_killed_are_told(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_process, "GRACE", 0.1)
        monkeypatch.setattr(_process, "AFTER_KILL", 0.2)
        kill = os.killpg
        monkeypatch.setattr(_process, "can_supervise", lambda: False)
        monkeypatch.setattr(os, "killpg", lambda group, number: None if number else kill(group, 0))
        result = bench.run("shell", "sleep 5", timeout="50ms")
        monkeypatch.undo()
        process = result.details["pid"]
        kill(process, signal.SIGKILL)
        assert result.error == f"process {process} could not be killed and may still act: look at it on the host"
        assert (result.details["unkilled"], result.details["reach"]) == ([process], "group")
        assert f"KILL did not end {process}: look at the host" in left_behind(result.details)

    def test_output_that_cannot_be_kept_stops_the_command(self, bench: Bench) -> None:
        bench.store.folder.parent.mkdir(exist_ok=True)
        bench.store.folder.write_text("a file where the store should be")
        result = bench.run("shell", "yes | head -c 1000000; sleep 30")
        assert result.failed
        assert "stdout cannot be kept" in result.error
        assert "the command was stopped" in result.error


class TestOutput:
    def test_memory_is_bounded_whatever_the_command_prints(self, bench: Bench) -> None:
        bench.listening = False
        tracemalloc.start()
        try:
            result = bench.run("shell", "yes 'some words in a line' | head -c 20000000")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert result.details["stdout"]["bytes"] == 20_000_000
        assert peak < 3_000_000

    def test_a_large_output_is_kept_whole_and_its_end_is_told(self, bench: Bench) -> None:
        result = bench.run("shell", "seq 1 200000")
        whole = b"".join(b"%d\n" % number for number in range(1, 200_001))
        assert bench.kept(result.details["stdout"]) == whole == bench.output["stdout"]
        tail = result.details["stdout"]["tail"]
        assert len(tail) <= 4096
        assert tail.endswith("199999\n200000\n")
        assert tail.splitlines()[0].isdigit()

    def test_binary_output_is_kept_as_it_is(self, bench: Bench) -> None:
        (bench.folder / "blob").write_bytes(bytes(range(256)) * 100)
        result = bench.run("shell", "cat blob")
        assert bench.kept(result.details["stdout"]) == bytes(range(256)) * 100
        assert result.details["stdout"]["tail"].encode()


class TestSecrets:
    SECRET = "s3cr3t-väl-ue"

    def test_a_referenced_secret_reaches_the_command_and_nothing_else(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("APP_PASSWORD", self.SECRET)
        reference = {"secret": "env:APP_PASSWORD"}
        check = hashlib.sha256(self.SECRET.encode()).hexdigest()
        result = bench.run(
            "shell",
            {
                "script": 'echo "in the middle $P"; echo "$P" >&2; cat; printf %s "$P" | sha256sum; exit 1',
                "env": {"P": reference},
                "stdin": reference,
            },
        )
        assert check.encode() in bench.output["stdout"]
        assert result.failed
        bench.assert_nowhere(self.SECRET)
        assert result.details["stdout"]["redacted"] is True
        assert "[redacted:" in result.error

    @pytest.mark.parametrize(
        "params, key",
        [
            ("echo {secret: env:APP_PASSWORD}", "script"),
            ({"secret": "env:APP_PASSWORD"}, "script"),
            ({"script": "curl http://a:{secret: env:APP_PASSWORD}@b/"}, "script"),
            ({"script": 'echo "$1"', "args": [{"secret": "env:APP_PASSWORD"}]}, "args"),
            ({"argv": ["/no/such/{secret: env:APP_PASSWORD}"]}, "argv"),
        ],
    )
    def test_a_secret_is_neither_code_nor_seen_by_others(self, bench: Bench, params: object, key: str) -> None:
        with pytest.raises(PlanError, match=rf"the secret env:APP_PASSWORD cannot stand in {key}: .*step's env"):
            bench.run("shell", params)

    def test_secrets_in_arguments_and_messages(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_PASSWORD", self.SECRET)
        result = bench.run("shell", {"argv": [f"/no/such/{self.SECRET}"], "stdin": {"secret": "env:APP_PASSWORD"}})
        assert "No such file" in result.error
        bench.assert_nowhere(self.SECRET)

    def test_patterns_in_the_output(self, bench: Bench) -> None:
        bench.run("shell", "echo PGPASSWORD=hunter2hunter2; echo 'Authorization: Bearer abcdef123456' >&2")
        bench.assert_nowhere("hunter2hunter2", "abcdef123456")

    def test_a_secret_that_arrives_in_pieces(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_PASSWORD", "part1part2")
        bench.run("shell", "printf part1; sleep 0.05; echo part2", env={"X": {"secret": "env:APP_PASSWORD"}})
        bench.assert_nowhere("part1part2")

    def test_a_private_key_in_the_output(self, bench: Bench) -> None:
        body = "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn"
        (bench.folder / "id_rsa").write_text(
            f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n{body}\n-----END RSA PRIVATE KEY-----\n"
        )
        bench.run("shell", "echo start; cat id_rsa; echo end")
        bench.assert_nowhere(body)
        assert bench.output["stdout"].endswith(b"\nend\n")


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        "params, summary",
        [
            ("cp a b", "cp a b"),
            ("\n# a comment\nset -e\ncp   a b\n", "set -e …"),
            ({"argv": ["cp", "a b", {"secret": "env:X"}]}, "cp 'a b' {secret: env:X}"),
            (
                {"argv": ["rm", "-rf", "my dir", "", "it's\na\x1bb\\", "é" * 200]},
                f"rm -rf 'my dir' '' $'it\\'s\\na\\033b\\\\' '{'é' * 200}'",
            ),
            ({"argv": ["sh", "-c", "a; b"]}, "sh -c 'a; b'"),
            ({"argv": ["x", "y" * 5000]}, f"x {'y' * 3998} … (5002 characters)"),
            ({"script": "echo $1", "args": ["x"], "shell": "bash"}, "bash: echo $1 x"),
            ({"file": "job.sh", "args": ["x"]}, "job.sh x"),
            ("x" * 500, "x" * 118 + " …"),
            ("echo \x1b[31mred", "echo �[31mred"),
            ({"secret": "env:SCRIPT"}, "{secret: env:SCRIPT}"),
        ],
    )
    def test_the_summary_is_one_line(self, params: Any, summary: str) -> None:
        assert SHELL.summary(params) == summary

    @pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to read it")
    @given(words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
    def test_bash_reads_the_summary_as_the_words_that_run(self, words: list[str]) -> None:
        line = SHELL.summary({"argv": ["printf", "%s\\0", *words]})
        read = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
        assert read.decode() == "".join(f"{word}\0" for word in words)

    def test_it_acts_on_this_host(self) -> None:
        assert SHELL.targets("true") == ("host",)

    @pytest.mark.parametrize(
        "params",
        [
            "",
            {},
            {"script": "a", "argv": ["b"]},
            {"argv": []},
            {"argv": ["a"], "args": ["b"]},
            {"script": "a", "expect_exit": 256},
            {"script": "a", "unknown": 1},
            {"script": "a", "env": {"A B": "c"}},
            ["a"],
        ],
    )
    def test_what_is_wrong_is_refused_before_anything_runs(self, bench: Bench, params: Any) -> None:
        with pytest.raises(PlanError):
            bench.plan(params, task="shell")
