"""Backups: complete, checked, never overwritten; restoring believes nothing in the file."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerError
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Records, back_up, fsck, recover, restore_backup
from tests.unit.operations._ledgers import copy_of, edit, furnish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    return furnish(tmp_path_factory.mktemp("furnished"))


@pytest.fixture(scope="module")
def archive(whole: LedgerHome) -> Path:
    return back_up(whole, whole.root.parent / "backup.tar").path


def contents(home: LedgerHome) -> dict[str, bytes]:
    folders = ("journals", "outputs", "inputs", "plans", "quarantine")
    paths = [path for folder in folders for path in (home.root / folder).rglob("*") if path.is_file()]
    return {path.relative_to(home.root).as_posix(): path.read_bytes() for path in paths}


def test_a_restored_ledger_is_the_same(whole: LedgerHome, archive: Path, tmp_path: Path) -> None:
    restored = restore_backup(archive, tmp_path / "new" / ".hearth")
    assert restored.report.findings == ()
    assert contents(restored.home) == contents(whole)
    with Ledger.open(whole) as one, Ledger.open(restored.home) as two:
        assert one.ledger_id == two.ledger_id
        assert list(one.iterate_ids()) == list(two.iterate_ids())
        assert all(one.get_bytes(name) == two.get_bytes(name) for name in one.iterate_ids())
        assert one.retention.tombstones() == two.retention.tombstones()
    assert restored.home.policy.read_bytes() == whole.policy.read_bytes()
    with Records(restored.home) as records:
        assert [outcome.outcome for outcome in recover(records)] == ["recovered"]
    assert fsck(restored.home).findings == ()


def test_a_backup_is_one_private_file_and_leaves_nothing_else(whole: LedgerHome, tmp_path: Path) -> None:
    done = back_up(whole, tmp_path / "b.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]
    assert done.path.stat().st_mode & 0o777 == 0o600
    assert done.size == done.path.stat().st_size
    with tarfile.open(done.path) as tar:
        names = tar.getnames()
    assert names[-1] == "manifest.json"
    assert not [name for name in names if name.startswith(("locks", "runs"))]


def test_a_backup_is_never_overwritten_and_never_inside(whole: LedgerHome, archive: Path) -> None:
    with pytest.raises(LedgerError, match="there already"):
        back_up(whole, archive)
    with pytest.raises(LedgerError, match="own folder"):
        back_up(whole, whole.root / "outputs" / "b.tar")


def test_a_torn_line_of_a_journal_is_left_out(whole: LedgerHome, tmp_path: Path) -> None:
    home = copy_of(whole, tmp_path)
    path = home.journal_path("killed")
    path.write_bytes(path.read_bytes()[:-9])
    restored = restore_backup(back_up(home, tmp_path / "b.tar").path, tmp_path / "new")
    assert restored.home.journal_path("killed").read_bytes().endswith(b"\n")
    assert restored.report.findings == ()


def test_a_damaged_ledger_is_restored_as_it_was_and_said_to_be(whole: LedgerHome, tmp_path: Path) -> None:
    home = copy_of(whole, tmp_path)
    edit(home, "UPDATE executions SET record = replace(record, 'row 17', 'row 18') WHERE execution_id = 'made-0'")
    restored = restore_backup(back_up(home, tmp_path / "b.tar").path, tmp_path / "new")
    assert restored.report.damaged


@pytest.mark.parametrize("what", ["file", "full", "link"])
def test_it_is_restored_into_a_new_or_empty_folder_only(archive: Path, tmp_path: Path, what: str) -> None:
    target = tmp_path / "there"
    if what == "file":
        target.touch()
    elif what == "full":
        target.mkdir()
        (target / "mine").touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="not an empty folder"):
        restore_backup(archive, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"there", *(["elsewhere"] * (what == "link"))})


def test_an_empty_folder_is_taken(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert restore_backup(archive, tmp_path / "empty").report.ok


def refused(source: Path, tmp_path: Path) -> str:
    target = tmp_path / "target"
    with pytest.raises(LedgerError) as caught:
        restore_backup(source, target)
    assert not target.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".restoring")], "nothing is left"
    return str(caught.value)


def test_every_flipped_byte_that_matters_is_noticed(archive: Path, tmp_path: Path) -> None:
    """Padding between members says nothing; everything else is named or refused."""
    whole = archive.read_bytes()
    changed = tmp_path / "changed.tar"
    kept = []
    for place in range(0, len(whole), 20011):
        data = bytearray(whole)
        data[place] ^= 0x10
        changed.write_bytes(data)
        try:
            restore_backup(changed, tmp_path / f"at-{place}")
        except LedgerError:
            continue
        kept.append(whole[place])
    assert set(kept) <= {0}, "only padding"


@pytest.mark.parametrize("length", [0, 1, 511, 512, 5000, -512 * 30, -1024 * 20])
def test_a_cut_file_is_refused(archive: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(archive.read_bytes()[:length])
    assert "backup" in refused(cut, tmp_path)


def remade(archive: Path, tmp_path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """Write the archive again, changed; its manifest is left as it was."""
    members = []
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            members.append((member, file.read()))
    change(members)
    path = tmp_path / "remade.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return path


def member(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    information = tarfile.TarInfo(name)
    information.type, information.size, information.linkname = kind, len(data), link
    return information, data


@pytest.mark.parametrize(
    "evil",
    [
        member("../../escaped"),
        member("/etc/escaped"),
        member("outputs/../../escaped"),
        member("outputs/ab/../../../escaped"),
        member("journals/../escaped"),
        member("journals/.hidden"),
        member("a" * 200),
        member("locks/upkeep"),
        member("ledger.db-wal"),
        member("ledger.db"),
        member("outputs/ab/" + "0" * 62, b"", tarfile.SYMTYPE, "/etc/passwd"),
        member("outputs/ab/" + "0" * 62, b"", tarfile.LNKTYPE, "ledger.db"),
        member("outputs/ab", b"", tarfile.DIRTYPE),
        member("outputs/ab/" + "0" * 62, b"", tarfile.FIFOTYPE),
        member("outputs/ab/" + "0" * 62, b"", tarfile.CHRTYPE),
        member("outputs/ab/" + "0" * 62, b"", tarfile.GNUTYPE_SPARSE),
        member("outputs/ab/" + "0" * 62),
    ],
    ids=lambda pair: f"{pair[0].name[:30]}:{pair[0].type!r}",
)
def test_members_that_no_backup_has(archive: Path, tmp_path: Path, evil: tuple[tarfile.TarInfo, bytes]) -> None:
    path = remade(archive, tmp_path, lambda members: members.insert(1, evil))
    assert "backup" in refused(path, tmp_path)
    assert not (tmp_path.parent / "escaped").exists()


def test_a_member_that_is_missing_or_follows_the_manifest(archive: Path, tmp_path: Path) -> None:
    assert "is missing" in refused(remade(archive, tmp_path, lambda members: members.pop(2) and None), tmp_path)
    assert "behind the manifest" in refused(
        remade(archive, tmp_path, lambda members: members.append(members.pop(0))), tmp_path
    )


def test_a_member_that_claims_to_be_enormous(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    header = tarfile.TarInfo("ledger.db")
    header.size = 7 << 30
    data[:512] = header.tobuf(tarfile.USTAR_FORMAT)
    path = tmp_path / "enormous.tar"
    path.write_bytes(data)
    assert "larger than what is left" in refused(path, tmp_path)
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 20
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 21))
    assert "a header of" in refused(path, tmp_path)


def test_a_manifest_of_another_kind(archive: Path, tmp_path: Path) -> None:
    def other(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        information, data = members.pop()
        document = json.loads(data)
        document["schema"] = "other"
        data = json.dumps(document).encode()
        information.size = len(data)
        members.append((information, data))

    assert "schema" in refused(remade(archive, tmp_path, other), tmp_path)


def test_what_is_no_tar_at_all(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("hello " * 1000)
    assert "backup" in refused(path, tmp_path)
    with pytest.raises(LedgerError):
        restore_backup(tmp_path / "missing", tmp_path / "target")
