from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError
from hearth.plan import parse_plan
from tests.unit.plan.plan_tasks import TASKS, Anything

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plan.conftest import Refuse

HEAD = "plan: p\nsteps:\n"


@pytest.mark.parametrize(
    "step,problem",
    [
        ("{name: a, shel: x}", 'steps[0].shel: unknown key; did you mean "shell"?'),
        ("{name: a, Shell: x}", 'steps[0].Shell: unknown key; did you mean "shell"?'),
        ("{nam: a, shell: x}", 'steps[0].nam: unknown key; did you mean "name"?'),
        ("{name: a, shell: x, zzzz: 1}", "steps[0].zzzz: unknown key; known here: name, effects, rollback, "),
        ('{name: a, shell: x, "a b": 1}', 'steps[0]["a b"]: unknown key; known here: '),
        ("{name: a, shell: {argv: [x], fil: y}}", 'steps[0].shell.fil: unknown key; did you mean "file"?'),
        ("{name: a}", "steps[0]: needs exactly one of: call, http, shell"),
        ("{name: a, shell: x, call: 1}", 'steps[0]: "call" and "shell" exclude each other; keep one'),
        ("{shell: x}", 'steps[0]: the key "name" is missing'),
        ("{name: a, shell: {}}", "steps[0].shell: needs exactly one of: argv, file"),
        ("{name: a, shell: {argv: [x], file: y}}", 'steps[0].shell: "argv" and "file" exclude each other; keep one'),
        ("{name: a, shell: {argv: []}}", "steps[0].shell.argv: must have at least 1 item, has 0"),
        ("{name: a, shell: {argv: [1]}}", 'steps[0].shell.argv[0]: must be a text, is 1; write "1" in quotes'),
        ('{name: a, shell: ""}', "steps[0].shell: must have at least 1 character, has 0"),
        ("{name: a, shell: 12}", 'steps[0].shell: must be a text or a mapping, is 12; write "12" in quotes'),
        ("{name: a, shell: }", "steps[0].shell: must be a text or a mapping, is empty"),
        ("{name: a, shell: [x]}", "steps[0].shell: must be a text or a mapping, is a list"),
        ("{name: a, shell: x, undo: {}}", "steps[0].undo: needs exactly one of: call, http, shell"),
        ("{name: a, shell: x, undo: {shell: y, call: 1}}", 'steps[0].undo: "call" and "shell" exclude each other'),
        ("{name: a, shell: x, undo: {shel: y}}", 'steps[0].undo.shel: unknown key; did you mean "shell"?'),
        ("{name: a, shell: x, undo: y}", 'steps[0].undo: must be a mapping, is "y"'),
        ("{name: 3, shell: x}", 'steps[0].name: must be a text, is 3; write "3" in quotes'),
        ('{name: "", shell: x}', 'steps[0].name: "" is not valid here; expected: one line of 1 to 200 characters'),
        ('{name: "a\\n", shell: x}', 'steps[0].name: "a\\n" is not valid here; expected: one line'),
        ("{name: a, shell: x, env: {A: 8080}}", 'steps[0].env.A: must be a text, is 8080; write "8080" in quotes'),
        ("{name: a, shell: x, env: {A: true}}", 'steps[0].env.A: must be a text, is true; write "true" in quotes'),
        ('{name: a, shell: x, env: {"A\\n": b}}', "expected: the name of an environment variable"),
        ("{name: a, shell: x, volatile: '*.log'}", 'must be a list, is "*.log"; write it as ["*.log"]'),
        ("{name: a, shell: x, effects: [{file_systm: a}]}", 'unknown key; did you mean "file_system"?'),
        ("{name: a, shell: x, effects: [{}]}", "steps[0].effects[0]: needs exactly one of: file_system, network, "),
        ("{name: a, shell: x, effects: [{network: a, other: b}]}", '"network" and "other" exclude each other'),
        ("{name: a, shell: x, effects: [{network: a, must: yes}]}", 'true or false; "yes" is a text in YAML 1.2'),
        ("{name: a, shell: x, rollback: {actions: [b]}}", 'steps[0].rollback: the key "description" is missing'),
        ("{name: a, shell: x, rollback: undo it}", 'steps[0].rollback: must be a mapping, is "undo it"'),
        ("{name: a, http: {method: GET}}", 'steps[0].http: the key "url" is missing'),
        ("{name: a, http: {method: GET, uri: 'http://a'}}", 'steps[0].http.uri: unknown key; did you mean "url"?'),
        ("{name: a, http: {method: GET, url: ftp://a}}", '"ftp://a" is not valid here; expected: the form ^https?://'),
        (
            "{name: a, http: {method: GET, url: 'http://a', expect: '200'}}",
            'expect: must be an integer or a list, is the text "200"; write 200 without quotes',
        ),
        ("just a text", 'steps[0]: must be a mapping, is "just a text"'),
    ],
)
def test_what_is_wrong_with_a_step_is_said_in_one_sentence(refuse: Refuse, step: str, problem: str) -> None:
    problems = refuse(f"{HEAD}  - {step}\n")
    assert len(problems) == 1, problems
    assert problems[0].startswith("plan.yaml:3: steps[0]")
    assert problem in problems[0]


