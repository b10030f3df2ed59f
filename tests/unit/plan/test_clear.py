"""Secrets that stand in a plan in clear are told, with their place; references and ordinary texts are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hearth.plan import load_plan, parse_plan
from hearth.plan._clear import secrets_in_clear
from hearth.record import Redactor

if TYPE_CHECKING:
    from pathlib import Path


def step(**keys: Any) -> dict[str, Any]:
    return {"plan": "p", "steps": [{"name": "a", **keys}]}


@pytest.mark.parametrize(
    "document, places",
    [
        (step(shell="mysql --password hunter2abc"), [("steps", 0, "shell")]),
        (step(shell="PGPASSWORD=hunter2abc true"), [("steps", 0, "shell")]),
        (step(shell={"argv": ["deploy", "--password", "hunter2abc"]}), [("steps", 0, "shell", "argv", 2)]),
        (step(shell="true", env={"API_TOKEN": "hunter2abc"}), [("steps", 0, "env", "API_TOKEN")]),
        (step(sql={"url": "postgresql://app:hunter2abc@db/x", "statement": "x"}), [("steps", 0, "sql", "url")]),
        (step(sql={"url": "sqlite://", "parameters": [{"password": "x1"}]}),
         [("steps", 0, "sql", "parameters", 0, "password")]),
        (step(shell="true", rollback={"description": "x", "actions": ["ok", "mysql --password=hunter2abc"]}),
         [("steps", 0, "rollback", "actions", 1)]),
        ({**step(shell="true"), "variables": {"token": "abcdef12", "pin": 1234, "db": "app.db"}},
         [("variables", "token"), ("variables", "pin")]),
        ({**step(shell="true"), "env": {"DB_PASSWORD": "x", "HOME": "/x"}}, [("env", "DB_PASSWORD")]),
    ],
)  # fmt: skip
def test_a_secret_in_clear_is_found(document: dict[str, Any], places: list[tuple[str | int, ...]]) -> None:
    assert list(secrets_in_clear(document)) == places


@pytest.mark.parametrize(
    "keys",
    [
        {"shell": {"script": "psql", "stdin": "password={secret: env:PGPASS}"}},
        {"shell": 'curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1/'},
        {"shell": {"argv": ["true"], "env": {"API_TOKEN": {"secret": "env:API_TOKEN"}}}},
        {"shell": {"argv": ["true"], "env": {"API_TOKEN": "{secret: env:API_TOKEN}", "PASSWORD": "", "PW": "$X"}}},
        {"http": {"method": "GET", "url": "https://a:{secret: env:B}@c/",
                  "headers": {"Authorization": "Bearer {secret: file:b}"}}},
        {"sql": {"url": "postgresql://app:{secret: env:P}@db/x", "statement": "SELECT count(*) FROM tokens"}},
        {"python": {"call": "importer:run", "args": {"source": "users.csv", "max_tokens": 5, "use_token": True}}},
    ],
)  # fmt: skip
def test_what_is_no_secret_in_clear_is_not_told(keys: dict[str, Any]) -> None:
    assert list(secrets_in_clear(step(**keys))) == []


def test_a_plan_keeps_its_warnings_by_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "plan: p\nsteps:\n  - name: a\n    shell: PGPASSWORD=hunter2abc true\n  - {name: b, shell: 'true'}\n"
    )
    plan = load_plan(file)
    what = "a secret stands here in clear; give it as {secret: env:NAME}"
    assert plan.warnings == (f"{file}:4: steps[0].shell: {what}",)
    assert load_plan(file) == plan
    parsed = parse_plan(step(shell="PGPASSWORD=hunter2abc true"), folder=tmp_path)
    assert parsed.warnings == (f"plan: steps[0].shell: {what}",)
    assert parse_plan(step(shell="true"), folder=tmp_path).warnings == ()


def test_what_is_pointed_at_is_known_to_the_run(tmp_path: Path) -> None:
    plan = parse_plan(
        {
            "plan": "leaky",
            "env": {"PGPASSWORD": "hunter2-env"},
            "steps": [
                {"name": "a", "shell": "curl --password hunter2-option http://x; echo $TOKEN"},
                {"name": "b", "shell": {"argv": ["tool", "--token", "hunter2-argument"]}},
                {
                    "name": "c",
                    "sql": {
                        "url": "sqlite:///x.db",
                        "statement": "SELECT 1",
                        "parameters": {"password": "hunter2-sql"},
                    },
                },
                {
                    "name": "d",
                    "python": {"call": "m:f", "args": {"pin": "1234", "auth": "basic", "password": "{secret: env:P}"}},
                },
            ],
        },
        folder=_with_module(tmp_path),
    )
    known = plan.secret_variables(Redactor().telling)
    assert set(known) == {"hunter2-env", "hunter2-option", "hunter2-argument", "hunter2-sql", "1234"}


def _with_module(folder: Path) -> Path:
    (folder / "m.py").write_text("def f(**_): pass\n")
    return folder
