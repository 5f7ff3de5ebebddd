"""How the supervisor ends processes: timeouts, cancels, leftovers, lost leases, its or its client's end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.worker import process_tree, reaper, spawning
from buildrunner_parallel.worker import supervisor_messages as say

SECOND_NS = 1_000_000_000
GIVE_UP_S = 60
IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
# A grandchild that left the session and lost its parent, as daemons do.
DAEMON = "setsid sh -c 'sleep 300 & sleep 300' & echo ready; wait"
HIDDEN_DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "300"], {})
    os._exit(0)
"""


def lease(term_in_s: float, kill_in_s: float, lock_file: str = "") -> tuple[Any, ...]:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    at_ns = (now_ns + int(term_in_s * SECOND_NS), now_ns + int(kill_in_s * SECOND_NS))
    return (say.LEASE, "boottime", *at_ns, lock_file)


def test_a_timeout_counts_running_time_and_lets_the_task_clean_up(supervisor: Any) -> None:
    supervisor.shell("slow", "trap 'echo cleaned; exit 7' TERM; while :; do sleep 0.02; done", timeout_s=0.3)
    ended = supervisor.ended("slow")
    assert (ended.cause, ended.exit_code) == (say.CAUSE_TIMEOUT, 7)
    assert b"cleaned" in supervisor.output("slow")
    assert ended.wall_us >= 300_000


def test_a_task_that_ignores_the_term_signal_is_killed_after_its_grace(supervisor: Any) -> None:
    supervisor.shell("stubborn", IGNORES_TERM, timeout_s=0.2, grace_s=0.3)
    ended = supervisor.ended("stubborn")
    assert (ended.cause, ended.signal) == (say.CAUSE_TIMEOUT, 9)
    assert ended.wall_us >= 450_000


