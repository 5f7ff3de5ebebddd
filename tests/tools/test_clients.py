"""tools/clients: what is here is built and tried, what is missing is told, what fails fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "clients"
STUBS = "STUBS_OUT ?= v1\nstubs:\n\t@cp -r proto/. $(STUBS_OUT)/\n"


def _language(project: Path, name: str, makefile: str) -> Path:
    folder = project / "client" / name
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text(makefile)
    return folder


def _run(project: Path, command: str, wanted: str = "") -> subprocess.CompletedProcess[str]:
    (project / "tools").mkdir(exist_ok=True)
    shutil.copy(TOOL, project / "tools" / "clients")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [project / "tools" / "clients", command],
        capture_output=True, text=True, check=False, env=kept | {"TEST_CLIENTS": wanted},
    )  # fmt: skip


def test_a_missing_toolchain_is_told_and_is_no_failure(tmp_path: Path) -> None:
    _language(tmp_path, "elm", "toolchain:\n\t@echo 'elm was not found; install it'; exit 1\n")
    _language(tmp_path, "go", "toolchain:\n\t@true\nbuild:\n\t@touch built\n")
    done = _run(tmp_path, "build")
    assert done.stdout.splitlines() == [
        "clients: elm: left out: elm was not found; install it",
        "clients: go: build: done",
    ]
    assert (done.returncode, (tmp_path / "client/go/built").exists()) == (0, True)


@pytest.mark.parametrize("command", ["build", "test"])
def test_what_fails_though_its_toolchain_is_there_is_a_failure(tmp_path: Path, command: str) -> None:
    _language(tmp_path, "elm", f"toolchain:\n\t@true\n{command}:\n\t@echo no type for x >&2; exit 3\n")
    _language(tmp_path, "go", f"toolchain:\n\t@true\n{command}:\n\t@true\n")
    done = _run(tmp_path, command)
    assert done.returncode == 1
    assert "no type for x" in done.stderr
    assert (
        f"clients: elm: make {command} failed; run it again with: make -C client/elm {command}" in done.stderr
    )
    assert f"clients: go: {command}: done" in done.stdout


def test_only_the_languages_asked_for_are_touched(tmp_path: Path) -> None:
    for name in ("elm", "go", "zig"):
        _language(tmp_path, name, "toolchain:\n\t@true\nbuild:\n\t@true\n")
    assert _run(tmp_path, "build", "zig, go").stdout.splitlines() == [
        "clients: go: build: done",
        "clients: zig: build: done",
    ]
    assert _run(tmp_path, "build", "python").stdout == ""


def test_stubs_that_do_not_follow_from_the_protos_are_found(tmp_path: Path) -> None:
    folder = _language(tmp_path, "go", f"toolchain:\n\t@true\n{STUBS}")
    for name in ("proto", "v1"):
        (folder / name).mkdir()
        (folder / name / "a.go").write_text("package a\n")
    done = _run(tmp_path, "stubs-check")
    assert (done.returncode, done.stdout) == (0, "stubs: go: current\n")
    (folder / "proto" / "a.go").write_text("package b\n")
    done = _run(tmp_path, "stubs-check")
    assert done.returncode == 1
    assert "run: make stubs" in done.stderr
    assert (folder / "v1" / "a.go").read_text() == "package a\n"
    assert _run(tmp_path, "stubs").stdout == "stubs: go: generated\n"
    assert (folder / "v1" / "a.go").read_text() == "package b\n"


def test_a_language_without_stubs_of_its_own_has_none_to_check(tmp_path: Path) -> None:
    _language(tmp_path, "cpp", "toolchain:\n\t@true\n")
    done = _run(tmp_path, "stubs-check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_command_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    _language(tmp_path, "go", "toolchain:\n\t@true\n")
    done = _run(tmp_path, "bulid")
    assert done.returncode != 0
    assert "no such command: bulid" in done.stderr
