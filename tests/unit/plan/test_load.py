from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError
from hearth.plan import DeclaredEffect, RollbackHint, load_plan, parse_plan
from hearth.record import SideEffectCategory
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plan.conftest import Load, Refuse

FULL = """\
    plan: user-import
    description: Import the September users
    variables: {db: app.db, port: 8080}
    cwd: work
    env: {LEVEL: info, TOKEN: {secret: env:TOKEN}}
    concurrency: 2
    inputs: [users.csv]
    disclosable: [reply]
    steps:
      - name: Back up the database
        shell: cp {{ db }} backup.db
        effects:
          - {file_system: backup.db, reversible: true, must: true}
          - {network: "db:5432"}
        rollback:
          description: Remove the backup
          actions: [rm backup.db]
          required_inputs: [a shell]
          risks: [none]
          estimated_duration: 1 minute
        undo: {shell: {argv: [rm, backup.db]}}
        timeout: 30s
        volatile: ["*.log"]
        env: {LEVEL: debug}
      - name: Tell
        http: {method: POST, url: "http://127.0.0.1:{{ port }}/reload", expect: 200}
    """


def test_every_key_of_a_plan_arrives_in_the_model(load: Load, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("a\n")
    plan = load(FULL)
    assert plan.id == "user-import"
    assert plan.description == "Import the September users"
    assert plan.variables == {"db": "app.db", "port": 8080}
    assert plan.cwd == tmp_path / "work"
    assert plan.env == {"LEVEL": "info", "TOKEN": "{secret: env:TOKEN}"}
    assert plan.concurrency == 2
    assert plan.disclosable == ("reply",)
    assert plan.path == tmp_path / "plan.yaml"
    assert plan.folder == tmp_path
    assert list(plan.inputs) == ["users.csv"]
    first, second = plan.steps
    assert (first.index, first.name, first.task_type) == (0, "Back up the database", "shell")
    assert first.params == "cp app.db backup.db"
    assert first.effects == (
        DeclaredEffect(SideEffectCategory.FILE_SYSTEM, "backup.db", reversible=True, must=True),
        DeclaredEffect(SideEffectCategory.NETWORK, "db:5432", reversible=False, must=False),
    )
    assert first.rollback == RollbackHint(
        0, "Remove the backup", ("rm backup.db",), ("a shell",), ("none",), "1 minute"
    )
    assert first.undo == {"shell": {"argv": ["rm", "backup.db"]}}
    assert first.timeout == 30.0
    assert first.volatile == ("*.log",)
    assert first.env == {"LEVEL": "debug"}
    assert (second.index, second.task_type) == (1, "http")
    assert second.params == {"method": "POST", "url": "http://127.0.0.1:8080/reload", "expect": 200}
    assert (second.effects, second.rollback, second.undo, second.timeout) == ((), None, None, None)
    assert (second.volatile, second.env) == ((), {})


def test_what_a_small_plan_leaves_out_has_defaults_that_do_not_enter_the_document(load: Load, tmp_path: Path) -> None:
    plan = load("plan: p\nsteps:\n  - {name: a, shell: x}\n")
    assert plan.document == {"plan": "p", "steps": [{"name": "a", "shell": "x"}]}
    assert (plan.description, plan.concurrency, plan.cwd) == ("", 1, tmp_path)
    assert (plan.env, plan.variables, plan.inputs, plan.disclosable) == ({}, {}, {}, ())


@pytest.mark.parametrize(
    "text,seconds",
    [("500ms", 0.5), ("30s", 30.0), ("2m", 120.0), ("1.5h", 5400.0), ("720h", 2592000.0), (7, 7.0), (0.25, 0.25)],
)
def test_timeouts_are_seconds(load: Load, text: object, seconds: float) -> None:
    plan = load(f"plan: p\nsteps:\n  - {{name: a, shell: x, timeout: {json.dumps(text)}}}\n")
    assert plan.steps[0].timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["0s", "0.0m", "-1s", "30", "30 s", "1d", "30s\\n", "1.s", "721h", "999999999999h", 0, -1, 2592001, True]
)
def test_a_timeout_that_is_no_duration_is_refused(refuse: Refuse, text: object) -> None:
    value = f'"{text}"' if isinstance(text, str) else json.dumps(text)
    problems = refuse(f"plan: p\nsteps:\n  - name: a\n    shell: x\n    timeout: {value}\n")
    assert len(problems) == 1
    assert problems[0].startswith("plan.yaml:5: steps[0].timeout: ")


