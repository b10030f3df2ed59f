from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Load, Refuse

HEAD = '{"plan": "p", "steps": [\n  {"name": "a", "call":\n'
TAIL = "}]}"


@pytest.mark.parametrize(
    "text",
    ['""', '"a\\u00e9\\n\\/"', '"\\ud83d\\ude00"', '"\u2028"', "0", "-0", "-12", "1.5", "1e3", "true", "false", "null",
     "[]", "{}", "[ 1 ,\t2 ]", '{ "a" : [ { } ] }', "9007199254740991"],
)  # fmt: skip
def test_values_are_those_of_the_standard_library(load: Load, text: str) -> None:
    params = load(HEAD + text + TAIL, name="plan.json").steps[0].params
    assert params == json.loads(text)
    assert type(params) is type(json.loads(text)) or isinstance(params, dict | list)


@pytest.mark.parametrize(
    "text,problem",
    [
        ('{"b": 1,\n "b": 2}', 'plan.json:4: steps[0].call.b: the key "b" stands here a second time (first on line 3)'),
        ("9007199254740992", "plan.json:3: steps[0].call: an integer beyond ±9007199254740991"),
        ("1" * 100, "plan.json:3: steps[0].call: a number of 100 characters; write it in quotes"),
        ("1e999", "plan.json:3: steps[0].call: not a finite number"),
        ("01", "plan.json:3: steps[0]: not JSON: expected a comma or }"),
        ("NaN", 'plan.json:3: steps[0].call: not JSON: unexpected "N"'),
        ("+1", 'plan.json:3: steps[0].call: not JSON: unexpected "+"'),
        ("'a'", 'plan.json:3: steps[0].call: not JSON: unexpected "\'"'),
        ('"\\ud83d"', "plan.json:2: steps[0].call: a text with half a surrogate pair, which UTF-8 cannot hold"),
        ('"\\u0000"', "plan.json:2: steps[0].call: a text with a NUL character"),
        ('"a\tb"', "plan.json:3: steps[0].call: not JSON: Invalid control character at"),
        ('"\\x"', "plan.json:3: steps[0].call: not JSON: Invalid \\escape"),
        ("[1,]", 'plan.json:3: steps[0].call[1]: not JSON: unexpected "]"'),
        ("[1 2]", "plan.json:3: steps[0].call: not JSON: expected a comma or ]"),
        ("{a: 1}", 'plan.json:3: steps[0].call: not JSON: expected a key in "quotes"'),
        ('{"a" 1}', "plan.json:3: steps[0].call.a: not JSON: expected a colon"),
        ('{"a": 1,}', 'plan.json:3: steps[0].call: not JSON: expected a key in "quotes"'),
        ("\n\n", 'plan.json:5: steps[0].call: not JSON: unexpected "}"'),
    ],
)
def test_what_is_no_json_or_not_exact_is_refused_with_its_line(refuse: Refuse, text: str, problem: str) -> None:
    problems = refuse(HEAD + text + TAIL, name="plan.json")
    assert problems[0].startswith(problem), problems


@pytest.mark.parametrize(
    "text,problem",
    [
        ("", "plan.json:1: not JSON: the text ends too early"),
        ("{", 'plan.json:1: not JSON: expected a key in "quotes"'),
        ('{"plan": "p"} x', "plan.json:1: not JSON: text after the end of the plan"),
        ('{"plan": "p"}\n{}', "plan.json:2: not JSON: text after the end of the plan"),
        ("[]", "plan.json:1: a plan is a mapping with the keys plan and steps"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text, name="plan.json") == [problem]


def test_lines_of_json_point_at_keys(refuse: Refuse) -> None:
    text = '{\n"plan": "p",\n"steps": [\n{"name": "a",\n"call": 1,\n"calll":\n2}]}'
    assert refuse(text, name="plan.json") == ['plan.json:6: steps[0].calll: unknown key; did you mean "call"?']


def test_the_suffix_decides_in_upper_case_too(load: Load) -> None:
    text = '{"plan": "p",\t"steps": [{"name": "a", "call": 1e2}]}'
    assert load(text, name="PLAN.JSON").steps[0].params == 100.0
