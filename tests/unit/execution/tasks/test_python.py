from __future__ import annotations

import hashlib
import json
import os
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError, TaskError
from hearth.execution import TaskEffect
from hearth.execution.tasks.python import PYTHON, report_effect

if TYPE_CHECKING:
    from tests.unit.execution.tasks.conftest import Bench

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need process groups")


def module(bench: Bench, code: str, name: str = "job.py") -> None:
    file = bench.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(code))


class TestCall:
    def test_arguments_go_in_and_the_result_comes_back(self, bench: Bench) -> None:
        module(bench, "def run(a, b=0): print('printed'); return {'sum': a + b, 'list': [1, None, 'ä']}")
        result = bench.run("python", {"call": "job:run", "args": {"a": 40, "b": 2}})
        assert (result.failed, result.error, result.side_effects) == (False, "", ())
        assert result.details["result"] == {"sum": 42, "list": [1, None, "ä"]}
        assert bench.output == {"stdout": b"printed\n"}
        assert result.details["exit_code"] == 0

    def test_arguments_may_be_a_list_or_none_at_all(self, bench: Bench) -> None:
        module(bench, "def run(*args): return list(args)")
        assert bench.run("python", {"call": "job:run", "args": [1, "x"]}).details["result"] == [1, "x"]
        assert bench.run("python", {"call": "job:run"}).details["result"] == []

    def test_a_coroutine_is_awaited(self, bench: Bench) -> None:
        module(bench, "import asyncio\nasync def run():\n    await asyncio.sleep(0)\n    return 'awaited'")
        assert bench.run("python", {"call": "job:run"}).details["result"] == "awaited"

    def test_a_method_of_a_class(self, bench: Bench) -> None:
        module(bench, "class Job:\n    @staticmethod\n    def run(): return 1")
        assert bench.run("python", {"call": "job:Job.run"}).details["result"] == 1

    def test_the_module_comes_from_the_private_copy(self, bench: Bench) -> None:
        module(bench, "def run(): return __file__")
        assert bench.run("python", {"call": "job:run"}).details["result"] == str(bench.private / "inputs-1" / "job.py")

    def test_a_package_brings_all_its_modules(self, bench: Bench) -> None:
        module(bench, "", "pkg/__init__.py")
        module(bench, "from pkg.deep.helper import value\ndef run(): return value", "pkg/main.py")
        module(bench, "value = 7", "pkg/deep/helper.py")
        assert bench.run("python", {"call": "pkg.main:run"}).details["result"] == 7

    def test_a_module_beside_it_must_be_an_input(self, bench: Bench) -> None:
        module(bench, "def run():\n    import helper\n    return helper.value")
        module(bench, "value = 3", "helper.py")
        refused = bench.run("python", {"call": "job:run"})
        assert (
            refused.error
            == "ModuleNotFoundError: No module named 'helper'; modules beside the plan must be listed under its inputs"
        )
        assert bench.run("python", {"call": "job:run"}, inputs=["helper.py"]).details["result"] == 3

    def test_an_installed_module_can_be_called(self, bench: Bench) -> None:
        assert bench.run("python", {"call": "math:hypot", "args": [3, 4]}).details["result"] == 5.0
        assert bench.run("python", {"call": "json:dumps", "args": [[1, 2]]}).details["result"] == "[1, 2]"

    def test_arguments_that_name_inputs_become_their_copies(self, bench: Bench) -> None:
        (bench.folder / "users.csv").write_text("a,b\n")
        module(bench, "def run(source, more): return [open(source).read(), source, more]")
        args = {"source": "users.csv", "more": {"deep": ["users.csv", "other.csv"]}}
        result = bench.run("python", {"call": "job:run", "args": args}, inputs=["users.csv"]).details["result"]
        copy = str(bench.private / "inputs-1" / "users.csv")
        assert result == ["a,b\n", copy, {"deep": [copy, "other.csv"]}]

    def test_it_runs_in_the_plans_folder_with_a_scrubbed_environment(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", "/evil")
        monkeypatch.setenv("SECRET_OF_THE_OPERATOR", "x")
        module(
            bench,
            """
            import os, sys
            def run(): return [os.getcwd(), dict(os.environ), sys.path, sys.flags.safe_path, sys.argv]
            """,
        )
        cwd, environment, path, safe, argv = bench.run("python", {"call": "job:run"}).details["result"]
        assert cwd == str(bench.folder)
        assert "SECRET_OF_THE_OPERATOR" not in environment
        assert "PYTHONPATH" not in environment
        assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
        assert path[0] == str(bench.private / "inputs-1")
        assert str(bench.folder) not in path
        assert "/evil" not in path
        assert safe
        assert argv == ["job:run"]
        assert not list(bench.private.rglob("*.pyc"))

    def test_standard_input_is_empty(self, bench: Bench) -> None:
        module(bench, "import sys\ndef run(): return sys.stdin.read()")
        assert bench.run("python", {"call": "job:run"}).details["result"] == ""

    def test_its_own_children_do_not_hold_the_result(self, bench: Bench) -> None:
        module(
            bench,
            """
            import subprocess
            def run(): return subprocess.check_output(["ls", "/proc/self/fd"], text=True, close_fds=False).split()
            """,
        )
        assert bench.run("python", {"call": "job:run"}).details["result"] == ["0", "1", "2", "3"]


class TestResults:
    @pytest.mark.parametrize(
        "expression, shown",
        [
            ("None", None),
            ("float('inf')", float("inf")),
            ("10**400", 10**400),
            ("'\\ud800'", "\ud800"),
            ("(1, 2)", [1, 2]),
            ("{1: 'a', None: 'b'}", {"1": "a", "null": "b"}),
            ("{'a': {1, 2}}", {"a": {"type": "builtins.set", "repr": "{1, 2}"}}),
            ("b'x'", {"type": "builtins.bytes", "repr": "b'x'"}),
            ("{(1, 2): 3}", {"type": "builtins.dict", "repr": "{(1, 2): 3}"}),
            ("(lambda x: (x.append(x), x)[1])([])", {"type": "builtins.list", "repr": "[[...]]"}),
        ],
    )
    def test_any_value_is_told(self, bench: Bench, expression: str, shown: object) -> None:
        module(bench, f"def run(): return {expression}")
        result = bench.run("python", {"call": "job:run"})
        assert not result.failed, result.error
        assert result.details["result"] == shown

    def test_a_value_whose_repr_fails(self, bench: Bench) -> None:
        module(bench, "class Odd:\n    def __repr__(self): raise ValueError\ndef run(): return Odd()")
        shown = bench.run("python", {"call": "job:run"}).details["result"]
        assert shown == {"type": "job.Odd", "repr": "(its repr raised ValueError)"}

    def test_a_long_repr_is_not_cut_within_a_secret(self, bench: Bench) -> None:
        module(bench, "class Odd:\n    def __repr__(self): return 'x' * 16_380 + 'hunter2'\ndef run(): return Odd()")
        shown = bench.run("python", {"call": "job:run"}).details["result"]
        assert shown == {"type": "job.Odd", "repr": "(its repr has 16387 characters)"}

    def test_a_large_result_goes_to_the_store(self, bench: Bench) -> None:
        module(bench, "def run(): return {'rows': ['x' * 100] * 2000, 'password': 'hunter2hunter2'}")
        details = bench.run("python", {"call": "job:run"}).details
        assert details["result"] is None
        kept = json.loads(bench.kept(details["result_kept"]))
        assert kept["rows"] == ["x" * 100] * 2000
        bench.assert_nowhere("hunter2hunter2")

    def test_a_result_out_of_all_bounds_fails(self, bench: Bench) -> None:
        module(bench, "def run(): return 'x' * (20 << 20)")
        result = bench.run("python", {"call": "job:run"})
        assert "larger than 16777216 bytes" in result.error
        assert result.unseen == (
            "effects may be missing: a message of the process was dropped, being larger than 16777216 bytes"
        )


class TestEffects:
    def test_an_effect_out_of_all_bounds_is_said_to_be_missing_and_the_others_are_there(self, bench: Bench) -> None:
        module(
            bench,
            """
            from hearth.execution.tasks.python import report_effect
            def run():
                report_effect("OTHER", "before")
                report_effect("OTHER", "x" * (17 << 20))
                report_effect("OTHER", "after", details={"rows": "y" * (9 << 20)})
                report_effect("OTHER", "last", details={"rows": "y" * (9 << 20)})
            """,
        )
        result = bench.run("python", {"call": "job:run"})
        assert [effect.description for effect in result.side_effects] == ["before", "after", "last"]
        assert "larger than 16777216 bytes" in result.error
        assert result.unseen.startswith("effects may be missing: a message of the process was dropped")

    def test_what_cannot_be_read_is_said(self, bench: Bench) -> None:
        module(
            bench,
            """
            import os, sys
            from hearth.execution.tasks.python import report_effect
            def run():
                pipe = sys.modules["_hearth_python_child"]._result
                os.write(pipe, b"garbage\\n" + b"[" * 100_000 + b"\\n")
                report_effect("OTHER", "seen")
            """,
        )
        result = bench.run("python", {"call": "job:run"})
        assert not result.failed, result.error
        assert [effect.description for effect in result.side_effects] == ["seen"]
        assert result.unseen == "effects may be missing: 2 messages of the process were not readable"

    def test_an_effect_is_handed_on_while_the_code_still_runs(self, bench: Bench) -> None:
        module(
            bench,
            """
            import pathlib, time
            from hearth.execution.tasks.python import report_effect
            def run():
                report_effect("OTHER", "half")
                while not pathlib.Path("heard").exists():
                    time.sleep(0.005)
                return "went on"
            """,
        )
        bench.on_report = lambda _: (bench.folder / "heard").touch()
        result = bench.run("python", {"call": "job:run"}, timeout="20s")
        assert result.details["result"] == "went on"
        assert [effect.description for effect in result.side_effects] == ["half"]

    def test_effects_in_the_result(self, bench: Bench) -> None:
        module(
            bench,
            """
            def run():
                return {"result": 5, "side_effects": [
                    {"category": "data_mutation", "description": "inserted 5 rows",
                     "reversible": True, "details": {"rows": 5}},
                    {"description": "something else"},
                    "a text",
                ]}
            """,
        )
        result = bench.run("python", {"call": "job:run"})
        assert result.details["result"] == 5
        assert result.side_effects == (
            TaskEffect("DATA_MUTATION", "inserted 5 rows", reversible=True, details={"rows": 5}),
            TaskEffect("OTHER", "something else"),
            TaskEffect("OTHER", "a text"),
        )

    def test_a_dict_with_other_keys_is_a_plain_result(self, bench: Bench) -> None:
        module(bench, "def run(): return {'side_effects': [], 'count': 1}")
        result = bench.run("python", {"call": "job:run"})
        assert result.details["result"] == {"side_effects": [], "count": 1}

    CODE = """
        from hearth.execution.tasks.python import report_effect
        def run(fail):
            assert report_effect("FILE_SYSTEM", "wrote a", reversible=True, details={"path": "a"})
            report_effect("NETWORK", "asked b")
            if fail == "raise": raise ValueError("half way")
            if fail == "die":
                import os; os._exit(3)
            if fail == "hang":
                print("hanging")
                import time; time.sleep(30)
            return "done"
    """

    @pytest.mark.parametrize(
        "fail, error",
        [
            ("no", ""),
            ("raise", "ValueError: half way"),
            ("die", "the process ended (exit code 3) before the code had come to its end"),
            ("hang", "timed out after 1.5 s; all its processes were stopped"),
        ],
    )
    def test_effects_reported_at_once_survive_every_failure(self, bench: Bench, fail: str, error: str) -> None:
        module(bench, self.CODE)
        result = bench.run("python", {"call": "job:run", "args": {"fail": fail}}, timeout="1500ms")
        assert result.error == error
        assert result.side_effects == (
            TaskEffect("FILE_SYSTEM", "wrote a", reversible=True, details={"path": "a"}),
            TaskEffect("NETWORK", "asked b"),
        )

    def test_outside_of_a_task_nothing_is_reported(self) -> None:
        assert report_effect("OTHER", "x") is False


class TestFailure:
    def test_an_exception_is_the_error_and_its_traceback_is_on_stderr(self, bench: Bench) -> None:
        module(bench, "def run():\n    raise ValueError('bad row 7')\n")
        result = bench.run("python", {"call": "job:run"})
        assert result.error == "ValueError: bad row 7"
        assert result.details["exit_code"] == 1
        trace = result.details["stderr"]["tail"]
        assert trace.startswith("Traceback (most recent call last):")
        assert "line 2, in run" in trace
        assert "_python_child" not in trace
        assert "result" not in result.details

    @pytest.mark.parametrize(
        "code, call, error",
        [
            ("x = 1", "job:run", "AttributeError: module 'job' has no attribute 'run'"),
            ("run = 1", "job:run", "TypeError: 'int' object is not callable"),
            ("def run(a): pass", "job:run", "TypeError: run() missing 1 required positional argument: 'a'"),
            ("1 +", "job:run", "SyntaxError: invalid syntax (job.py, line 1)"),
            ("import sys\ndef run(): sys.exit(3)", "job:run", "SystemExit: 3"),
            ("import sys\ndef run(): sys.exit('gone')", "job:run", "SystemExit: gone"),
            ("def run(): raise KeyboardInterrupt", "job:run", "KeyboardInterrupt"),
            ("import os\ndef run(): os.kill(os.getpid(), 11)", "job:run", "killed by SIGSEGV"),
            (
                "import os\ndef run(): os._exit(0)",
                "job:run",
                "the process ended (exit code 0) before the code had come to its end",
            ),
            (
                "import atexit, os\ndef run(): atexit.register(os._exit, 9)",
                "job:run",
                "exit code 9 after the code had come to its end",
            ),
        ],
    )
    def test_every_way_to_fail(self, bench: Bench, code: str, call: str, error: str) -> None:
        module(bench, code)
        result = bench.run("python", {"call": call})
        assert (result.failed, result.error) == (True, error)

    def test_a_clean_exit_is_success(self, bench: Bench) -> None:
        module(bench, "import sys\ndef run(): sys.exit(0)")
        result = bench.run("python", {"call": "job:run"})
        assert (result.failed, result.details["result"]) == (False, None)

    def test_a_cancellation_stops_it(self, bench: Bench) -> None:
        module(bench, "import time\ndef run(): print('started'); time.sleep(30)")
        timer = threading.Timer(0.2, lambda: bench.cancellation.request("LOCKDOWN", immediate=True))
        timer.start()
        result = bench.run("python", {"call": "job:run"})
        timer.join()
        assert result.error == "stopped: LOCKDOWN"


class TestScript:
    def test_a_script_runs_as_main_with_arguments(self, bench: Bench) -> None:
        module(
            bench,
            "import sys, helper\nif __name__ == '__main__': print(sys.argv[1:], helper.value, __file__)",
            "tools/job.py",
        )
        module(bench, "value = 3", "tools/helper.py")
        result = bench.run("python", {"script": "tools/job.py", "args": ["a b", "c"]}, inputs=["tools/helper.py"])
        assert not result.failed, result.error
        copy = bench.private / "inputs-1" / "tools" / "job.py"
        assert bench.output["stdout"] == f"['a b', 'c'] 3 {copy}\n".encode()
        assert "result" not in result.details

    def test_its_exit_code_counts(self, bench: Bench) -> None:
        module(bench, "import sys\nsys.exit(4)")
        result = bench.run("python", {"script": "job.py"})
        assert (result.error, result.details["exit_code"]) == ("SystemExit: 4", 4)

    def test_it_reports_effects_too(self, bench: Bench) -> None:
        module(
            bench, "from hearth.execution.tasks.python import report_effect\nreport_effect('SYSTEM', 'restarted it')"
        )
        assert bench.run("python", {"script": "job.py"}).side_effects == (TaskEffect("SYSTEM", "restarted it"),)


class TestSecrets:
    def test_a_secret_reaches_the_code_and_nothing_else(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = 'quo"ted\\secret-ä'
        monkeypatch.setenv("APP_KEY", secret)
        module(
            bench,
            """
            import hashlib, sys
            from hearth.execution.tasks.python import report_effect
            def run(key):
                print("key", key); print([key], file=sys.stderr)
                report_effect("OTHER", f"used {key}", details={"note": key, key: 1})
                if sys.stdin.read() == "never": return
                return {"result": [key, {"nested": f"a {key} b"}, hashlib.sha256(key.encode()).hexdigest()],
                        "side_effects": [{"category": "OTHER", "description": key}]}
            """,
        )
        result = bench.run("python", {"call": "job:run", "args": {"key": {"secret": "env:APP_KEY"}}})
        assert not result.failed
        assert result.details["result"][2] == hashlib.sha256(secret.encode()).hexdigest()
        bench.assert_nowhere(secret)

    def test_a_secret_in_an_exception(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_KEY", "key-in-an-exception")
        module(bench, "def run(key): raise RuntimeError(f'login with {key} failed')")
        result = bench.run("python", {"call": "job:run", "args": [{"secret": "env:APP_KEY"}]})
        assert result.error.startswith("RuntimeError: login with [redacted:")
        bench.assert_nowhere("key-in-an-exception")


class TestInputs:
    def found(self, bench: Bench, call: str) -> tuple[str, ...]:
        return PYTHON.inputs({"call": call}, bench.folder)

    def test_a_module_is_its_file(self, bench: Bench) -> None:
        module(bench, "")
        assert self.found(bench, "job:run") == ("job.py",)

    def test_a_package_is_all_its_python_files(self, bench: Bench) -> None:
        for name in (
            "pkg/__init__.py",
            "pkg/b.py",
            "pkg/deep/c.py",
            "pkg/__pycache__/b.py",
            "pkg/.hidden/x.py",
            "other.py",
        ):
            module(bench, "", name)
        (bench.folder / "pkg" / "data.json").write_text("{}")
        assert self.found(bench, "pkg.b:run") == ("pkg/__init__.py", "pkg/b.py", "pkg/deep/c.py")
        assert self.found(bench, "pkg:run") == self.found(bench, "pkg.deep.c:run")

    def test_a_module_outranks_a_folder_that_is_no_package(self, bench: Bench) -> None:
        module(bench, "")
        module(bench, "", "job/inner.py")
        assert self.found(bench, "job:run") == ("job.py",)

    def test_a_missing_submodule_is_an_error(self, bench: Bench) -> None:
        module(bench, "", "pkg/__init__.py")
        with pytest.raises(TaskError, match=r"'pkg\.none' is not there"):
            self.found(bench, "pkg.none:run")

    def test_an_installed_module_is_where_it_lies(self, bench: Bench) -> None:
        (file,) = self.found(bench, "json.decoder:scanstring")
        assert Path(file).is_absolute()
        assert Path(file).name == "decoder.py"
        (frozen,) = self.found(bench, "os:getcwd")
        assert Path(frozen).name == "os.py"

    def test_a_built_in_module_has_no_file(self, bench: Bench) -> None:
        assert self.found(bench, "sys:getsizeof") == ()

    def test_looking_for_a_module_runs_nothing_of_it(self, bench: Bench) -> None:
        before = set(sys.modules)
        self.found(bench, "wsgiref.simple_server:make_server")
        assert "wsgiref" not in set(sys.modules) - before

    def test_a_module_that_is_nowhere_is_an_error(self, bench: Bench) -> None:
        with pytest.raises(TaskError, match=r"neither in .* nor installed"):
            self.found(bench, "hearth_no_such_module:run")
        with pytest.raises(PlanError, match=r"neither in .* nor installed"):
            bench.plan({"call": "hearth_no_such_module:run"}, task="python")

    def test_the_plan_commits_the_code(self, bench: Bench) -> None:
        module(bench, "def run(): pass")
        before = bench.plan({"call": "job:run"}, task="python").digest
        module(bench, "def run(): return 1")
        assert bench.plan({"call": "job:run"}, task="python").digest != before


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        "params, summary",
        [
            (
                {"call": "importer:run", "args": {"source": "users.csv", "n": 3}},
                'importer:run(source="users.csv", n=3)',
            ),
            ({"call": "importer:run", "args": [1, {"secret": "env:X"}]}, "importer:run(1, {secret: env:X})"),
            ({"call": "importer:run"}, "importer:run()"),
            ({"script": "job.py", "args": ["a"]}, "python job.py a"),
        ],
    )
    def test_the_summary_is_one_line(self, params: Any, summary: str) -> None:
        assert PYTHON.summary(params) == summary

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"call": "importer"},
            {"call": "importer:"},
            {"call": "im porter:run"},
            {"call": "a:b", "script": "c"},
            {"call": "a:b", "args": "text"},
            {"script": "job.py", "args": {"a": 1}},
            {"script": "job.py", "args": [1]},
            {"call": "json:dumps\n"},
        ],
    )
    def test_what_is_wrong_is_refused_before_anything_runs(self, bench: Bench, params: Any) -> None:
        module(bench, "")
        with pytest.raises(PlanError):
            bench.plan(params, task="python")
