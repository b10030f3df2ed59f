from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError
from hearth.plan import load_plan
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plan.conftest import Load, Refuse

HEAD = "plan: p\nvariables: {db: app.db, n: 3, on: true, _x1: '{a}'}\nsteps:\n  - name: a\n    call: "


@pytest.mark.parametrize(
    "text,value",
    [
        ("cp {{ db }} b", "cp app.db b"),
        ("'{{db}}{{ db }}{{\tdb\t}}'", "app.dbapp.dbapp.db"),
        ("x{{ n }}{{ on }}", "x3true"),
        ("'{{ n }}'", 3),
        ("'{{ on }}'", True),
        ("'{{ db }}'", "app.db"),
        ("'{{ n }} '", "3 "),
        ("'{{ _x1 }}'", "{a}"),
        ("""'{{ "{{" }} .Names }}'""", "{{ .Names }}"),
        ("""'{{"{{"}}{{ db }}}}'""", "{{app.db}}"),
        ("'{ {{db}} }'", "{ app.db }"),
        ("'}} {} { {'", "}} {} { {"),
        ("[{a: '{{ db }}'}, ['{{ n }}']]", [{"a": "app.db"}, [3]]),
        ("{'{{ db }}': 1}", {"{{ db }}": 1}),
        ('"{{ db\\n}}"', None),
    ],
)
def test_references_in_texts_are_replaced_once(load: Load, refuse: Refuse, text: str, value: object) -> None:
    if value is None:
        assert "the name of a variable" in refuse(f"{HEAD}{text}\n")[0]
        return
    params = load(f"{HEAD}{text}\n").steps[0].params
    assert params == value
    assert type(params) is type(value) or isinstance(params, dict | list)


@pytest.mark.parametrize(
    "text,problem",
    [
        ("'{{ dbb }}'", 'the variable "dbb" is not defined; did you mean "db"?'),
        ("'x {{ other }}'", 'the variable "other" is not defined; declare it under variables'),
        ("'{{ a-b }}'", 'after {{ the name of a variable and }} must follow; for {{ itself write {{ "{{" }}'),
        ("'{{.Names}}'", "the name of a variable and }} must follow"),
        ("'{{ db'", "the name of a variable and }} must follow"),
        ("'{{{ db }}}'", "the name of a variable and }} must follow"),
        ("'{{}}'", "the name of a variable and }} must follow"),
        ("\"{{ '{{' }}\"", "the name of a variable and }} must follow"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_with_its_line(refuse: Refuse, text: str, problem: str) -> None:
    problems = refuse(f"{HEAD}{text}\n")
    assert problems == [problems[0]]
    assert problems[0].startswith("plan.yaml:5: steps[0].call: ")
    assert problem in problems[0]


def test_every_text_is_rendered_but_the_id_and_the_variables(load: Load, tmp_path: Path) -> None:
    (tmp_path / "app.csv").write_text("")
    plan = load(
        """\
        plan: p
        description: for {{ name }}
        variables: {name: app}
        cwd: "{{ name }}"
        env: {A: "{{ name }}.db"}
        inputs: ["{{ name }}.csv"]
        disclosable: ["{{ name }}"]
        steps:
          - name: do {{ name }}
            call: 1
            effects: [{file_system: "out/{{ name }}"}]
            rollback: {description: "undo {{ name }}", actions: ["rm {{ name }}"]}
            undo: {shell: "rm {{ name }}"}
            volatile: ["{{ name }}.log"]
            env: {B: "{{ name }}"}
        """
    )
    step = plan.steps[0]
    assert (plan.description, plan.cwd, plan.env) == ("for app", tmp_path / "app", {"A": "app.db"})
    assert (list(plan.inputs), plan.disclosable) == (["app.csv"], ("app",))
    assert (step.name, step.effects[0].pattern, step.undo) == ("do app", "out/app", {"shell": "rm app"})
    assert step.rollback is not None
    assert (step.rollback.description, step.rollback.actions) == ("undo app", ("rm app",))
    assert (step.volatile, step.env) == (("app.log",), {"B": "app"})


def test_the_id_is_not_rendered(refuse: Refuse) -> None:
    problems = refuse("plan: 'a{{ n }}'\nvariables: {n: 1}\nsteps: [{name: a, call: 1}]\n")
    assert "expected: an id" in problems[0]


def test_a_variable_cannot_refer_to_another(refuse: Refuse) -> None:
    problems = refuse("plan: p\nvariables:\n  a: x\n  b: '{{ a }}'\nsteps: [{name: a, call: 1}]\n")
    assert problems == ["plan.yaml:4: variables.b: a variable cannot refer to another one; write its value out"]


@pytest.mark.parametrize(
    "given,value",
    [
        ({}, {"db": "app.db", "n": 3, "on": True}),
        ({"db": "x {{ n }}"}, {"db": "x {{ n }}", "n": 3, "on": True}),
        ({"n": "-7", "on": "false"}, {"db": "app.db", "n": -7, "on": False}),
        ({"n": 5, "on": True}, {"db": "app.db", "n": 5, "on": True}),
    ],
)
def test_given_values_take_the_place_of_declared_ones_by_their_type(
    load: Load, given: dict[str, Any], value: dict[str, Any]
) -> None:
    text = "plan: p\nvariables: {db: app.db, n: 3, on: true}\nsteps:\n"
    text += "  - {name: a, call: {db: '{{db}}', n: '{{n}}', on: '{{on}}'}}\n"
    plan = load(text, variables=given)
    assert plan.variables == plan.document["variables"] == plan.steps[0].params == value
    assert (plan.digest == load(text).digest) == (given == {})


@pytest.mark.parametrize(
    "given,problem",
    [
        ({"dbb": "x"}, 'a value was given for the unknown variable "dbb"; did you mean "db"?'),
        ({"zzz": "x"}, 'a value was given for the unknown variable "zzz"; the plan declares no such variable'),
        ({"n": "x"}, 'variables.n: the value given, "x", must be an integer as in the plan'),
        ({"n": "01"}, "must be an integer as in the plan"),
        ({"n": "9007199254740992"}, "an integer beyond"),
        ({"n": 10**400}, "must be an integer as in the plan"),
        ({"n": True}, "the value given, true, must be an integer"),
        ({"on": "yes"}, 'the value given, "yes", must be true or false as in the plan'),
        ({"on": 1}, "the value given, 1, must be true or false"),
        ({"db": 1}, "the value given, 1, must be a text as in the plan"),
        ({"db": "a\0"}, "the value given cannot be used: a text with a NUL character"),
        ({"db": "\udcff"}, "the value given cannot be used: a text with half a surrogate pair"),
        ({"db": "x" * 5_000_000}, "the value given cannot be used: it is too long"),
    ],
)
def test_given_values_that_do_not_fit_are_refused(tmp_path: Path, given: dict[str, Any], problem: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("plan: p\nvariables:\n  db: app.db\n  n: 3\n  on: true\nsteps: [{name: a, call: 1}]\n")
    with pytest.raises(PlanError) as caught:
        load_plan(path, variables=given, tasks=TASKS)
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]
    assert len(caught.value.problems[0]) < 400


def test_what_a_value_inserts_is_not_searched_again(load: Load) -> None:
    text = "plan: p\nvariables: {a: x, b: y}\nsteps: [{name: s, call: '<{{ a }}>'}]\n"
    assert load(text, variables={"a": "{{ b }}"}).steps[0].params == "<{{ b }}>"
