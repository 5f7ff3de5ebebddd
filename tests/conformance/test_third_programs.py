"""What somebody sees who points the kit at a program of their own: how words are read, what went wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance import specs
from tests.conformance.__main__ import main
from tests.conformance.programs import ROOT, Programs, typed_line

WORKER = ROOT / "client" / "python" / "conformance" / "worker.py"
POLLING = ROOT / "tests" / "conformance" / "polling" / "worker.py"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(specs, "READY_S", specs.READY_S)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'client' / 'python'}:{ROOT}")
    return tmp_path


def _script(file: Path, text: str) -> Path:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


# ------------------------------------------------------------------- words


def test_a_label_with_a_slash_is_no_file(tmp_path: Path) -> None:
    assert typed_line("sh --label a/b --url http://c/d", tmp_path) == (
        "sh", "--label", "a/b", "--url", "http://c/d",
    )  # fmt: skip


def test_words_that_name_a_file_are_made_whole_with_a_slash_or_without(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("worker.rb", "lib/extra.rb"):
        (tmp_path / name).touch()
    assert typed_line("sh worker.rb -r lib/extra.rb --label lib", tmp_path) == (
        "sh", f"{tmp_path}/worker.rb", "-r", f"{tmp_path}/lib/extra.rb", "--label", "lib",
    )  # fmt: skip


def test_the_program_itself_is_made_whole(tmp_path: Path) -> None:
    _script(tmp_path / "mine", "true")
    assert typed_line("./mine 'a b'", tmp_path) == (f"{tmp_path}/mine", "a b")
    assert typed_line("python x.py", tmp_path) == (sys.executable, "x.py")
    assert typed_line("", tmp_path) == ()
    script = "echo;" * 100
    assert typed_line(f"sh -c '{script}'", tmp_path) == ("sh", "-c", script)


def test_of_a_typed_line_only_the_program_must_be_there(tmp_path: Path) -> None:
    worker = typed_line("sh --label a/b", tmp_path)
    assert Programs("yours", tmp_path, worker=worker, typed=True).missing == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no-such-tool --x", "there is no program no-such-tool on PATH; give its path"),
        ("plain.rb", "there is no program plain.rb on PATH; write ./plain.rb for the file of this folder"),
        ("./gone", "there is no file ./gone; paths count from"),
        ("./plain.rb", "./plain.rb is not executable; chmod +x it, or name its interpreter in front of it"),
        ("sh 'half", "is no command line (no closing quotation)"),
    ],
)
def test_a_wrong_command_is_told_in_one_line_before_anything_starts(
    here: Path, line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "plain.rb").touch()
    with pytest.raises(SystemExit) as ended:
        main(["--worker", line, "--scenario", "worker/hello"])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "error: --worker: " in last
    assert told in last


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "--programs: "),
        ('{"language": "X", "worker": ["x"], "worker_kind": "polling", "lacks": {"legs": "none"}}', "'legs'"),
        ('{"language": "X", "worker": "x", "worker_kind": "polling"}', "worker"),
    ],
)
def test_a_file_that_breaks_the_contract_is_told(
    here: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "conformance.json").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["--programs", "conformance.json"])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


# ------------------------------------------------------- programs that do not work


def _fault(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a run with these ends with."""
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.out == "", "no scenario is played"
    (line,) = told.err.splitlines()
    return line


@pytest.mark.e2e
def test_a_worker_that_crashes_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _script(here / "mine", "echo 'first line' >&2; echo 'it lacks a library' >&2; exit 3")
    line = _fault(capsys, "--worker", "./mine", "--scenario", "worker/")
    assert "the worker ended with 3 before it was asked to (its last line was 'it lacks a library')" in line
    assert "must serve until SIGTERM" in line


@pytest.mark.e2e
def test_a_worker_that_does_nothing_and_says_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _script(here / "mine", "exec sleep 600")
    line = _fault(capsys, "--worker", "./mine", "--ready-within", "2", "--scenario", "worker/")
    assert "the worker runs and has not registered within 2 s (it wrote nothing)" in line
    assert "BR_COORDINATOR" in line


@pytest.mark.e2e
def test_a_client_that_gives_no_answer(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _script(here / "mine", "cat >/dev/null")
    line = _fault(capsys, "--client", "./mine", "--ready-within", "2", "--scenario", "client/")
    assert "the client gave no answer within 2 s (it wrote nothing)" in line


@pytest.mark.e2e
def test_a_client_that_crashes_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _script(here / "mine", "echo 'no such module' >&2; exit 4")
    line = _fault(capsys, "--client", "./mine", "--scenario", "client/")
    assert "its last line was 'no such module'" in line


@pytest.mark.e2e
def test_a_worker_of_the_other_kind_is_told_which(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = _fault(capsys, "--worker", f"python {POLLING}", "--scenario", "worker/hello")
    assert "of the kind polling, not stream: say --kind polling" in line


# ---------------------------------------------------------------- capabilities


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_what_a_worker_lacks_is_not_applicable_with_its_reason(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [word for name in ("hello", "slots", "progress") for word in ("--scenario", f"worker/{name}")]
    given = ["--worker", f"python {WORKER} --label a/b", "--without", "handlers", "--without", "slots"]
    assert main([*given, *chosen]) == 1, "the label a/b is one too many for worker/hello, and it is passed on"
    out = capsys.readouterr().out
    assert "worker/slots     n/a" in out
    assert "yours worker/progress: n/a: it has no handlers, says --without" in out
    assert "labels: wanted ['blue', 'large'], found ['a/b', 'blue', 'large']" in out
