from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hearth.errors import PlanError
from hearth.plan import load_plan, parse_plan
from hearth.plan._limits import MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_STEPS
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.plan.conftest import Load, Refuse


def refusal(path: Path) -> str:
    with pytest.raises(PlanError) as caught:
        load_plan(path, tasks=TASKS)
    return str(caught.value)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"
    (tmp_path / "folder.yaml").mkdir()
    assert refusal(tmp_path / "folder.yaml").startswith(f"{tmp_path}/folder.yaml: cannot be read: ")
    assert "cannot be read" in refusal(tmp_path / "a\0b.yaml")
    assert refusal(tmp_path / "caf\udce9.yaml").isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
def test_a_named_pipe_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert refusal(tmp_path / "pipe.yaml").endswith("cannot be read: not a regular file")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    assert refusal(tmp_path / "zero.yaml").endswith("cannot be read: not a regular file")


def test_bytes_that_are_not_utf_8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"plan: p\n# caf\xe9\n")
    assert refusal(path) == f"{path}:2: not UTF-8 (byte 13); save the file as UTF-8"
    path.write_bytes("plan: p\n".encode("utf-16"))
    assert "not UTF-8" in refusal(path)


def test_a_byte_order_mark_at_the_start_is_left_out(load: Load) -> None:
    text = '\ufeff{"plan": "p", "steps": [{"name": "a", "call": 1}]}'
    assert load(text).digest == load(text, name="plan.json").digest


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u2028", "\u2029", "\u0085", "\x07", "\x7f", "\ufeff"])
def test_characters_that_deceive_a_reader_are_refused_in_yaml(refuse: Refuse, character: str) -> None:
    problems = refuse(f"plan: p\nsteps:\n  - {{name: a, call: 'x{character}y'}}\n")
    escape = f"\\u{ord(character):04x}"
    assert problems == [
        f'plan.yaml:3: the character {escape} is invisible or ambiguous; write "{escape}" in double quotes'
    ]


def test_characters_that_deceive_a_reader_are_refused_in_json(refuse: Refuse, load: Load) -> None:
    text = '{"plan": "p", "steps": [{"name": "a", "call": "x%sy"}]}'
    assert "the character \\u202e is invisible" in refuse(text % "\u202e", name="plan.json")[0]
    assert load(text % "\\u202e", name="plan.json").steps[0].params == "x\u202ey"


