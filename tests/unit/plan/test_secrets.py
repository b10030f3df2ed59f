from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import TaskError
from hearth.plan import Secrets, parse_plan
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plan.conftest import Refuse


def resolve(value: Any, folder: Path) -> tuple[Any, list[str]]:
    registered: list[str] = []
    return Secrets.resolve(value, folder=folder, register=registered.append), registered


def test_references_become_texts_and_are_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "k3y5")
    (tmp_path / "pass.txt").write_text("hunter2\n")
    value = {
        "headers": {"X": {"secret": "env:API_KEY"}, "Y": "Bearer {secret: env:API_KEY}"},
        "list": [{"secret": "file:pass.txt"}, "{ secret : file:pass.txt }", 3, None, True],
        "plain": "no reference {to: anything}",
    }
    resolved, registered = resolve(value, tmp_path)
    assert resolved == {
        "headers": {"X": "k3y5", "Y": "Bearer k3y5"},
        "list": ["hunter2", "hunter2", 3, None, True],
        "plain": "no reference {to: anything}",
    }
    assert set(registered) == {"k3y5", "hunter2"}
    assert value["headers"]["X"] == {"secret": "env:API_KEY"}  # type: ignore[index]


def test_parameters_of_a_loaded_plan_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "k3y5")
    document = {"plan": "p", "steps": [{"name": "a", "call": {"a": {"secret": "env:API_KEY"}, "b": ["x"]}}]}
    plan = parse_plan(document, folder=tmp_path, tasks=TASKS)
    assert resolve(plan.steps[0].params, plan.folder)[0] == {"a": "k3y5", "b": ["x"]}


@pytest.mark.parametrize(
    "text,resolved",
    [
        ("postgresql://app:{secret: env:S}@db/x", "postgresql://app:p%40s%2Fs%3F%23%25@db/x"),
        ("https://h/{secret: env:S}/b", "https://h/p%40s/s%3F%23%25/b"),
        ("https://h/a?key={secret: env:S}", "https://h/a?key=p%40s%2Fs%3F%23%25"),
        ("https://h/a#{secret: env:S}", "https://h/a#p%40s%2Fs%3F%23%25"),
        ("{secret: env:S}", "p@s/s?#%"),
        ("curl https://h/{secret: env:S}", "curl https://h/p@s/s?#%"),
        ("x={secret: env:S}", "x=p@s/s?#%"),
    ],
)
def test_inside_a_url_a_secret_cannot_end_the_part_it_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, resolved: str
) -> None:
    monkeypatch.setenv("S", "p@s/s?#%")
    value, registered = resolve(text, tmp_path)
    assert value == resolved
    assert "p@s/s?#%" in registered
    assert any(secret in value for secret in registered), "the form that is used must be known to the redactor"


def test_every_secret_of_a_url_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "p@s/s")
    url = "http://{secret: env:S}:{secret: env:S}@h/{secret: env:S}?{secret: env:S}"
    assert resolve(url, tmp_path)[0] == "http://p%40s%2Fs:p%40s%2Fs@h/p%40s/s?p%40s%2Fs"