def test_json_and_yaml_forms_of_a_plan_are_the_same_plan(load: Load, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("a\n")
    yaml_plan = load(FULL)
    document = json.loads(json.dumps(yaml_plan.document))
    json_plan = load(json.dumps(document, indent=2), name="plan.json")
    assert json_plan.digest == yaml_plan.digest
    assert json_plan.steps == yaml_plan.steps
    assert parse_plan(document, folder=tmp_path, tasks=TASKS).digest == yaml_plan.digest


def test_a_plan_cannot_be_changed(load: Load) -> None:
    plan = load("plan: p\nenv: {A: b}\nsteps:\n  - {name: a, call: {list: [1], map: {x: 1}}}\n")
    with pytest.raises(AttributeError):
        plan.id = "q"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        plan.steps[0].name = "q"  # type: ignore[misc]
    changes: list[Any] = [
        lambda: plan.document["steps"].append({}),
        lambda: plan.document["steps"][0].update(name="z"),
        lambda: plan.steps[0].params["list"].append(2),
        lambda: plan.steps[0].params["map"].pop("x"),
        lambda: plan.inputs.update(a="b"),  # type: ignore[attr-defined]
        plan.env.clear,  # type: ignore[attr-defined]
        plan.variables.clear,  # type: ignore[attr-defined]
    ]
    for change in changes:
        with pytest.raises(TypeError):
            change()


def test_a_mapping_given_to_parse_plan_can_be_changed_later_without_effect(tmp_path: Path) -> None:
    step: dict[str, Any] = {"name": "a", "call": {"list": [1]}}
    plan = parse_plan({"plan": "p", "steps": (step,)}, folder=tmp_path, tasks=TASKS)
    step["call"]["list"].append(2)
    assert plan.steps[0].params == {"list": [1]}
    assert (plan.path, plan.folder) == (None, tmp_path)


def test_plans_are_equal_by_digest_and_folder(load: Load, tmp_path: Path) -> None:
    text = "plan: p\nsteps:\n  - {name: a, shell: x}\n"
    plan, again = load(text), load(text, name="copy.yaml")
    assert plan == again
    assert hash(plan) == hash(again)
    assert plan != load(text.replace("x}", "y}"))
    document = {"plan": "p", "steps": [{"name": "a", "shell": "x"}]}
    elsewhere = parse_plan(document, folder=tmp_path / "b", tasks=TASKS)
    assert elsewhere.digest == plan.digest
    assert elsewhere != plan
    assert plan != "plan"


def test_problems_of_a_mapping_have_a_path_and_no_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan({"plan": "p", "steps": [{"name": "a", "shel": "x"}]}, folder=tmp_path, tasks=TASKS)
    assert caught.value.problems == ('plan: steps[0].shel: unknown key; did you mean "shell"?',)


def test_all_problems_are_reported_at_once_and_sorted_by_line(refuse: Refuse) -> None:
    problems = refuse(
        """\
        plan: user import
        variables: {db: app.db}
        inputs: [missing.csv]
        steps:
          - name: Back up
            shel: cp {{ dbs }} backup.db
            timeout: soon
          - http: {method: GTE, url: "http://a/"}
          - name: Own
            shell: x
            effects:
              - {file_system: plan.yaml}
        descripton: x
        """
    )
    assert problems == [
        (
            'plan.yaml:1: plan: "user import" is not valid here; expected: an id of 1 to 100 letters, digits, dots, '
            "dashes and underscores, the first a letter or digit"
        ),
        'plan.yaml:3: inputs[0]: the input "missing.csv" is not there',
        'plan.yaml:6: steps[0].shel: the variable "dbs" is not defined; did you mean "db"?',
        'plan.yaml:6: steps[0].shel: unknown key; did you mean "shell"?',
        (
            'plan.yaml:7: steps[0].timeout: "soon" is not valid here; expected: a duration such as "500ms", "30s", '
            '"2m" or "1h", or a number of seconds'
        ),
        'plan.yaml:8: steps[1].http.method: must be one of "GET", "POST", "PUT", is "GTE"; did you mean "GET"?',
        'plan.yaml:8: steps[1]: the key "name" is missing',
        (
            'plan.yaml:12: steps[2].effects[0]: declares an effect on "plan.yaml", which this plan runs from; what was '
            "approved must stay as it is: let the step work on a copy, or narrow the pattern"
        ),
        'plan.yaml:13: descripton: unknown key; did you mean "description"?',
    ]


def test_the_text_of_the_error_is_its_problems(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("plan: p\nsteps: []\nx: 1\n")
    with pytest.raises(PlanError) as caught:
        load_plan(tmp_path / "plan.yaml", tasks=TASKS)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 2


def test_relative_paths_start_at_the_plan_files_folder_not_at_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "run.sh").write_text("true\n")
    (folder / "plan.yaml").write_text("plan: p\ncwd: sub\nsteps:\n  - {name: a, shell: {file: run.sh}}\n")
    monkeypatch.chdir(tmp_path)
    plan = load_plan("plans/plan.yaml", tasks=TASKS)
    assert (plan.folder, plan.cwd, list(plan.inputs)) == (folder, folder / "sub", ["run.sh"])
    monkeypatch.chdir(folder)
    plan.verify_inputs()  # nothing in a plan depends on the current folder any more
    assert plan.path is not None
    assert plan.path.is_absolute()


def test_the_task_sees_secrets_as_texts_and_the_document_keeps_what_was_written(load: Load) -> None:
    plan = load(
        "plan: p\nsteps:\n  - {name: a, http: {method: GET, url: 'http://a/', headers: {k: {secret: env:K}}}}\n"
    )
    assert plan.steps[0].params["headers"] == {"k": "{secret: env:K}"}
    assert plan.document["steps"][0]["http"]["headers"] == {"k": {"secret": "env:K"}}


def test_a_task_that_fails_to_tell_its_inputs_is_a_problem_of_the_plan(tmp_path: Path) -> None:
    class Broken(type(TASKS["call"])):  # type: ignore[misc]
        def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:
            raise KeyError(params)

    class Wrong(type(TASKS["call"])):  # type: ignore[misc]
        def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:
            return (folder,)  # type: ignore[return-value]

    for task, what in ((Broken(), "the task call cannot tell its inputs: KeyError: 1"), (Wrong(), "not texts")):
        with pytest.raises(PlanError, match=what):
            parse_plan({"plan": "p", "steps": [{"name": "a", "call": 1}]}, folder=tmp_path, tasks={"call": task})


@pytest.mark.parametrize("pattern", ["*", "**", "**/*", "./**", "/**", "../**", "*.*", "?*", "[!x]*", "[a-z]*/"])
def test_a_volatile_pattern_says_what_it_is_about(refuse: Refuse, pattern: str) -> None:
    problems = refuse(f"plan: p\nsteps:\n  - name: a\n    shell: x\n    volatile: ['*.log', '{pattern}']\n")
    assert problems == [
        "plan.yaml:5: steps[0].volatile[1]: matches anything: nothing would be held to what was approved"
    ]


@pytest.mark.parametrize("pattern", ["*.log", "**/cache/**", "logs/", "a*", "[ab]c", "/etc/shadow"])
def test_a_volatile_pattern_may_be_wide(load: Load, pattern: str) -> None:
    plan = load(f"plan: p\nsteps:\n  - name: a\n    shell: x\n    volatile: ['{pattern}']\n")
    assert plan.steps[0].volatile == (pattern,)