def test_a_cancel_has_its_own_grace(supervisor: Any) -> None:
    supervisor.shell("stubborn", IGNORES_TERM, grace_s=60)
    supervisor.wait_for_output("stubborn", b"ready")
    supervisor.send((say.CANCEL, "stubborn", SECOND_NS // 10, say.CAUSE_CANCEL))
    ended = supervisor.ended("stubborn")
    assert (ended.cause, ended.signal) == (say.CAUSE_CANCEL, 9)


def test_a_daemon_of_a_cancelled_task_is_asked_to_end_too_and_holds_nobody_up(supervisor: Any) -> None:
    # Its main process is gone at once; only the daemon, which left the group, was waited for.
    supervisor.shell("leaver", "setsid sleep 300 & echo ready; exec sleep 300", grace_s=60)
    supervisor.wait_for_output("leaver", b"ready")
    supervisor.send((say.CANCEL, "leaver", 600 * SECOND_NS, say.CAUSE_CANCEL))
    ended = supervisor.ended("leaver")  # long before its grace would be over
    assert (ended.cause, ended.signal) == (say.CAUSE_CANCEL, 15)
    assert supervisor.processes() == []


def test_a_stopped_task_can_be_cancelled(supervisor: Any) -> None:
    supervisor.shell("asleep", "trap 'exit 5' TERM; echo ready; kill -STOP $$; sleep 60")
    supervisor.wait_for_output("asleep", b"ready")
    supervisor.send((say.CANCEL, "asleep", 60 * SECOND_NS, say.CAUSE_CANCEL))
    assert supervisor.ended("asleep").exit_code == 5


@pytest.mark.parametrize(
    "line", ["sleep 300 & echo bye", "setsid sleep 300 & echo bye", "(setsid sleep 300 &) & echo bye"]
)
def test_what_a_task_leaves_in_the_background_dies_with_it(supervisor: Any, line: str) -> None:
    supervisor.shell("leaver", line)
    ended = supervisor.ended("leaver")
    assert (ended.exit_code, ended.cause) == (0, "")
    assert supervisor.output("leaver") == b"bye\n"
    assert supervisor.processes() == []


def test_a_leftover_that_hides_its_environment_and_session_dies_too(supervisor: Any) -> None:
    supervisor.run("hider", sys.executable, "-c", HIDDEN_DAEMON)
    supervisor.ended("hider")
    assert process_tree.children_of(supervisor.pid) == []


def test_a_hidden_leftover_never_takes_another_tasks_process_with_it(supervisor: Any) -> None:
    supervisor.shell("other", DAEMON)
    supervisor.wait_for_output("other", b"ready")
    supervisor.run("hider", sys.executable, "-c", HIDDEN_DAEMON)
    supervisor.ended("hider")
    deadline_s = time.monotonic() + GIVE_UP_S
    while len(supervisor.processes()) < 3:
        assert time.monotonic() < deadline_s
    supervisor.send((say.CANCEL, "other", SECOND_NS, say.CAUSE_CANCEL))
    supervisor.ended("other")
    assert process_tree.children_of(supervisor.pid) == []


def test_a_cancel_reaches_those_that_left_the_group(supervisor: Any) -> None:
    supervisor.shell("daemon", DAEMON)
    supervisor.wait_for_output("daemon", b"ready")
    supervisor.send((say.CANCEL, "daemon", SECOND_NS, say.CAUSE_CANCEL))
    supervisor.ended("daemon")
    assert supervisor.processes() == []


CLIENT = """
import sys, time
from buildrunner_parallel.worker.supervisor_client import SupervisorClient
from buildrunner_parallel.worker import supervisor_messages as say
client = SupervisorClient()
mark, line, scratch = sys.argv[1:]
env = {"PATH": "/usr/bin:/bin", "BR_WORKER_ID": mark}
argv = ["/bin/sh", "-c", line]
request = (say.RUN, "a", argv, "/", {"BR_FENCE": mark}, 1, 0, 60 * 10**9, "BR_FENCE=" + mark)
client.send([(say.CONFIGURE, 2, scratch, env), request])
while True:
    time.sleep(0.01)
    for event in client.read_events():
        if event[0] == say.OUTPUT:
            print(client.process.pid, flush=True)
"""


# Once the task runs: the end of a lease before that would start none.
LEASED = f"""now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            ends = now + {2 * SECOND_NS}, now + {5 * SECOND_NS // 2}
            client.send([(say.LEASE, "boottime", *ends, "")])
            """


def start_client(tmp_path: Path, line: str) -> tuple[subprocess.Popen[str], int, str]:
    mark = f"{os.getpid()}-{tmp_path.name}"
    root = str(Path(reaper.__file__).parents[2])
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, mark, line, str(tmp_path / "scratch")],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ) | {"PYTHONPATH": root},
    )  # fmt: skip
    assert client.stdout is not None
    return client, int(client.stdout.readline()), f"BR_WORKER_ID={mark}"


def wait_until_none(mark: str) -> None:
    deadline_s = time.monotonic() + GIVE_UP_S
    while left := reaper.find_marked(mark):
        assert time.monotonic() < deadline_s, f"still there: {left}"


@pytest.mark.parametrize("line", [DAEMON, IGNORES_TERM])
def test_nothing_is_left_soon_after_the_runtime_is_killed(tmp_path: Path, line: str) -> None:
    client, supervisor_pid, mark = start_client(tmp_path, line)
    try:
        assert reaper.find_marked(mark)
        client.kill()
        wait_until_none(mark)
        deadline_s = time.monotonic() + GIVE_UP_S
        while process_tree.stat_of(supervisor_pid) is not None:
            assert time.monotonic() < deadline_s, "the supervisor has not ended"
    finally:
        client.kill()
        client.wait()
        client.stdout.close()  # type: ignore[union-attr]
        reaper.kill_marked(mark)


