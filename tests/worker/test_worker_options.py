"""The worker's command line: what it makes of its options, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from buildrunner_parallel.worker import __main__ as program
from buildrunner_parallel.worker.options import WorkerOptions


def parse(*arguments: str) -> WorkerOptions:
    return program._options(program._parser().parse_args(arguments))


def test_options_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BR_TOKEN", "from the environment")
    (tmp_path / "token").write_text("from the file\n")
    options = parse(
        *("--coordinator", "unix:/s", "--token-file", str(tmp_path / "token"), "--state-dir", str(tmp_path)),
        *("--slots", "2", "--label", "a", "--label", "b", "--session", "5e551011", "--credit", "7"),
        *("--handlers", "one,two", "--handlers", "three", "--unreachable", "5", "--drain", "6"),
    )
    assert (options.coordinator, options.token) == ("unix:/s", "from the file")
    assert options.lock_file == str(tmp_path / "coordinator.lock")
    assert (options.slots, options.labels, options.session_id) == (2, ["a", "b"], "5e551011")
    assert (options.handler_modules, options.credit) == (["one", "two", "three"], 7)
    assert (options.unreachable_s, options.drain_s) == (5.0, 6.0)


def test_without_files_the_environment_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BR_TOKEN", "from the environment")
    monkeypatch.setenv("BR_COORDINATOR", "host:1")
    monkeypatch.delenv("BR_TOKEN_FILE", raising=False)
    options = parse()
    assert (options.coordinator, options.token, options.lock_file) == ("host:1", "from the environment", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give --coordinator or set BR_COORDINATOR"),
        (["--coordinator", "unix:/s", "--slots", "0"], 2, "--slots must be from 1 to 1024"),
        (["--coordinator", "unix:/s", "--slots", "99999999999"], 2, "--slots must be from 1 to 1024"),
        (["--coordinator", "unix:/s", "--credit", "-1"], 2, "--credit must be from 0 to"),
        (["--coordinator", "unix:/s", "--token-file", "/no/such/file"], 1, "cannot read the token"),
    ],
)
def test_wrong_usage_is_one_clear_line(arguments: list[str], code: int, message: str) -> None:
    root = str(Path(program.__file__).parents[2])
    env = {"PYTHONPATH": root, "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [sys.executable, "-m", "buildrunner_parallel.worker", *arguments],
        env=env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == code
    assert message in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
