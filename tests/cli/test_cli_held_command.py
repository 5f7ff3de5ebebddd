"""The command of `lock -- CMD`, in real processes: its exit code, its environment, signals, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buildrunner_parallel.cli import held_command
from buildrunner_parallel.cli.lock_command import HeldCommand, variables
from buildrunner_parallel.errors import LockConflictError, LockLostError, UnreachableError
from buildrunner_parallel.worker import process_tree


@dataclass(frozen=True)
class Granted:
    """What a lock block gives, as far as the command needs it."""

    grant_id: str = "ab12"
    fence: int = 101
    session_id: str = "a3f2e1d9"
    is_open: bool = True


GRANT = Granted()
GIVE_UP_S = 30.0


def eventually(question, what):
    deadline_s = time.monotonic() + GIVE_UP_S
    while not (answer := question()):
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)
    return answer


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids_in(file, count):
    """The numbers that the command wrote, once they are all there."""
    found = eventually(
        lambda: len(words := file.read_text().split() if file.exists() else []) >= count and words,
        f"{count} processes began",
    )
    return list(map(int, found))


def lose(held, file):
    """As when the lease cannot be renewed, once the command is at work."""
    pids_in(file, 2)
    held.end("lost")


def run(*words, grace_s=5.0):
    return HeldCommand(words, grace_s).run(GRANT)


# ---------------------------------------------------------------- exit codes and environment


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["/nowhere/at/all"], 127),
        (["no such program"], 127),
        (["/"], 126),
    ],
)
def test_the_exit_code_is_that_of_the_command_as_shells_count(words, code):
    assert run(*words) == code


def test_what_cannot_be_run_is_one_line(capfd):
    assert run("no such\nprogram") == 127
    assert capfd.readouterr().err == "Cannot run 'no such\\nprogram': No such file or directory\n"


def test_the_command_knows_its_lock_and_the_rest_of_the_environment(monkeypatch, capfd):
    monkeypatch.setenv("OTHER", "kept")
    run("sh", "-c", "echo $BR_LOCK_GRANT_ID $BR_LOCK_FENCE $BR_LOCK_SESSION_ID $OTHER")
    assert capfd.readouterr().out == "ab12 101 a3f2e1d9 kept\n"


def test_what_a_task_holds_by_declaring_it_has_no_grant_to_tell_of():
    assert variables(Granted(grant_id="")) == {}


def test_a_pipe_that_is_closed_ends_the_command_as_it_would_without_us(capfd):
    assert run("sh", "-c", "yes | head -1; trap") == 0
    assert capfd.readouterr() == ("y\n", "")


# ---------------------------------------------------------------- its end


def test_all_that_the_command_started_ends_when_the_lock_is_lost(tmp_path):
    file = tmp_path / "pids"
    held = HeldCommand(["sh", "-c", f"sleep 600 & echo $! >>{file}; echo $$ >>{file}; wait"])
    loser = threading.Thread(target=lose, args=(held, file))
    loser.start()
    assert held.run(GRANT) == 143
    loser.join()
    assert held.was_ended
    assert [pid for pid in pids_in(file, 2) if is_alive(pid)] == []


def test_what_does_not_heed_that_is_killed_after_the_grace(tmp_path):
    file = tmp_path / "pids"
    script = f"trap '' TERM; (setsid sleep 600 & echo $! >>{file}); echo $$ >>{file}; sleep 600"
    held = HeldCommand(["sh", "-c", script], grace_s=0.2)
    loser = threading.Thread(target=lose, args=(held, file))
    loser.start()
    assert held.run(GRANT) == 137
    loser.join()
    assert [pid for pid in pids_in(file, 2) if is_alive(pid)] == []


def test_a_lock_that_is_lost_before_the_command_begins_ends_it_too(tmp_path):
    held = HeldCommand(["sleep", "600"])
    held.end("lost")
    assert held.run(GRANT) >= 128


def test_what_the_command_leaves_behind_on_purpose_does_not_hold_the_lock(tmp_path):
    file = tmp_path / "pids"
    assert run("sh", "-c", f"sleep 600 >/dev/null 2>&1 & echo $! >{file}") == 0
    (pid,) = pids_in(file, 1)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


# ---------------------------------------------------------------- signals

STARTER = """
    import sys
    from types import SimpleNamespace
    from buildrunner_parallel.cli.lock_command import HeldCommand
    sys.exit(HeldCommand(sys.argv[1:]).run(SimpleNamespace(grant_id="g", fence=1, session_id="s")))
