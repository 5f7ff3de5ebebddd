"""conformance.json, and what a run of the tests leaves out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.leftout import left_out
from tests.conformance.programs import command_line, find_programs, read_programs

GOOD = {
    "language": "Elm",
    "client": ["build/client", "--json"],
    "worker": ["node", "--no-warnings", "dist/worker.js"],
    "worker_kind": "polling",
    "not_applicable": {"worker/progress": "it has none"},
}


def _language(clients: Path, name: str, told: dict[str, Any], makefile: str = "") -> Path:
    folder = clients / name
    folder.mkdir(parents=True)
    (folder / "conformance.json").write_text(json.dumps(told))
    if makefile:
        (folder / "Makefile").write_text(makefile)
    return folder


def test_paths_are_below_the_folder_and_other_words_stay(tmp_path: Path) -> None:
    folder = _language(tmp_path, "elm", GOOD)
    programs = read_programs(folder / "conformance.json")
    assert programs.client == (f"{folder}/build/client", "--json")
    assert programs.worker == ("node", "--no-warnings", f"{folder}/dist/worker.js")
    assert programs.worker_kind == "polling"


def test_python_is_the_interpreter_that_runs_the_kit(tmp_path: Path) -> None:
    assert command_line(["python", "a/b.py"], tmp_path) == (sys.executable, f"{tmp_path}/a/b.py")


def test_it_is_built_once_every_path_is_there(tmp_path: Path) -> None:
    folder = _language(tmp_path, "elm", GOOD)
    assert read_programs(folder / "conformance.json").missing == "client is not built"
    for name in ("build/client", "dist/worker.js"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    assert read_programs(folder / "conformance.json").missing == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"worker_kind": "pushing"}, "must be one of stream, polling"),
        ({"language": ""}, "language"),
        ({"client": 5}, "TypeError"),
    ],
)
def test_what_breaks_the_contract_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    folder = _language(tmp_path, "elm", GOOD | change)
    with pytest.raises(ValueError, match=told):
        read_programs(folder / "conformance.json")


def test_python_comes_first_then_the_others_by_name(tmp_path: Path) -> None:
    for name in ("Zig", "Python", "Ada"):
        _language(tmp_path, name.lower(), GOOD | {"language": name})
    assert [one.language for one in find_programs(tmp_path)] == ["Python", "Ada", "Zig"]


def test_what_is_left_out_is_told_with_the_toolchains_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_CLIENTS", raising=False)
    makefile = "toolchain:\n\t@echo 'the elm compiler was not found; install it'; exit 1\n"
    _language(tmp_path, "elm", GOOD, makefile)
    _language(tmp_path, "go", GOOD | {"language": "Go"}, "toolchain:\n\t@true\n")
    assert left_out(tmp_path) == [
        "Elm: left out: the elm compiler was not found; install it",
        "Go: left out: client is not built",
    ]


def test_a_language_that_was_not_asked_for_is_left_out_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_CLIENTS", "python, rust")
    _language(tmp_path, "elm", GOOD)
    assert left_out(tmp_path) == ["Elm: left out: not among TEST_CLIENTS"]
