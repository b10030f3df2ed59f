"""The policy file: strict, and in doubt nothing runs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from hearth.errors import GateRefusedError
from hearth.execution import load_policy

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "policy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_it_is_read_and_knows_where_it_comes_from(tmp_path: Path) -> None:
    path = write(tmp_path, 'staging:\n  targets:\n    - "host:box:/srv/*"\n    - sql:sqlite:///try.db\n')
    policy = load_policy(path)
    assert policy.staging_targets == ("host:box:/srv/*", "sql:sqlite:///try.db")
    assert policy.source == str(path)


def test_without_a_file_nothing_is_listed(tmp_path: Path) -> None:
    policy = load_policy(tmp_path / "policy.yaml")
    assert policy.staging_targets == ()
    with pytest.raises(GateRefusedError, match=re.escape(f"which {tmp_path / 'policy.yaml'} does not list")):
        policy.check_staging([("step 0 (a)", "host:b:/")])


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "staging:\n", "staging: {targets: []}"])
def test_an_empty_policy_lists_nothing(tmp_path: Path, text: str) -> None:
    assert load_policy(write(tmp_path, text)).staging_targets == ()


@pytest.mark.parametrize(
    "text,what",
    [
        ("live: yes", "unknown key live"),
        ("staging: {targets: [a], also: b}", "unknown key staging.also"),
        ("staging: {targets: [a]}\nstaging: {targets: [b]}", "the key 'staging' stands there twice"),
        ("staging: {targets: [a], targets: [b]}", "the key 'targets' stands there twice"),
        ("staging: &x {targets: [a]}\nmore: *x", "line 2: aliases are not accepted"),
        ("staging: [", "while parsing"),
        ("staging: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("staging: {targets: [2024-99-99]}", "month must be in 1..12"),
        ("? [a]\n: b", "unhashable key"),
        ("--- a\n--- b", "expected a single document"),
        (b"staging: \xff", "invalid start byte"),
        ("[" * 5000, ""),
        ("# " + "x" * (1 << 16), "larger than 65536 bytes"),
    ],
)
def test_doubt_is_refused_with_the_file_and_the_reason(tmp_path: Path, text: str | bytes, what: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(GateRefusedError) as caught:
        load_policy(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert what in str(caught.value)


def test_a_policy_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").mkdir()
    with pytest.raises(GateRefusedError, match=r"the policy (cannot be read: Is a directory|is not a regular file)"):
        load_policy(tmp_path / "policy.yaml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yaml")
    with pytest.raises(GateRefusedError, match="not a regular file"):
        load_policy(tmp_path / "policy.yaml")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
@pytest.mark.parametrize("closed", [True, False])
def test_a_policy_that_others_can_write_is_refused(tmp_path: Path, closed: bool) -> None:
    tmp_path.chmod(0o700 if closed else 0o755)
    path = write(tmp_path, "staging: {targets: [a]}")
    path.chmod(0o646)
    with pytest.raises(GateRefusedError, match="others than its owner can write the policy"):
        load_policy(path)
    path.chmod(0o664)
    if closed:  # nobody else comes that far, and many an editor writes so
        load_policy(path)
    else:
        with pytest.raises(GateRefusedError, match="others than its owner can write the policy"):
            load_policy(path)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
def test_a_policy_that_others_can_replace_is_refused(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    target = write(there, "staging: {targets: [a]}")
    (here / "policy.yaml").symlink_to(target)
    load_policy(here / "policy.yaml")
    for folder in (here, there):
        folder.chmod(0o777)
        with pytest.raises(GateRefusedError, match=f"can replace the policy: look at who may write {folder}"):
            load_policy(here / "policy.yaml")
        folder.chmod(0o1777)
        load_policy(here / "policy.yaml")
        folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a file away")
def test_a_policy_of_another_user_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "staging: {targets: [a]}")
    os.chown(path, 65534, 65534)
    with pytest.raises(GateRefusedError, match="belongs to the user 65534"):
        load_policy(path)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
def test_every_link_on_the_way_counts(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("here", "public", "private")]
    for folder in folders:
        folder.mkdir()
    target = write(folders[2], "staging: {targets: [a]}")
    (folders[1] / "p.yaml").symlink_to(target)
    (folders[0] / "policy.yaml").symlink_to(folders[1] / "p.yaml")
    load_policy(folders[0] / "policy.yaml")
    folders[1].chmod(0o777)
    with pytest.raises(GateRefusedError, match=f"can replace the policy: look at who may write {folders[1]}"):
        load_policy(folders[0] / "policy.yaml")
    folders[1].chmod(0o755)
    target.unlink()
    with pytest.raises(GateRefusedError, match="a link that leads nowhere"):
        load_policy(folders[0] / "policy.yaml")