@pytest.mark.parametrize(
    "line,problem",
    [
        ("plan: ''", 'plan: "" is not valid here; expected: an id of 1 to 100 letters'),
        ("plan: .hidden", "expected: an id"),
        ("plan: a/b", "expected: an id"),
        ('plan: "a\\n"', "expected: an id"),
        (f"plan: {'a' * 101}", "expected: an id"),
        ("plan: 2024", 'plan: must be a text, is 2024; write "2024" in quotes'),
        ("concurrency: 0", "concurrency: must be at least 1, is 0"),
        ("concurrency: 1001", "concurrency: must be at most 1000, is 1001"),
        ("concurrency: 1.5", "concurrency: must be an integer, is 1.5"),
        ("concurrency: '2'", 'concurrency: must be an integer, is the text "2"; write 2 without quotes'),
        ("cwd:", "cwd: must be a text, is empty"),
        ("inputs: users.csv", 'inputs: must be a list, is "users.csv"; write it as ["users.csv"]'),
        ("variables: {a: 1.5}", 'variables.a: must be a text, an integer or true or false, is 1.5; write "1.5" in'),
        ("variables: {a: [b]}", "variables.a: must be a text, an integer or true or false, is a list"),
        ("variables: {a-b: c}", 'variables.a-b: "a-b" is not valid here; expected: the name of a variable'),
        ("steps: []", "steps: must have at least 1 item, has 0"),
        ("steps: {}", "steps: must be a list, is a mapping"),
        ("disclosable: [1]", 'disclosable[0]: must be a text, is 1; write "1" in quotes'),
    ],
)
def test_what_is_wrong_with_a_plan_is_said_in_one_sentence(refuse: Refuse, line: str, problem: str) -> None:
    lines = {"plan": "plan: p", "steps": "steps: [{name: a, shell: x}]", line.partition(":")[0]: line}
    problems = refuse("\n".join(lines.values()) + "\n")
    assert len(problems) == 1, problems
    assert problem in problems[0]


def test_a_plan_needs_its_id_and_its_steps(refuse: Refuse) -> None:
    assert refuse("description: x\n") == [
        'plan.yaml:1: the key "plan" is missing',
        'plan.yaml:1: the key "steps" is missing',
    ]


@pytest.mark.parametrize("text", ["[]", "just text", "12", "null", '""'])
def test_a_plan_is_a_mapping(refuse: Refuse, text: str) -> None:
    assert refuse(text) == ["plan.yaml:1: a plan is a mapping with the keys plan and steps"]


def test_more_problems_than_one_reads_are_counted(refuse: Refuse) -> None:
    problems = refuse(HEAD + "  - {name: a, shell: x, bad: 1}\n" * 150)
    assert len(problems) == 101
    assert problems[-1] == "plan.yaml: and 50 more problems"


def test_a_step_with_several_forms_is_told_about_the_nearest(refuse: Refuse, tmp_path: Path) -> None:
    class Choice(Anything):
        schema: dict[str, Any] = {  # noqa: RUF012 - a task's schema is read only
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": "copy"}, "to": {"type": "string"}},
                    "required": ["kind", "to"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {"kind": {"const": "delete"}, "path": {"type": "string"}},
                    "required": ["kind", "path"],
                    "additionalProperties": False,
                },
            ]
        }

    with pytest.raises(PlanError) as caught:
        parse_plan(
            {"plan": "p", "steps": [{"name": "a", "call": {"kind": "delete", "path": 1}}]},
            folder=tmp_path,
            tasks={"call": Choice()},
        )
    assert caught.value.problems == ('plan: steps[0].call.path: must be a text, is 1; write "1" in quotes',)


@pytest.mark.parametrize(
    "schema,value",
    [
        ({"type": "nothing"}, "text"),
        ({"pattern": "("}, "text"),
        ({"$ref": "#/$defs/missing"}, "text"),
        ({"$ref": "urn:other"}, "text"),
        ({"properties": 3}, {"a": 1}),
    ],
)
def test_a_task_with_a_broken_schema_is_a_plan_error(tmp_path: Path, schema: dict[str, Any], value: object) -> None:
    task = Anything()
    task.schema = schema
    with pytest.raises(PlanError, match="the schema of a task cannot be used"):
        parse_plan({"plan": "p", "steps": [{"name": "a", "call": value}]}, folder=tmp_path, tasks={"call": task})


