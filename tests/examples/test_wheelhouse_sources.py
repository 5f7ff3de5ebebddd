"""Source archives: only the pinned one is accepted, and nothing in it gets out of its folder."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from wheelhouse_steps.errors import StepError
from wheelhouse_steps.fetch import fetch, find_archive
from wheelhouse_steps.files import clean_environment, sha256_of
from wheelhouse_steps.manifest import Package, Pin
from wheelhouse_steps.places import EXAMPLE, Places
from wheelhouse_steps.tools import clear_leftovers
from wheelhouse_steps.unpack import extract, newest_change_s


def make_archive(path: Path, *names: str, change: Callable[[tarfile.TarInfo], None] | None = None) -> Path:
    """An archive with these files; `change` may turn the last of them into something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = 3, 1_700_000_000
            if change and name == names[-1]:
                change(member)
            tar.addfile(member, io.BytesIO(b"abc"))
    return path


def test_an_archive_is_extracted_without_its_top_folder_and_again_without_leftovers(tmp_path: Path):
    archive = make_archive(tmp_path / "p-1.tar.gz", "p-1/setup.py", "p-1/p/__init__.py")
    for _ in range(2):
        assert extract(archive, tmp_path / "unpacked" / "p") == 2
        assert (tmp_path / "unpacked/p/p/__init__.py").read_bytes() == b"abc"
        (tmp_path / "unpacked/p/leftover").touch()
    assert [path.name for path in (tmp_path / "unpacked").iterdir()] == ["p"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "p-1/../../evil"])
def test_a_path_that_leads_out_is_refused_and_nothing_is_written(tmp_path: Path, name: str):
    archive = make_archive(tmp_path / "p-1.tar.gz", "p-1/setup.py", name)
    with pytest.raises(StepError, match="leads out of it"):
        extract(archive, tmp_path / "unpacked" / "p")
    assert not list(tmp_path.rglob("evil")) and not list(tmp_path.rglob("setup.py"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes):
    def become_special(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    archive = make_archive(tmp_path / "p-1.tar.gz", "p-1/setup.py", "p-1/special", change=become_special)
    with pytest.raises(StepError, match="no plain file"):
        extract(archive, tmp_path / "unpacked" / "p")


def test_an_archive_of_two_folders_is_refused(tmp_path: Path):
    archive = make_archive(tmp_path / "p-1.tar.gz", "p-1/setup.py", "q-1/setup.py")
    with pytest.raises(StepError, match="expected one folder in the archive, found 2"):
        extract(archive, tmp_path / "unpacked" / "p")


def test_a_build_is_dated_by_its_newest_file_and_never_before_1980(tmp_path: Path):
    assert newest_change_s(make_archive(tmp_path / "new.tar.gz", "p/a")) == 1_700_000_000

    def age(member: tarfile.TarInfo) -> None:
        member.mtime = 0

    assert newest_change_s(make_archive(tmp_path / "old.tar.gz", "p/a", change=age)) == 315_532_800


def test_only_the_archive_with_the_pinned_hash_is_accepted(tmp_path: Path):
    archive = make_archive(tmp_path / "sources" / "p-1.tar.gz", "p-1/setup.py")
    assert find_archive(archive.parent, Pin("p", "1", sha256_of(archive))) == archive
    with pytest.raises(StepError, match=r"p-1\.tar\.gz has the hash"):
        find_archive(archive.parent, Pin("p", "1", "0" * 64))
    with pytest.raises(StepError, match="found nothing"):
        find_archive(tmp_path / "nowhere", Pin("p", "1", "0" * 64))


def test_a_verified_archive_is_not_fetched_again_and_a_damaged_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    places = Places(tmp_path)
    archive = make_archive(places.archive_folder("p") / "p-1.tar.gz", "p-1/setup.py")
    good = archive.read_bytes()
    package = Package(Pin("p", "1", sha256_of(archive)), "p", ("tests",), "1", "1")
    calls: list[tuple[object, ...]] = []

    def download(places: Places, what: str, *arguments: object) -> None:
        calls.append(arguments)
        archive.write_bytes(good)

    monkeypatch.setattr("wheelhouse_steps.fetch.run_pip", download)
    assert "there already" in fetch(places, package)
    assert calls == []
    archive.write_bytes(b"damaged")
    assert "fetched p-1.tar.gz" in fetch(places, package)
    (arguments,) = calls
    assert "--require-hashes" in arguments and "--no-deps" in arguments


def test_a_new_run_keeps_downloads_and_tools_and_nothing_else(tmp_path: Path):
    places = Places(tmp_path / "out")
    for name in ("sources", "tools", "wheels", "reports"):
        (places.out / name / "inside").mkdir(parents=True)
    places.index.touch()
    clear_leftovers(places)
    assert sorted(path.name for path in places.out.iterdir()) == ["sources", "tools"]
    assert (places.tools / "inside").is_dir()


def test_what_a_step_starts_gets_no_python_settings_and_a_temporary_folder_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    environment = clean_environment(tmp_path / "tmp", SOURCE_DATE_EPOCH="1")
    assert "PYTHONPATH" not in environment and "PYTHONHOME" not in environment
    assert environment["TMPDIR"] == str(tmp_path / "tmp") and environment["SOURCE_DATE_EPOCH"] == "1"


def test_a_step_started_by_hand_says_what_it_can_do(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "step.py"), "dance"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: usage: step.py ") and "more-itertools" in done.stderr
