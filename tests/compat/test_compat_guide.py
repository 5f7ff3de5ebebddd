"""The programs of the guide, as they stand in `guide/`, run with `python -m buildrunner_parallel.compat`.

Only names that a block uses and does not define are put before it; what looks at the outcome stands behind.
Loops without an end are ended from outside, once they were seen to work.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildrunner_parallel.client import Client
from tests.compat.conftest import GIVE_UP_S, eventually

BLOCKS = Path(__file__).with_name("guide")
MANAGER = "from core.parallel import SessionManager\nsession_manager = SessionManager()\n"
COORDINATOR = (
    f"{MANAGER}from core.parallel import WorkerCoordinator\n"
    "coordinator = WorkerCoordinator(session_manager, max_workers=5)\n"
)
SESSION = "session = session_manager.create_session('Guide')\nsession_id = session.session_id\n"


@pytest.fixture
def guide(place, tmp_path):
    """Makes a program of a block."""

    def make(name: str, before: str = "", behind: str = "") -> Path:
        program = tmp_path / f"{name}.py"
        program.write_text(f"{before}\n{(BLOCKS / f'{name}.py').read_text()}\n{behind}\n")
        return program

    return make


@pytest.fixture
def client(place):
    with Client.connect() as made:
        yield made


def test_every_block_is_run():
    text = Path(__file__).read_text()
    assert [file.stem for file in BLOCKS.glob("*.py") if f'"{file.stem}' not in text] == []


def test_lock_files(place, guide):
    program = guide(
        "lock_files",
        behind="print(sorted(session.files_locked)); session_manager.unlock_files(session.session_id)",
    )
    assert place.compat(program).stdout == "['src/app.py', 'src/utils.py', 'tests/test_app.py']\n"


def test_lock_conflict(place, guide):
    before = (
        MANAGER + "session1_id = session_manager.create_session('one').session_id\n"
        "session2_id = session_manager.create_session('two').session_id\nprint(session1_id)\n"
    )
    program = guide("lock_conflict", before, "session_manager.cancel_session(session1_id)")
    one, told = place.compat(program).stdout.splitlines()
    assert told == f"Conflict: Files already locked by session {one}: src/utils.py"


def test_unlock_files(place, guide):
    before = MANAGER + SESSION + "session_manager.lock_files(session_id, ['src/app.py', 'guide/other.py'])\n"
    assert place.compat(guide("unlock_files", before, "print(session.files_locked)")).stdout == "set()\n"


def test_handle_conflict(place, guide):
    before = (
        MANAGER + SESSION + "files = ['guide/taken.py']\n"
        "other = session_manager.create_session('other')\n"
        "session_manager.lock_files(other.session_id, files)\n"
    )
    behind = "print(other.session_id); session_manager.cancel_session(other.session_id)"
    told, other = place.compat(guide("handle_conflict", before, behind)).stdout.splitlines()
    assert told == f"Conflict: Files already locked by session {other}: guide/taken.py"


def test_heartbeat(place, guide, client):
    before = {one.worker_id for one in client.list_workers()}
    running = place.start("-m", "buildrunner_parallel.compat", str(guide("heartbeat")))
    try:
        eventually(
            lambda: [
                one for one in client.list_workers() if one.worker_id not in before and one.last_heartbeat_at
            ],
            "a new worker sends heartbeats",
        )
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("idle", [True, False])
def test_assign_task(place, guide, idle):
    worker = "worker = coordinator.register_worker()\nprint(worker.worker_id)\n" if idle else "print()\n"
    program = guide("assign_task", COORDINATOR + SESSION + worker)
    worker_id, told = place.compat(program).stdout.splitlines()
    expected = f"Task assigned to worker: {worker_id}" if idle else "No workers available - task queued"
    assert told == expected


def test_complete_task(place, guide):
    before = (
        COORDINATOR + SESSION + "worker = coordinator.register_worker()\ntask_id = 'task-1'\n"
        "worker_id = coordinator.assign_task(task_id, {}, session_id)\n"
    )
    behind = "print(worker.tasks_completed, worker.tasks_failed, worker.status.value, worker.current_task)"
    # The second of the two statements is about a task that the worker does not have any more.
    assert place.compat(guide("complete_task", before, behind)).stdout == "1 1 idle None\n"


def test_scale_workers(place, guide):
    assert (
        place.compat(guide("scale_workers", COORDINATOR, "print(len(coordinator.workers))")).stdout == "2\n"
    )


def test_basic(place, guide):
    behind = (
        "print(session.status.value, session.progress_percent, session.files_locked)\n"
        "print(worker_coordinator.get_load_distribution()['total_completed'], session.completed_tasks)"
    )
    *told, end, counts = place.compat(guide("basic", behind=behind)).stdout.splitlines()
    assert len(told) == 10 and all(" assigned to worker " in line for line in told)
    assert (end, counts) == ("completed 100.0 set()", "10 10")


def test_live_dashboard(place, guide):
    """On a terminal, interrupted while it is live: then the program goes on."""
    ours, theirs = pty.openpty()
    env = place.env | {"TERM": "xterm"}
    running = subprocess.Popen(
        [sys.executable, "-m", "buildrunner_parallel.compat", str(guide("live_dashboard"))],
        cwd=place.folder, env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while b"System Statistics" not in shown:
            shown += os.read(ours, 65536)
        running.send_signal(signal.SIGINT)
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:
            pass  # the terminal's other end was closed
        assert running.wait(GIVE_UP_S) == 0, shown
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    text = shown.decode()
    assert "Worker Pool" in text and "Active sessions: " in text and "Worker utilization: 0.0%" in text
    assert "Traceback" not in text


def test_multi_session(place, guide):
    behind = (
        "print([one.status.value for one in (session1, session2)])\n"
        "print([one['task_id'] for one in worker_coordinator.task_queue])\n"
        "for one in (session1, session2): session_manager.cancel_session(one.session_id)\n"
    )
    states, queue = place.compat(guide("multi_session", behind=behind)).stdout.splitlines()
    assert states == "['running', 'running']"
    assert queue == "['frontend-task-1', 'frontend-task-2', 'backend-task-1', 'backend-task-2']"


def test_custom_worker(place, guide):
    behind = """