def test_unknown_schema_keywords_fall_back_to_a_bounded_message(tmp_path: Path) -> None:
    task = Anything()
    task.schema = {"contains": {"const": 1}}
    steps = [{"name": "a", "call": ["x" * 5000]}]
    with pytest.raises(PlanError) as caught:
        parse_plan({"plan": "p", "steps": steps}, folder=tmp_path, tasks={"call": task})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "schema,value,problem",
    [
        ({"uniqueItems": True}, [1, 1], "the same item stands here twice"),
        ({"multipleOf": 5}, 7, "must be a multiple of 5, is 7"),
        ({"exclusiveMinimum": 5}, 5, "must be more than 5, is 5"),
        ({"exclusiveMaximum": 5}, 5, "must be less than 5, is 5"),
        ({"maxLength": 1}, "ab", "must have at most 1 character, has 2"),
        ({"maxItems": 1}, [1, 2], "must have at most 1 item, has 2"),
        ({"minProperties": 2}, {}, "must have at least 2 keys, has 0"),
        ({"maxProperties": 0}, {"a": 1}, "must have at most 0 keys, has 1"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, '"b" must be given as well'),
        ({"not": {"required": ["a", "b"]}}, {"a": 1, "b": 2}, '"a" and "b" exclude each other; leave one out'),
        ({"not": {"required": ["a"]}}, {"a": 1}, '"a" is not allowed here'),
        ({"not": {"const": 1}}, 1, "1 is not allowed here"),
        ({"const": "a"}, "b", 'must be "a", is "b"'),
        (
            {"anyOf": [{"const": "a"}, {"enum": ["bcd", "e"]}]},
            "bc",
            'one of "a", "bcd", "e", is "bc"; did you mean "bcd"?',
        ),
        ({"anyOf": [{"minimum": 5}, {"maximum": 1}]}, 3, "must be at least 5, is 3"),
        (
            {"unevaluatedProperties": False, "properties": {"abcd": {}}},
            {"abcf": 1},
            'unknown key; did you mean "abcd"?',
        ),
        ({"patternProperties": {"^x-": {}}, "additionalProperties": False}, {"x-a": 1, "y": 1}, "call.y: unknown key"),
        (
            {"dependentSchemas": {"a": {"properties": {"b": False}}}},
            {"a": 1, "b": 2},
            "call.b: is not allowed here, beside",
        ),
        ({"additionalProperties": False}, {"a": 1}, "steps[0].call.a: unknown key"),
        ({"type": "integer"}, 1.5, "must be an integer, is 1.5"),
        ({"type": ["null", "array"]}, 3, "must be empty (null) or a list, is 3"),
        (
            {"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]},
            {"a": 1},
            "fits several forms that exclude each other; give the keys of one",
        ),
    ],
)
def test_every_kind_of_difference_has_its_sentence(
    tmp_path: Path, schema: dict[str, Any], value: object, problem: str
) -> None:
    task = Anything()
    task.schema = schema
    with pytest.raises(PlanError) as caught:
        parse_plan({"plan": "p", "steps": [{"name": "a", "call": value}]}, folder=tmp_path, tasks={"call": task})
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_a_tasks_references_stay_within_its_own_schema(tmp_path: Path) -> None:
    other = Anything()
    other.schema = {"$ref": "#/$defs/word", "$defs": {"word": {"type": "integer"}}}
    tasks = {**TASKS, "call": other}
    steps = [{"name": "a", "shell": {"argv": ["x"]}}, {"name": "b", "call": 3}]
    plan = parse_plan({"plan": "p", "steps": steps}, folder=tmp_path, tasks=tasks)
    assert [step.params for step in plan.steps] == [{"argv": ["x"]}, 3]


def test_what_a_secret_will_look_like_is_not_judged(tmp_path: Path) -> None:
    def parse(url: object) -> Any:
        steps = [{"name": "a", "http": {"method": "GET", "url": url}}]
        return parse_plan({"plan": "p", "steps": steps}, folder=tmp_path, tasks=TASKS).steps[0].params["url"]

    assert parse({"secret": "env:HOOK"}) == "{secret: env:HOOK}"
    assert parse("{secret: env:BASE}/reload") == "{secret: env:BASE}/reload"
    with pytest.raises(PlanError, match="is not valid here"):
        parse("env:HOOK")
    steps = [{"name": "a", "http": {"method": {"secret": "env:METHOD"}, "url": "http://a"}}]
    with pytest.raises(PlanError, match="method: must be one of"):
        parse_plan({"plan": "p", "steps": steps}, folder=tmp_path, tasks=TASKS)
