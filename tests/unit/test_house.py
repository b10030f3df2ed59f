"""The rules of the house as tests: layout, layers, public names, the handoff's shims, the pinned requirements."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src"
HEARTH = SOURCE / "hearth"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
LAYERS: list[str] = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
REQUIREMENTS = REPOSITORY / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))

MAX_LINES = 400
HANDOFF = ("artemis", "core", "stage4")
# Public by contract: a task is an entry point, and alembic finds its scripts by name.
PUBLIC_MODULES = {
    *(value.partition(":")[0] for value in PROJECT["project"]["entry-points"]["hearth.tasks"].values()),
    "hearth.ledger.migrations",
}


MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted(path.parent for path in HEARTH.glob("*/__init__.py"))
SHIMS = sorted(path for package in HANDOFF for path in (SOURCE / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), name_of(path))


def declared_all(path: Path) -> list[str] | None:
    """The literal value of `__all__`, or None where there is none."""
    for node in parsed(path).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets) and node.value:
                return list(ast.literal_eval(node.value))
    return None


def layer_of(module: str) -> int:
    """Where a module of hearth stands, 0 being the lowest layer."""
    room = module.split(".")[1]
    for height, layer in enumerate(reversed(LAYERS)):
        if room in (part.strip(" ()") for part in layer.split("|")):
            return height
    message = f"{module}: pyproject.toml's layers do not name {room}"
    raise AssertionError(message)


# --- layout ----------------------------------------------------------------------------------------------------------


def test_a_file_holds_one_concept() -> None:
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_lists_its_public_names(room: Path) -> None:
    """That the list is sorted is the linter's rule (RUF022)."""
    names = declared_all(room / "__init__.py")
    assert names, f"{name_of(room)}/__init__.py has no __all__"
    assert len(names) == len(set(names))
    module = importlib.import_module(module_name(room / "__init__.py"))
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing, f"{module.__name__}.__all__ promises {missing}"


def test_modules_inside_a_room_are_private() -> None:
    public = [
        module_name(path)
        for room in ROOMS
        for path in sorted(room.rglob("*.py"))
        if not path.name.startswith("_") and not module_name(path).startswith(tuple(PUBLIC_MODULES))
    ]
    assert public == []


def test_nobody_reaches_into_another_room() -> None:
    reached = [
        f"{name_of(path)}:{node.lineno}: {node.module}"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.module
        for parts in [node.module.split(".")]
        if parts[0] == "hearth" and parts[:2] != module_name(path).split(".")[:2]
        if any(part.startswith("_") for part in parts[2:])
    ]
    assert reached == []


def test_lazy_names_keep_the_layers_too() -> None:
    """`lazy_names` maps names to modules by string, which import-linter cannot see."""
    upward = [
        f"{name_of(room)}/__init__.py:{node.lineno}: {node.value}"
        for room in ROOMS
        for node in ast.walk(parsed(room / "__init__.py"))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"hearth(\.\w+)+", node.value)
        if layer_of(node.value) > layer_of(module_name(room / "__init__.py"))
    ]
    assert upward == []


# --- layers ----------------------------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contract_holds() -> None:
    run = lint_imports(REPOSITORY)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_import_contract_can_fail(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    (tmp_path / "src/hearth/record/_upward.py").write_text("import socket\n\nimport core.kernel\nimport hearth.plan\n")
    run = lint_imports(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    report = " ".join(run.stdout.split())
    for broken in ("hearth.record is not allowed to import hearth.plan", "hearth is not allowed to import core"):
        assert broken in report
    assert "hearth.record is not allowed to import socket" in report


def test_the_handoff_shims_hold_no_logic() -> None:
    for path in SHIMS:
        tree = parsed(path)
        assert ast.get_docstring(tree), name_of(path)
        logic = [
            f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
            for node in tree.body[1:]
            if not isinstance(node, ast.Import | ast.ImportFrom)
            and not re.match("__all__(: [^=]+)? = ", ast.unparse(node))
        ]
        assert logic == []


def test_the_handoff_shims_are_there() -> None:
    names = {path.relative_to(SOURCE).as_posix() for path in SHIMS}
    assert {"artemis/execution_observability.py", "core/kernel.py", "stage4/approval_executor.py"} <= names


# --- requirements ----------------------------------------------------------------------------------------------------


def pins(path: Path) -> dict[str, tuple[Requirement, int]]:
    """Name -> (pinned requirement, number of its hashes)."""
    found: dict[str, tuple[Requirement, int]] = {}
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        requirement = Requirement(line.partition("--hash")[0])
        found[canonicalize_name(requirement.name)] = (
            requirement,
            len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)),
        )
    return found


