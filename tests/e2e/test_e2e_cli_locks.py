"""lock, unlock and locks against a real coordinator: waiting, commands under a lock, kills, circles."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e


class Street:
    """A town with two sessions, and what is known of its locks."""

    def __init__(self, town: Town) -> None:
        self.town = town
        town.coordinator()
        self.one, self.two = (
            str(town.json("parallel", "start", name, "-w", "0")["session"]["session_id"])
            for name in ("One", "Two")
        )

    def run(self, *arguments: str, check: int = 0) -> Any:
        return self.town.br("parallel", *arguments, check=check)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", *arguments],
            cwd=self.town.folder, env=self.town.env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def listing(self) -> Any:
        return self.town.json("parallel", "locks")

    def held(self) -> list[str]:
        return [lock["path"] for lock in self.listing()["locks"]]

    def waits(self, count: int) -> Any:
        """The waiters, once there are so many."""
        return eventually(lambda: len(found := self.listing()["waiters"]) == count and found, f"{count} wait")

    def sleepers(self, marker: str) -> list[psutil.Process]:
        found = []
        for process in self.town.processes():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:2] == ["sleep", marker]:
                    found.append(process)
        return found


@pytest.fixture
def street(town: Town) -> Iterator[Street]:
    yield Street(town)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def test_who_waits_is_next_and_a_refusal_says_who_is_in_the_way(street: Street) -> None:
    street.run("lock", street.one, "src/", "res:db")
    refused = street.run("lock", street.two, "src/app.py", "lib", check=5).stderr.splitlines()
    assert refused[0] == f"Files already locked by session {street.one}: src/app.py"
    assert refused[1].startswith(
        f"  src/app.py (exclusive): src/ is held (exclusive) by session {street.one} (One) at "
    )
    assert len(refused) == 2
    waiting = street.begin("lock", street.two, "src/app.py", "lib", "--wait")
    (waiter,) = street.waits(1)
    assert (waiter["position"], waiter["conflicts"][0]["held_path"]) == (1, "src")
    assert street.held() == ["src", "res:db"]
    assert street.run("unlock", street.one, "src/").stdout.startswith("1 path of session")
    code, out, err = ended(waiting)
    assert (code, err) == (0, "")
    assert "src/app.py\texclusive\t" in out and "lib\texclusive\t" in out
    assert sorted(street.held()) == ["lib", "res:db", "src/app.py"]
    statistics = street.town.json("parallel", "locks", "--stats")["lock_statistics"]
    assert (statistics["total"]["waits"], statistics["total"]["given_up"]) == (1, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whoever_leaves_while_waiting_is_never_granted(street: Street, number: signal.Signals) -> None:
    street.run("lock", street.one, "src/")
    waiting = street.begin("lock", street.two, "src/", "--wait=1h")
    street.waits(1)
    waiting.send_signal(number)
    code, _, err = ended(waiting)
    if number == signal.SIGINT:
        assert (code, err) == (130, "Interrupted. Nothing is held.\n")
    eventually(lambda: not street.listing()["waiters"], "nobody waits")
    street.run("unlock", street.one)
    assert street.held() == []


def test_a_circle_is_refused_and_named(street: Street) -> None:
    street.run("lock", street.one, "a")
    street.run("lock", street.two, "b")
    waiting = street.begin("lock", street.one, "b", "--wait")
    street.waits(1)
    refused = street.run("lock", street.two, "a", "--wait", check=5).stderr
    assert refused.startswith("Waiting would close a circle: ")
    assert street.one in refused and street.two in refused
    street.run("unlock", street.two)
    assert ended(waiting)[0] == 0


def test_a_command_runs_while_the_paths_are_held_and_no_longer(street: Street) -> None:
    script = 'env; br="$0 -m buildrunner_parallel.cli parallel"; $br locks --json; exit 9'
    done = street.run("lock", street.one, "src/", "--", "sh", "-c", script, sys.executable, check=9)
    lines = done.stdout.splitlines()
    (lock,) = json.loads(lines[-1])["locks"]
    assert f"BR_LOCK_GRANT_ID={lock['grant_id']}" in lines
    assert f"BR_LOCK_FENCE={lock['fence']}" in lines
    assert f"BR_LOCK_SESSION_ID={street.one}" in lines
    assert lock["lease_ends_at"]
    assert street.held() == []


def test_a_lock_within_a_lock_knows_the_outer_one(street: Street) -> None:
    inner = [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", "lock", street.one]
    street.run("lock", street.one, "src/", "--", *inner, "src/app.py", "lib", "--", "true")
    refused = street.run(
        "lock", street.one, "src/", "--", *inner[:-1], street.two, "src/app.py", "--", "true", check=5
    )
    assert f"Files already locked by session {street.one}: src/app.py" in refused.stderr
    assert street.held() == []


@pytest.mark.slow
def test_whoever_kills_the_program_ends_the_command_and_its_lease_ends_the_lock(street: Street) -> None:
    process = street.begin("lock", street.one, "src/", "--lease", "3s", "--", "sh", "-c", "sleep 611 & wait")
    eventually(lambda: street.sleepers("611"), "the command runs")
    process.kill()
    eventually(lambda: not street.sleepers("611"), "the command is gone")
    # The coordinator cannot know that: it waits for the lease and for the lock delay.
    assert street.held() == ["src"]
    eventually(lambda: not street.held(), "the lock is free")
    ended(process)


def test_a_lock_that_is_taken_away_ends_the_command(street: Street) -> None:
    process = street.begin("lock", street.one, "src/", "--lease", "3s", "--", "sleep", "612")
    eventually(lambda: street.sleepers("612"), "the command runs")
    lock_id = street.run("locks", "src/", "--quiet").stdout.strip()
    taken = street.run("unlock", "--force", lock_id, "--reason", "needed elsewhere").stdout
    assert taken.startswith(f"1 path taken away from session {street.one} (One)")
    code, _, err = ended(process)
    assert (code, street.sleepers("612")) == (5, [])
    assert err.startswith("the lock of src was lost") and err.endswith("; the command was ended\n")


def test_a_task_that_locks_more_holds_it_as_itself(street: Street) -> None:
    street.town.worker("--session", street.two)
    br = f"{sys.executable} -m buildrunner_parallel.cli parallel"
    script = f'{br} lock "$BR_SESSION_ID" own.py more.py -- {br} locks more.py --json'
    options = ("--id", "t", "--file", "own.py", "--pass-env", "PYTHONPATH", "--pass-env", "BR_TEST_TOWN")
    street.run("submit", street.two, *options, "--", "sh", "-c", script)
    street.run("close", street.two)
    street.run("wait", street.two)
    (lock,) = json.loads(street.run("logs", street.two, "t").stdout)["locks"]
    assert (lock["holder"]["task_id"], lock["path"]) == ("t", "more.py")
    assert street.held() == []
