"""Commands that become another program, and those about the coordinator's own life."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from buildrunner_parallel.cli import invocation, stopping


@pytest.fixture
def became(monkeypatch):
    """What the program turned into, instead of doing it."""
    calls = []
    monkeypatch.setattr(
        "os.execve", lambda path, arguments, environment: calls.append((path, arguments, environment))
    )
    return calls


def test_serve_becomes_the_coordinator(br, became, tmp_path):
    br("serve", "--listen", "127.0.0.1:7000", "--data", tmp_path / "state", "--some-later-option", "x")
    ((path, arguments, environment),) = became
    assert path == sys.executable
    assert arguments == [
        sys.executable, "-P", "-m", "buildrunner_coordinator", "--data", str(tmp_path / "state"),
        "--listen", "127.0.0.1:7000", "--some-later-option", "x",
    ]  # fmt: skip
    assert "client/python" in environment["PYTHONPATH"] or "site-packages" in stopping.__file__


def test_serve_keeps_its_state_with_the_workspace(br, became, tmp_path, monkeypatch):
    monkeypatch.delenv("BR_STATE_DIR", raising=False)
    br("serve")
    assert became[0][1][4:] == ["--data", str(tmp_path / ".buildrunner")]


def test_worker_becomes_a_worker_of_the_coordinator(build, br, became, tmp_path):
    state = tmp_path / ".buildrunner"
    state.mkdir()
    (state / "token").write_text("t")
    build.workspace = SimpleNamespace(state_dir=state, worktree=tmp_path)
    br("worker", "--slots", "2", "--label", "gpu", "--handlers", "my.module", "--session", "a3f2")
    assert became[0][1][1:] == [
        "-P", "-m", "buildrunner_parallel.worker", "--coordinator", "unix:/run/br.sock", "--slots", "2",
        "--token-file", str(state / "token"), "--label", "gpu", "--handlers", "my.module",
        "--session", "a3f2e1d9", "--state-dir", str(state),
    ]  # fmt: skip


def test_a_remote_worker_gets_no_local_state(build, br, became, tmp_path):
    build.workspace = SimpleNamespace(state_dir=tmp_path, worktree=tmp_path)
    br("worker", "--coordinator", "127.0.0.1:7000", "--token-file", tmp_path / "t")
    assert became[0][1][4:] == [
        "--coordinator", "unix:/run/br.sock", "--slots", "1", "--token-file", str(tmp_path / "t"),
    ]  # fmt: skip


def test_stop_says_whether_there_was_one(br, monkeypatch):
    for stopped, told in ((True, "Stopped\n"), (False, "Nothing to stop: no coordinator runs here\n")):
        monkeypatch.setattr(
            "buildrunner_parallel.cli.coordinator.stop_coordinator",
            lambda run, drain, timeout_s, s=stopped: s,
        )
        result = br("stop", "--drain")
        assert (result.exit_code, result.stdout) == (0, told)


def test_stop_never_starts_a_coordinator(fake, br, monkeypatch):
    monkeypatch.delenv("BR_STATE_DIR", raising=False)
    assert br("stop").stdout == "Nothing to stop: no coordinator runs here\n"
    assert fake.calls == []


def test_backup_tells_where_and_how_much(build, br, tmp_path):
    result = br("backup", tmp_path / "copy.db")
    assert result.stdout == f"Wrote {tmp_path / 'copy.db'} (8.0 KiB)\n"


def test_a_copy_that_cannot_be_written_names_the_file_that_was_asked_for(build, br, tmp_path):
    build.failing["backup"] = OSError(28, "No space left on device", str(tmp_path / ".b.db.x1y2"))
    result = br("backup", str(tmp_path / "b.db"))
    told = f"{tmp_path / 'b.db'} cannot be written: No space left on device; name another file\n"
    assert (result.exit_code, result.stderr) == (1, told)


def test_backup_writes_over_nothing(build, br, tmp_path):
    (tmp_path / "copy.db").write_text("precious")
    for file, told in (
        (tmp_path / "copy.db", "is there already"),
        (tmp_path / "no" / "x", "no such directory"),
    ):
        result = br("backup", file)
        assert result.exit_code == 1
        assert told in result.stderr
    assert build.calls == []


def test_hints_use_the_path_of_a_program_that_is_not_on_the_path(monkeypatch, tmp_path):
    script = tmp_path / "venv" / "bin" / "br"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["venv/bin/br", "parallel"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert invocation.program_name("br", "parallel") == "venv/bin/br parallel"
    monkeypatch.setenv("PATH", str(script.parent))
    assert invocation.program_name("br", "parallel") == "br parallel"
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python/app.py"])
    assert invocation.program_name("br-parallel", "") == "br-parallel"
