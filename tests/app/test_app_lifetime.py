"""What the coordinator looks after: its keeper, its log, its directory's lock."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from buildrunner_coordinator.app.errors import StartError
from buildrunner_coordinator.app.lifetime import Keeper
from buildrunner_coordinator.app.log_file import JsonLines
from buildrunner_coordinator.app.state_directory import StateDirectory, choose_socket


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    commands: list[list[str]] = []

    class Process:
        def __init__(self, command, **_) -> None:
            commands.append(command)

        def poll(self) -> None:
            return None

    monkeypatch.setattr(subprocess, "Popen", Process)
    return commands


def test_a_lost_keeper_is_started_again_and_not_more_often_than_every_ten_seconds(tmp_path, started):
    keeper = Keeper(tmp_path)
    keeper.revive(100.0)
    keeper.revive(105.0)
    assert started == [[sys.executable, "-m", "buildrunner_parallel.keeper", "--data", str(tmp_path)]]
    keeper.revive(110.0)
    assert len(started) == 2


def test_a_keeper_that_holds_its_lock_is_left_alone(tmp_path, started):
    descriptor = os.open(tmp_path / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    Keeper(tmp_path).revive(100.0)
    assert not started
    os.close(descriptor)
    Keeper(tmp_path).revive(100.0)
    assert len(started) == 1


def test_a_log_line_is_one_json_object_with_what_came_beside_the_message():
    record = logging.makeLogRecord(
        {"msg": "went %s", "args": ("well",), "levelname": "INFO", "name": "x", "pid": 7}
    )
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["level"], line["logger"], line["pid"]) == ("went well", "info", "x", 7)
    assert line["time"].endswith("Z")


def test_a_log_line_stays_one_line_whatever_is_in_it():
    record = logging.makeLogRecord({"msg": "a\nb\x1b[31m", "args": None, "extra": object()})
    assert "\n" not in JsonLines().format(record) and "\x1b" not in JsonLines().format(record)


def test_a_refused_second_holder_touches_nothing(tmp_path):
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    first.prepare()
    first.write_address({"pid": 1})
    with pytest.raises(StartError, match=f"pid {os.getpid()}") as caught:
        second.prepare()
    second.close(tmp_path / "socket")
    assert caught.value.exit_code == 75 and first.address_file.exists()
    first.close()
    second.prepare()
    second.close()


def test_a_token_is_made_once_and_kept_private(tmp_path):
    directory = StateDirectory(tmp_path)
    token = directory.token()
    (tmp_path / "token").chmod(0o644)
    assert directory.token() == token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "token").write_text("")
    with pytest.raises(StartError, match="holds no token"):
        directory.token()


def test_a_directory_that_was_replaced_counts_as_gone(tmp_path):
    directory = StateDirectory(tmp_path / "state")
    directory.prepare()
    assert not directory.is_gone
    (tmp_path / "state").rename(tmp_path / "moved")
    (tmp_path / "state").mkdir()
    assert directory.is_gone
    (tmp_path / "state" / "coordinator.json").write_text("{}")
    directory.close(tmp_path / "state" / "coordinator.sock")
    assert (tmp_path / "state" / "coordinator.json").exists(), "it belongs to whoever made the directory"


def test_the_socket_lies_in_the_directory_or_in_a_private_one(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="br-") as short:
        assert choose_socket(Path(short)) == Path(short) / "coordinator.sock"
        runtime = Path(short) / "run"
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        deep = Path(short) / ("x" * 100)
        assert choose_socket(deep).parent == runtime
        runtime.chmod(0o755)
        assert choose_socket(deep).parent != runtime