coordinator = WorkerCoordinator()
CustomWorker.execute_task_logic = lambda self, task_id: print("did", task_id, coordinator.get_task(task_id))
mine = CustomWorker(coordinator)
mine.start()
coordinator.assign_task("first", {"n": 1})
coordinator.assign_task("second", {"n": 2})
while mine.worker.tasks_completed < 2:
    time.sleep(0.05)
mine.stop()
print("stopped", coordinator.workers, flush=True)
"""
    running = place.start(
        "-u", "-m", "buildrunner_parallel.compat", str(guide("custom_worker", behind=behind))
    )
    assert running.stdout is not None
    try:
        told = [running.stdout.readline().strip() for _ in range(3)]
        assert told == ["did first {'n': 1}", "did second {'n': 2}", "stopped {}"]
    finally:
        running.kill()
        running.communicate()


def test_session_recovery(place, guide):
    before = (
        "from core.parallel import SessionManager, SessionStatus\nearlier = SessionManager()\n"
        "one = earlier.create_session('Interrupted build')\nearlier.start_session(one.session_id)\n"
    )
    told = place.compat(guide("session_recovery", before, "earlier.cancel_session(one.session_id)")).stdout
    assert "Resuming session: Interrupted build\n" in told


def test_parallel_orchestrator_really_runs_its_batches(own_place, tmp_path):
    """Real worker processes, started by the keeper for this session."""
    behind = """
class Batch:
    def __init__(self, id, work, expected_files):
        self.id, self.work, self.expected_files = id, work, expected_files

    def to_dict(self):
        return self.work

batches = [
    Batch("one", {"argv": ["sh", "-c", "echo one > one.txt"]}, ["one.txt"]),
    Batch("two", {"run": "echo two > two.txt"}, ["two.txt"]),
    Batch("three", {"argv": ["sh", "-c", "echo $BR_TASK_ID > three.txt"]}, ["three.txt"]),
]
orchestrator = ParallelOrchestrator("what", "ever", works=True)
orchestrator.execute_batches_parallel(batches, "Real work")
(session,) = orchestrator.session_manager.list_sessions()
print(session.name, session.status.value, session.completed_tasks, session.failed_tasks, session.files_locked)
"""
    program = tmp_path / "orchestrator.py"
    program.write_text((BLOCKS / "parallel_orchestrator.py").read_text() + behind)
    assert own_place.compat(program).stdout == "Real work completed 3 0 set()\n"
    written = {name: (own_place.folder / f"{name}.txt").read_text() for name in ("one", "two", "three")}
    assert written == {"one": "one\n", "two": "two\n", "three": "three\n"}
