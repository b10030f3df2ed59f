"""The example's programs, loaded by their path: the folder is no package, as a user's own folder of scripts is none."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "user-import"
MIGRATION = EXAMPLE / "migrations" / "0002_batches.sql"


def load(name: str) -> ModuleType:
    """Load one program of the example under a name that nothing else has."""
    unique = f"user_import_{name}"
    specification = importlib.util.spec_from_file_location(unique, EXAMPLE / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[unique] = module  # dataclasses look their module up here
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the example."""
    return EXAMPLE


@pytest.fixture(scope="session")
def make_data() -> ModuleType:
    """The data generator."""
    return load("make_data")


@pytest.fixture(scope="session")
def importer() -> ModuleType:
    """The importer."""
    return load("importer")


@pytest.fixture(scope="session")
def backup() -> ModuleType:
    """The backup program."""
    return load("backup")


@pytest.fixture(scope="session")
def server() -> ModuleType:
    """The user service."""
    return load("server")


@pytest.fixture(scope="session")
def check() -> ModuleType:
    """The last check."""
    return load("check")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, make_data: ModuleType) -> Path:
    """Fresh data, made once; nobody changes it."""
    folder = tmp_path_factory.mktemp("fresh") / "oslo"
    make_data.make_data(folder)
    return folder


@pytest.fixture
def site(tmp_path: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the fresh data, which is also the current folder."""
    folder = tmp_path / "oslo"
    shutil.copytree(fresh, folder)
    monkeypatch.chdir(folder)
    return folder