def wanted(path: Path) -> list[Requirement]:
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


@pytest.mark.parametrize("path", LOCKS, ids=name_of)
def test_every_requirement_is_pinned_by_hash(path: Path) -> None:
    assert pins(path)
    for name, (requirement, hashes) in pins(path).items():
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), name
        assert requirement.url is None
        assert hashes, name


@pytest.mark.parametrize(
    "path",
    [
        *LOCKS,
        *sorted(REQUIREMENTS.glob("*.in")),
        REPOSITORY / "pyproject.toml",
        REPOSITORY / "Makefile",
        REPOSITORY / ".ci/run",
    ],
    ids=name_of,
)
def test_set_up_names_no_address(path: Path) -> None:
    """Neither a URL nor an index option nor a folder of a machine: everyone's own configuration of pip holds."""
    address = re.compile(
        r"\w://|--(extra-)?index|--find-links|--trusted|(?<![\w.$)}])/(home|opt|root|srv|work|Users)\b|\b[\w-]+\.(org|com|net|io|dev)\b"
    )
    found = [
        line
        for line in path.read_text("utf-8").splitlines()
        if address.search(line.replace("--no-emit-find-links", ""))
    ]
    assert not found


def test_the_pins_fit_what_is_wanted_and_one_another() -> None:
    locks = {path.stem: pins(path) for path in LOCKS}
    asked = {
        "base": [Requirement(text) for text in PROJECT["project"]["dependencies"]],
        "build": [*wanted(REQUIREMENTS / "build.in"), *map(Requirement, PROJECT["build-system"]["requires"])],
        "dev": [
            *wanted(REQUIREMENTS / "dev.in"),
            *wanted(REQUIREMENTS / "bench.in"),
            *(Requirement(text) for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra),
        ],
        "lock": wanted(REQUIREMENTS / "lock.in"),
    }
    assert set(locks) == set(asked)
    for lock, requirements in asked.items():
        for requirement in requirements:
            pin = locks[lock][canonicalize_name(requirement.name)][0]
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version, prereleases=True), f"{lock}.txt: {pin}; run `make lock`"
    for lower in ("base", "build"):
        for name, (pin, hashes) in locks[lower].items():
            assert locks["dev"][name] == (pin, hashes), f"{lower}.txt and dev.txt differ in {name}; run `make lock`"


# --- what is shipped -------------------------------------------------------------------------------------------------


def test_the_wheel_holds_what_it_needs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("hearth_recorder-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    package = {path.relative_to(SOURCE).as_posix() for path in MODULES} | {"hearth/py.typed"}
    package |= {
        path.relative_to(SOURCE).as_posix()
        for path in (HEARTH / "ledger/migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"hearth", *HANDOFF}
    assert "License-Expression: Apache-2.0" in metadata
    assert "Description-Content-Type: text/markdown" in metadata, "pyproject.toml lacks readme"
    assert any(name.startswith("hearth/ledger/migrations/versions/") for name in names)


def test_no_licence_text_is_copied_in() -> None:
    assert not [path.name for path in REPOSITORY.iterdir() if re.match(r"(?i)(licen[cs]e|copying|notice)", path.name)]


def test_ci_runs_the_same_checks_as_everyone() -> None:
    script = REPOSITORY / ".ci/run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^(exec )?make check$", script.read_text("utf-8"), re.MULTILINE)


def test_no_file_names_the_place_of_this_checkout() -> None:
    place = str(REPOSITORY).encode() + b"/"
    folders = [REPOSITORY / name for name in (".ci", "benchmarks", "docs", "examples", "requirements", "src", "tests")]
    files = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    found = [name_of(path) for path in (*files, *REPOSITORY.iterdir()) if path.is_file() and place in path.read_bytes()]
    assert found == []


def test_make_lists_every_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert re.findall(r"^([a-z]+):.* ## \S", makefile, re.MULTILINE) == phony.split()
