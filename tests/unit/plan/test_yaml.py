from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Load, Refuse

HEAD = "plan: p\nsteps:\n  - name: a\n    call: "


@pytest.mark.parametrize(
    "text,value",
    [
        ("true", True), ("True", True), ("FALSE", False),
        ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("tRue", "tRue"),
        ("2024-09-01", "2024-09-01"), ("2024-09-01T12:00:00Z", "2024-09-01T12:00:00Z"),
        ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("1_000", "1_000"), ("0b11", "0b11"), ("1.2.3", "1.2.3"),
        ("=", "="), ("+", "+"), (".", "."), ("1e", "1e"), ("--1", "--1"), ("0xZ", "0xZ"), ("0o8", "0o8"),
        ("0", 0), ("-0", 0), ("12", 12), ("+12", 12), ("-12", -12), ("0o17", 15), ("0xFF", 255),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-3", -0.0015),
        ("9007199254740991", 2**53 - 1), ("-9007199254740991", 1 - 2**53),
        ('"012"', "012"), ("'true'", "true"),
        ("|\n      012", "012\n"), ('"\\u2028"', "\u2028"), ("a\u00e9", "a\u00e9"),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema_of_yaml_1_2(load: Load, text: str, value: object) -> None:
    params = load(f"{HEAD}{text}\n").steps[0].params
    assert params == value
    assert type(params) is type(value)


@pytest.mark.parametrize(
    "text,problem",
    [
        ("0755", 'a leading zero is ambiguous; write "0755" in quotes or 0o755'),
        ("0899", 'a leading zero is ambiguous; write "0899" in quotes'),
        ("00", 'a leading zero is ambiguous; write "00" in quotes or 0o0'),
        ("-01", 'a leading zero is ambiguous; write "-01" in quotes'),
        ("01.5", 'a leading zero is ambiguous; write "01.5" in quotes'),
        (".inf", '.inf is not a number that JSON has; write ".inf" in quotes if a text is meant'),
        ("-.INF", "is not a number that JSON has"),
        (".nan", "is not a number that JSON has"),
        ("1e999", "not a finite number; JSON has no form for it"),
        ("9007199254740992", "an integer beyond ±9007199254740991 is not exact in JSON; write it in quotes"),
        ("-9007199254740992", "an integer beyond"),
        ("0x20000000000000", "an integer beyond"),
        ("0o" + "7" * 70, "a number of 70 characters; write it in quotes"),
        ("9" * 5000, "a number of 5000 characters; write it in quotes"),
        ("1." + "0" * 100, "a number of 102 characters"),
        ('"a\\0b"', "a text with a NUL character"),
    ],
)
def test_numbers_and_texts_that_mean_different_things_to_different_readers_are_refused(
    refuse: Refuse, text: str, problem: str
) -> None:
    problems = refuse(f"{HEAD}{text}\n")
    assert problems[0].startswith("plan.yaml:4: steps[0].call: ")
    assert problem in problems[0]
    assert len(problems) == 1


@pytest.mark.parametrize(
    "text,problem",
    [
        ("{a: 1, a: 2}", 'plan.yaml:4: steps[0].call.a: the key "a" stands here a second time (first on line 4)'),
        ("\n      a: 1\n      b: 2\n      a: {c: 3}", 'plan.yaml:7: steps[0].call.a: the key "a" stands here a second'),
        ("&x 1", "plan.yaml:4: steps[0].call: the anchor &x is not allowed in a plan; write the value out"),
        ("*x", "plan.yaml:4: steps[0].call: the alias *x is not allowed in a plan; write the value out"),
        ("{*x : 1}", "plan.yaml:4: steps[0].call: the alias *x is not allowed in a plan"),
        ("{<<: {a: 1}}", "plan.yaml:4: steps[0].call: the merge key << is not allowed in a plan; write the keys out"),
        ("!!str 1", 'plan.yaml:4: steps[0].call: the tag "!!str" is not allowed in a plan; quotes make a text'),
        ("!!python/object/apply:os.system [x]", 'the tag "!!python/object/apply:os.system" is not allowed'),
        ("!custom {a: 1}", 'the tag "!custom" is not allowed'),
        ("! 1", 'the tag "!" is not allowed'),
        ("{1: a}", "plan.yaml:4: steps[0].call: the key 1 is not a text; put it in quotes"),
        ("{true: a}", "the key true is not a text; put it in quotes"),
        ("{null: a}", "the key null is not a text; put it in quotes"),
        ("{? : a}", "the key (empty) is not a text; put it in quotes"),
        ("{01: a}", "the key 01 is not a text; put it in quotes"),
        ("{[a]: b}", "a key must be a text, not a mapping or a list"),
        ("{{ db }}", "a text that begins with { or [ stands in quotes"),
        ("\n      ? {a: b}\n      : c", "not a mapping or a list"),
    ],
)
def test_what_a_plan_does_not_need_of_yaml_is_refused_where_it_stands(refuse: Refuse, text: str, problem: str) -> None:
    problems = refuse(f"{HEAD}{text}\n")
    assert any(problem in found for found in problems), problems


def test_quoted_keys_are_texts(load: Load) -> None:
    params = load(f'{HEAD}{{"1": a, "true": b, "<<": c, on: d, "": e}}\n').steps[0].params
    assert params == {"1": "a", "true": "b", "<<": "c", "on": "d", "": "e"}


@pytest.mark.parametrize(
    "text,problem",
    [
        ("", "plan.yaml: the file is empty; a plan needs plan: and steps:"),
        ("# nothing but a comment\n", "plan.yaml: the file is empty"),
        ("plan: p\n---\nplan: q\n", "plan.yaml:2: a second document begins; a plan file holds one"),
        ("%YAML 1.1\n---\nplan: p\n", "plan.yaml:1: plans are YAML 1.2; remove the %YAML directive"),
        ("%TAG ! tag:x,2000:\n---\nplan: p\n", "plan.yaml:1: a %TAG directive is not allowed in a plan"),
        ("plan: p\nsteps: [\n", "plan.yaml:3: steps: not YAML: "),
        ("plan: p\nsteps:\n  - name: a\n   shell: b\n", "plan.yaml:4: "),
        ("plan: 'p\n", "not YAML: found unexpected end of stream (while scanning a quoted scalar)"),
        ("plan: p\n\tsteps: x\n", "plan.yaml:2: "),
        ("plan: @x\n", "plan.yaml:1: plan: not YAML: found character that cannot start any token"),
    ],
)
def test_a_file_that_is_no_yaml_document_is_refused_with_its_line(refuse: Refuse, text: str, problem: str) -> None:
    assert any(found.startswith(problem) or problem in found for found in refuse(text)), refuse(text)


def test_a_yaml_1_2_directive_is_accepted(load: Load) -> None:
    assert load("%YAML 1.2\n---\nplan: p\nsteps: [{name: a, call: 1}]\n...\n").id == "p"


def test_lines_point_at_keys_and_at_items(refuse: Refuse) -> None:
    problems = refuse(
        """\
        # a comment
        plan: p

        steps:
          - name: a
            shell:
              argv:
                - ok
                - 3
              fil: |
                line
                line
            env:
              A:
                1
        """
    )
    assert [problem.split(": ")[0:2] for problem in problems] == [
        ["plan.yaml:9", "steps[0].shell.argv[1]"],
        ["plan.yaml:10", "steps[0].shell.fil"],
        ["plan.yaml:14", "steps[0].env.A"],
    ]


def test_carriage_returns_end_lines_too(load: Load, refuse: Refuse) -> None:
    assert load("plan: p\r\nsteps:\r\n  - {name: a, call: 1}\r\n").steps[0].params == 1
    assert refuse("plan: p\rsteps:\r  - {name: a, call: 1, x: 2}\r")[0].startswith("plan.yaml:3: steps[0].x: ")