def test_the_lease_is_kept_even_while_the_runtime_is_stopped(tmp_path: Path) -> None:
    line = DAEMON
    mark = f"{os.getpid()}-{tmp_path.name}"
    code = CLIENT.replace("print(client.process.pid", LEASED + "print(client.process.pid")
    root = str(Path(reaper.__file__).parents[2])
    client = subprocess.Popen(
        [sys.executable, "-c", code, mark, line, str(tmp_path / "scratch")],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ) | {"PYTHONPATH": root},
    )  # fmt: skip
    try:
        assert client.stdout is not None
        assert client.stdout.readline()
        client.send_signal(signal.SIGSTOP)
        assert reaper.find_marked(f"BR_WORKER_ID={mark}")
        wait_until_none(f"BR_WORKER_ID={mark}")
    finally:
        client.send_signal(signal.SIGCONT)
        client.kill()
        client.wait()
        client.stdout.close()  # type: ignore[union-attr]
        reaper.kill_marked(f"BR_WORKER_ID={mark}")


def test_at_the_leases_end_tasks_are_asked_then_killed_whatever_their_grace(supervisor: Any) -> None:
    supervisor.shell("polite", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done", grace_s=60)
    supervisor.shell("stubborn", IGNORES_TERM, grace_s=60)
    supervisor.wait_for_output("polite", b"ready")
    supervisor.wait_for_output("stubborn", b"ready")
    supervisor.send(lease(0.3, 3))  # time enough for a polite one on a busy machine
    polite, stubborn = supervisor.ended("polite"), supervisor.ended("stubborn")
    assert (polite.cause, polite.exit_code) == (say.CAUSE_LEASE, 4)
    assert (stubborn.cause, stubborn.signal) == (say.CAUSE_LEASE, 9)


def test_without_a_lease_nothing_starts_until_it_is_renewed(supervisor: Any) -> None:
    supervisor.send(lease(-2, -1))
    supervisor.run("early", "true")
    assert supervisor.refused("early")[0] == spawning.LEASE
    supervisor.send(lease(60, 70))
    supervisor.run("later", "true")
    assert supervisor.ended("later").exit_code == 0


def test_the_lease_stands_still_while_nobody_holds_the_coordinators_lock(
    supervisor: Any, tmp_path: Path
) -> None:
    lock_file = tmp_path / "coordinator.lock"
    lock_file.touch()
    supervisor.shell("survivor", "echo ready; while :; do sleep 0.02; done")
    supervisor.wait_for_output("survivor", b"ready")
    supervisor.send(lease(0.5, 0.6, str(lock_file)))
    supervisor.run("clock", "sleep", "1.5")
    supervisor.ended("clock")
    assert not supervisor.of(say.ENDED, "survivor")
    with lock_file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert supervisor.ended("survivor").cause == say.CAUSE_LEASE


def test_a_stop_request_ends_everything_and_the_supervisor_last(supervisor: Any) -> None:
    supervisor.shell("running", DAEMON)
    supervisor.wait_for_output("running", b"ready")
    supervisor.run("wide", "true", slots=4)
    supervisor.send((say.STOP, SECOND_NS))
    assert supervisor.ended("running").cause == say.CAUSE_STOP
    assert supervisor.of(say.REVOKED, "wide")
    assert supervisor.client.process.wait(GIVE_UP_S) == 0
    assert supervisor.processes() == []
    assert not (supervisor.folder / "scratch").exists()


def test_a_term_signal_to_the_supervisor_ends_everything(supervisor: Any) -> None:
    supervisor.shell("running", DAEMON)
    supervisor.wait_for_output("running", b"ready")
    supervisor.client.process.terminate()
    assert supervisor.client.process.wait(GIVE_UP_S) == 0
    assert supervisor.processes() == []


def test_after_a_killed_supervisor_the_reaper_finds_every_process_by_its_mark(supervisor: Any) -> None:
    supervisor.shell("orphaned", DAEMON)
    supervisor.wait_for_output("orphaned", b"ready")
    supervisor.client.process.kill()
    supervisor.client.process.wait()
    deadline_s = time.monotonic() + GIVE_UP_S
    while len(supervisor.processes()) < 3:
        assert time.monotonic() < deadline_s
    assert reaper.kill_worker(supervisor.mark) >= 3
    assert supervisor.processes() == []