HEAD = "plan: p\nsteps:\n"
HOSTILE: dict[str, Callable[[], str]] = {
    "aliases.yaml": lambda: "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50)) + "c: *b9\n",
    "brackets.yaml": lambda: "[" * 1_000_000,
    "braces.yaml": lambda: "{a: " * 500_000,
    "dashes.yaml": lambda: "- " * 1_000_000,
    "questions.yaml": lambda: "? " * 1_000_000,
    "anchors.yaml": lambda: "- &a x\n" * 300_000,
    "tags.yaml": lambda: "- !x x\n" * 300_000,
    "duplicates.yaml": lambda: "a: 1\n" * 500_000,
    "keys.yaml": lambda: "".join(f"k{n}: 1\n" for n in range(MAX_NODES - 10)),
    "names.yaml": lambda: "plan: p\nsteps: []\nenv:\n" + "".join(f" 'k {n}': 1\n" for n in range(MAX_NODES - 10)),
    "integer.yaml": lambda: f"{HEAD}  - {{name: a, timeout: {'9' * 4_000_000}}}\n",
    "exponent.yaml": lambda: f"{HEAD}  - {{name: a, timeout: 1e{'9' * 4_000_000}}}\n",
    "text.yaml": lambda: f"{HEAD}  - {{name: {'a' * 4_000_000}, call: 1}}\n",
    "key.yaml": lambda: f"? {'a' * 4_000_000}\n: 1\n",
    "steps.yaml": lambda: HEAD + "  - {name: a, call: 1}\n" * (MAX_STEPS + 1),
    "wrong.yaml": lambda: HEAD + "  - {nam: a, cal: 3}\n" * (MAX_STEPS - 1),
    "variables.yaml": lambda: (
        f"plan: p\nvariables: {{v: {'x' * 1_000_000}}}\nsteps:\n  - {{name: a, call: '{'{{v}}' * 100_000}'}}\n"
    ),
    "open.yaml": lambda: f"{HEAD}  - {{name: a, call: '{'{{ ' * 1_000_000}'}}\n",
    "undefined.yaml": lambda: f"{HEAD}  - {{name: a, call: '{''.join(f'{{{{v{n}}}}}' for n in range(200_000))}'}}\n",
    "secrets.yaml": lambda: f"{HEAD}  - {{name: a, call: '{'{secret: ' * 400_000}'}}\n",
    "spaces.yaml": lambda: f"{HEAD}  - {{name: a, call: '{{secret:{' ' * 2_000_000}{{{{{' ' * 2_000_000}'}}\n",
    "tabs.yaml": lambda: "\t" * 4_000_000,
    "deep.json": lambda: '{"a":' * 800_000,
    "brackets.json": lambda: "[" * 4_000_000,
    "integer.json": lambda: '{"a":' + "1" * 4_000_000 + "}",
    "string.json": lambda: '"' + "a" * 4_000_000,
    "duplicates.json": lambda: "{" + '"a":1,' * 600_000 + '"b":1}',
    "lines.json": lambda: "[\n" + "1,\n" * 1_000_000,
    "spaces.json": lambda: " " * 4_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_quickly_and_in_few_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(HOSTILE[name](), encoding="utf-8")
    assert path.stat().st_size <= MAX_BYTES, "the size alone would refuse it"
    before = time.process_time()
    message = refusal(path)
    assert time.process_time() - before < 5.0  # 0.1 to 0.4 s is usual; what grows with the square takes far longer
    assert len(message) < 40_000


def test_a_file_of_100_mb_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.touch()
    os.truncate(path, 100_000_000)
    assert refusal(path).endswith("larger than 4194304 bytes; put large data into a file and list it under inputs")


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited as Linux does it")
@pytest.mark.parametrize("name", ["text.yaml", "integer.yaml", "anchors.yaml", "variables.yaml", "lines.json"])
def test_memory_stays_bounded_whatever_the_file(tmp_path: Path, name: str) -> None:
    import resource

    path = tmp_path / name
    path.write_text(HOSTILE[name](), encoding="utf-8")
    script = (
        "import resource, sys\n"
        "from hearth.errors import PlanError\n"
        "from hearth.plan import load_plan\n"
        "try: load_plan(sys.argv[1], tasks={})\n"
        "except PlanError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    # A child starts with the parent's peak, so what the parent has used already does not count.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert int(done.stdout) < max(200_000, own + 20_000)


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_the_depth_is_bounded_exactly(load: Load, refuse: Refuse, name: str, depth: int) -> None:
    nested = "[" * (depth - 3) + "]" * (depth - 3)  # inside the plan, its steps and one step
    text = f'{{"plan": "p", "steps": [{{"name": "a", "call": {nested}}}]}}'
    if depth == MAX_DEPTH:
        assert load(text, name=name).id == "p"
    else:
        assert refuse(text, name=name) == [f"{name}:1: nested deeper than {MAX_DEPTH} levels"]


def test_mappings_from_python_have_the_same_bounds(tmp_path: Path) -> None:
    def problem(call: object) -> str:
        with pytest.raises(PlanError) as caught:
            parse_plan({"plan": "p", "steps": [{"name": "a", "call": call}]}, folder=tmp_path, tasks=TASKS)
        return str(caught.value)

    cycle: list[object] = []
    cycle.append(cycle)
    assert problem(cycle) == "plan: nested deeper than 32 levels"
    assert problem([1] * MAX_NODES).startswith("plan: more than 20000 values")
    assert problem(["x" * 1_000_000] * 5).startswith("plan: more than 4194304 characters")
    assert problem(10**400).startswith("plan: steps[0].call: an integer beyond")
    assert problem(float("nan")) == "plan: steps[0].call: not a finite number; JSON has no form for it"
    assert problem(b"x").startswith("plan: steps[0].call: a bytes is not JSON")
    assert problem({1: 2}) == "plan: steps[0].call: the key 1 is not a text"
    assert problem("\ud800").startswith("plan: steps[0].call: a text with half a surrogate pair")
    assert problem({"a\0": 1}) == "plan: steps[0].call: a text with a NUL character"
    with pytest.raises(PlanError, match="a plan is a mapping"):
        parse_plan([1], folder=tmp_path, tasks=TASKS)  # type: ignore[arg-type]