"""


@pytest.fixture
def starter():
    """Starts a process that runs a held command, as `br parallel lock -- CMD` does."""
    started = []

    def start(script):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(STARTER), "sh", "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_whoever_kills_the_starter_kills_the_command_and_what_it_started(starter, tmp_path):
    file = tmp_path / "pids"
    process = starter(f"sleep 600 & echo $! >>{file}; echo $$ >>{file}; wait")
    pids = pids_in(file, 2)
    process.kill()
    eventually(lambda: not any(map(is_alive, pids)), "all of it is gone")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_a_signal_to_the_starter_is_passed_on_once(starter, tmp_path, name):
    file = tmp_path / "pids"
    script = f"trap 'echo 1 >>{file}.seen; exit 9' {name}; echo $$ >{file}; while :; do sleep 0.05; done"
    process = starter(script)
    pids_in(file, 1)
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(GIVE_UP_S) == 9
    assert Path(f"{file}.seen").read_text() == "1\n"


COUNTER = """
    import os, signal, sys, time

    def heed(*_):
        print(1, file=open(sys.argv[1] + ".seen", "a"))

    signal.signal(signal.SIGINT, heed)
    print(os.getpid(), file=open(sys.argv[1], "w"))
    while not os.path.exists(sys.argv[1] + ".end"):
        time.sleep(0.02)
    sys.exit(6)
"""


def test_each_key_of_the_terminal_reaches_the_command_once(tmp_path):
    file = tmp_path / "pids"
    counter = [sys.executable, "-c", textwrap.dedent(COUNTER), str(file)]
    words = [sys.executable, "-c", textwrap.dedent(STARTER), *counter]
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    with subprocess.Popen(
        [sys.executable, "-c", spawn, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as terminal:
        pids_in(file, 1)
        assert terminal.stdin is not None
        for presses in range(1, 6):
            terminal.stdin.write(b"\x03")
            terminal.stdin.flush()
            pids_in(Path(f"{file}.seen"), presses)
        Path(f"{file}.end").touch()
        assert terminal.wait(GIVE_UP_S) == 6
    assert Path(f"{file}.seen").read_text() == "1\n" * 5


@pytest.mark.parametrize(
    ("codes", "passed_on"),
    [
        # What a key sent comes from the kernel, and from the starter again.
        ([(0.0, held_command._SENT_BY_KERNEL), (0.01, 0)], 0),
        ([(0.0, 0)], 1),
        ([(0.0, held_command._SENT_BY_KERNEL), (5.0, 0)], 1),
        ([(0.0, 0), (1.0, 0)], 2),
    ],
)
def test_what_a_key_sent_is_not_passed_on_again(monkeypatch, codes, passed_on):
    sent = []
    monkeypatch.setattr(process_tree, "signal_process", lambda *told: sent.append(told))
    watch = held_command.Watch(4711, 5.0)
    for moment_s, code in codes:
        monkeypatch.setattr(time, "monotonic", lambda now=100.0 + moment_s: now)
        told: Any = SimpleNamespace(si_signo=signal.SIGINT, si_code=code)
        watch._pass_on(told)
    assert sent == [(4711, signal.SIGINT)] * passed_on


# ---------------------------------------------------------------- the whole command


@pytest.fixture
def lock(build, br, tmp_path):
    """Runs `br parallel lock` around a command that leaves a file behind."""

    def call(*options, script="exit 3"):
        return br("lock", "a3f2", "src", *options, "--", "sh", "-c", f"touch {tmp_path}/ran; {script}")

    return call


def test_it_holds_by_a_lease_and_gives_back_at_the_end(build, lock):
    assert lock("--wait", "5s").exit_code == 3
    options = {"mode": "exclusive", "wait": 5.0, "lease": 30.0}
    assert build.calls[-2:] == [("lock", "a3f2e1d9", ["src"], options), ("released", {})]


def test_options_behind_the_dashes_are_those_of_the_command(build, br):
    result = br("lock", "a3f2", "src", "--", "sh", "-c", 'test "$*" = "--wait 5 -- --json"', "sh", "--wait",
                "5", "--", "--json")  # fmt: skip
    assert result.exit_code == 0


def test_nothing_runs_where_the_paths_are_held(build, lock, tmp_path):
    build.failing["lock"] = LockConflictError("Files already locked by session b7c8d9e0: src")
    result = lock()
    assert (result.exit_code, result.stderr) == (5, "Files already locked by session b7c8d9e0: src\n")
    assert not (tmp_path / "ran").exists()


def test_a_lock_that_was_lost_is_5_whatever_the_command_did(build, lock):
    build.failing["lock_end"] = LockLostError("the lock of src was lost: it is not held any more.")
    result = lock(script="exit 0")
    assert (result.exit_code, result.stderr) == (
        5,
        "the lock of src was lost: it is not held any more; the command had ended with 0\n",
    )


def test_a_coordinator_that_is_away_at_the_end_does_not_change_the_exit_code(build, lock):
    build.failing["lock_end"] = UnreachableError("nobody answers")
    result = lock()
    assert (result.exit_code, result.stderr) == (3, "The lock could not be given back: nobody answers\n")
