"""The coordinator as a process: start, refusals with one line each, end, and what survives kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
from pathlib import Path

import grpc
import pytest

from buildrunner_parallel.v1 import coordinator_service_pb2 as info_pb
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1.coordinator_service_pb2_grpc import CoordinatorServiceStub

pytestmark = pytest.mark.e2e


def create(one, name: str = "a") -> types.Session:
    return one.sessions("CreateSession", session_pb.CreateSessionRequest(name=name)).session


def names(one) -> list[str]:
    return [
        session.name for session in one.sessions("ListSessions", session_pb.ListSessionsRequest()).sessions
    ]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_serves_from_a_private_directory_and_ends_cleanly_when_told(start):
    one = start().serving()
    assert one.about["schema_version"] == 1 and one.about["store_id"] and one.about["instance"]
    assert (one.data / ".gitignore").read_text() == "*\n"
    assert mode(one.data) == 0o700 and mode(one.data / "token") == 0o600
    assert len((one.data / "token").read_text()) == 64
    create(one)
    assert one.end() == 0
    assert not (one.data / "coordinator.json").exists() and not (one.data / "coordinator.sock").exists()
    lines = [json.loads(line) for line in (one.data / "coordinator.log").read_text().splitlines()]
    assert lines[0]["message"] == "serving" and lines[-1]["message"] == "ended"


def test_what_was_acknowledged_is_there_after_kill_9(start):
    one = start().serving()
    session = create(one)
    specs = [types.TaskSpec(task_id=str(number), handler=types.HandlerWork(name="f")) for number in range(50)]
    one.tasks("SubmitTasks", task_pb.SubmitTasksRequest(session_id=session.session_id, tasks=specs))
    before = one.info("GetInfo", info_pb.GetInfoRequest())
    token = (one.data / "token").read_text()
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    assert (one.data / "coordinator.sock").exists(), "a stale socket is left to the next one"
    two = start().serving()
    after = two.info("GetInfo", info_pb.GetInfoRequest())
    assert (after.store_id, after.revision) == (before.store_id, before.revision)
    assert after.epoch > before.epoch and (two.data / "token").read_text() == token
    found = two.sessions("GetSession", session_pb.GetSessionRequest(session_id=session.session_id)).session
    assert found.counts.queued == 50
    assert two.end(signal.SIGINT) == 0


def test_a_second_coordinator_names_the_first_and_leaves_it_alone(start):
    one = start().serving()
    create(one)
    code, line = start().refused()
    assert code == 75 and str(one.process.pid) in line and "\n" not in line
    assert names(one) == ["a"]


def test_a_database_of_a_newer_version_is_refused_in_one_line(start):
    one = start().serving()
    assert one.end() == 0
    with sqlite3.connect(one.data / "state.db") as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()
    code, line = start().refused()
    assert code == 78 and "newer" in line and "\n" not in line


def test_a_damaged_database_is_refused_in_one_line(start):
    one = start().serving()
    create(one)
    assert one.end() == 0
    database = one.data / "state.db"
    content = database.read_bytes()
    database.write_bytes(b"not a database at all" + content[21:])
    code, line = start().refused()
    assert code == 78 and "backup" in line and "\n" not in line


def test_a_state_directory_that_cannot_be_made_is_refused_in_one_line(start, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, line = start(data=tmp_path / "file" / "state").refused()
    assert code == 78 and "state directory" in line and "\n" not in line


def test_a_directory_that_may_not_be_written_is_refused_in_one_line(start):
    # The kernel's own file system is closed to the superuser too.
    code, line = start(data=Path("/sys/buildrunner-state")).refused()
    assert code == 78 and "may write" in line and "\n" not in line


def test_something_else_where_the_socket_should_be_is_not_removed(start, tmp_path):
    path = tmp_path / "socket"
    path.write_text("precious")
    code, line = start("--socket", str(path)).refused()
    assert code == 78 and "Move it away" in line and path.read_text() == "precious"


def test_a_deep_state_directory_has_its_socket_elsewhere(start, tmp_path):
    data = tmp_path / ("d" * 60) / ("e" * 60) / "state"
    one = start(data=data).serving()
    address = str(one.about["address"])
    assert len(address) <= 105 and str(data) not in address
    folder = Path(address.removeprefix("unix:")).parent
    assert mode(folder) & 0o077 == 0
    create(one)
    assert one.end() == 0 and not Path(address.removeprefix("unix:")).exists()


def test_tcp_is_served_on_the_loopback_interface_alone(start, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one = start("--listen", f"127.0.0.1:{port}").serving()
    token = (one.data / "token").read_text()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        metadata = (("authorization", f"Bearer {token}"),)
        stub = CoordinatorServiceStub(channel)
        assert stub.GetInfo(info_pb.GetInfoRequest(), metadata=metadata, timeout=20).pid
    code, line = start("--listen", f"127.0.0.1:{port}", data=tmp_path / "other").refused()
    assert code == 78 and "cannot listen" in line and "\n" not in line
    code, line = start("--listen", "0.0.0.0:0", data=tmp_path / "other").refused()
    assert code == 2 and "loopback" in line and "\n" not in line


def test_an_idle_coordinator_ends_by_itself(start):
    one = start("--idle-exit", "200ms").serving()
    assert one.process.wait(60) == 0


def test_a_coordinator_whose_directory_is_gone_ends_within_ten_seconds(start):
    one = start().serving()
    shutil.rmtree(one.data)
    assert one.process.wait(60) is not None


def test_shutdown_by_call_ends_it_cleanly(start):
    one = start().serving()
    one.info("Shutdown", info_pb.ShutdownRequest(stop_workers=True))
    assert one.process.wait(60) == 0


def test_the_loss_of_the_stores_writer_ends_it_with_its_exit_code_and_nothing_lost(start):
    one = start().serving()
    create(one, "kept")
    children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    with pytest.raises(grpc.RpcError):
        create(one, "unknown")
    code, _ = one.refused()
    assert code == 74
    two = start().serving()
    assert "kept" in names(two)