def test_the_lines_of_a_key_are_registered_because_output_is_redacted_by_lines(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN KEY-----\nabcdefgh\nxy\n-----END KEY-----\n")
    value, registered = resolve({"secret": "file:key"}, tmp_path)
    assert value == "-----BEGIN KEY-----\nabcdefgh\nxy\n-----END KEY-----"
    assert registered == [value, "-----BEGIN KEY-----", "abcdefgh", "-----END KEY-----"]


def test_a_file_of_a_secret_loses_one_line_break_only(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"word \n\n")
    assert resolve({"secret": "file:a"}, tmp_path)[0] == "word \n"
    (tmp_path / "a").write_bytes(b"word\r\n")
    assert resolve({"secret": f"file:{tmp_path}/a"}, tmp_path)[0] == "word"


@pytest.mark.parametrize("short", ["a", "abc", " abc\n\n"])
def test_what_is_too_short_to_be_found_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    monkeypatch.setenv("PIN", short)
    with pytest.raises(TaskError, match="the secret env:PIN is too short to be kept out of the record"):
        resolve({"secret": "env:PIN"}, tmp_path)


@pytest.mark.parametrize(
    "target,problem",
    [
        ("env:NOT_SET_ANYWHERE", "the secret env:NOT_SET_ANYWHERE is missing: set the environment variable"),
        ("env:EMPTY", "the secret env:EMPTY is empty"),
        ("file:none", "the secret file:none cannot be read: "),
        ("file:empty", "the secret file:empty is empty"),
        ("file:.", "the secret file:. "),
        ("file:binary", "the secret file:binary is not UTF-8"),
        ("file:large", "the secret file:large is larger than 65536 bytes"),
        ("vault:x", '"vault:x" refers to no secret; a secret is written {secret: env:NAME} or {secret: file:PATH}'),
        ("x", '"x" refers to no secret'),
    ],
)
def test_a_secret_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, problem: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe sesame")
    (tmp_path / "large").write_text("sesame" * 20_000)
    for value in ({"secret": target}, f"a {{secret: {target}}} b"):
        with pytest.raises(TaskError) as caught:
            resolve(value, tmp_path)
        assert problem in str(caught.value)
        assert "sesame" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
def test_a_named_pipe_is_no_secret(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TaskError, match="not a regular file"):
        resolve({"secret": "file:pipe"}, tmp_path)


def test_references_are_listed_without_being_looked_up() -> None:
    value = {"a": {"secret": "env:B"}, "b": ["{secret: env:A} {secret: env:B}", "{secret: file:x/y.txt}"]}
    assert Secrets.references(value) == ("env:A", "env:B", "file:x/y.txt")
    assert Secrets.references(["nothing", "{secret: evn:A}", "{secret: env:A", {"secret": "x"}]) == ()


@pytest.mark.parametrize(
    "value,problem",
    [
        ("{secret: hunter2}", '"hunter2" refers to no secret; a secret is written {secret: env:NAME}'),
        ("{secret: 'env:'}", '"env:" refers to no secret'),
        ("{secret: 'env:A-B'}", '"A-B" is not the name of an environment variable'),
        ("'x {secret: evn:A} y'", '"evn:A" refers to no secret'),
        ("'x {secret: env:A y'", "refers to no secret"),
        ("'x {secret:}'", '"" refers to no secret'),
        ("{secret: 'file:{a}'}", "refers to no secret"),
        ("'" + "{secret: env:A}" * 101 + "'", "more than 100 secrets in one text"),
    ],
)
def test_a_malformed_reference_is_a_problem_of_the_plan(refuse: Refuse, value: str, problem: str) -> None:
    for line in (f"call: {value}", f"env: {{A: {value}}}", f"undo: {{call: {{x: [{value}]}}}}"):
        call = "" if line.startswith("call") else "call: 1, "
        problems = refuse(f"plan: p\nsteps:\n  - {{name: a, {call}{line}}}\n")
        assert len(problems) == 1
        assert problems[0].startswith("plan.yaml:3: steps[0].")
        assert problem in problems[0]


def test_secrets_stand_only_where_a_task_reads_them(refuse: Refuse) -> None:
    problems = refuse("plan: p\ndescription: {secret: env:A}\nsteps: [{name: {secret: env:A}, call: 1}]\n")
    assert problems == [
        "plan.yaml:2: description: must be a text, is a mapping",
        "plan.yaml:3: steps[0].name: must be a text, is a mapping",
    ]


def test_the_digest_covers_the_reference_and_not_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(target: str) -> str:
        document = {"plan": "p", "steps": [{"name": "a", "call": {"secret": target}}]}
        return parse_plan(document, folder=tmp_path, tasks=TASKS).digest

    monkeypatch.setenv("A", "one")
    before = digest("env:A")
    monkeypatch.setenv("A", "two")
    assert digest("env:A") == before
    assert digest("env:B") != before
