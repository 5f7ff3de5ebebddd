"""What tasks print reaches its reader byte for byte: through kills, without a coordinator, beyond the cap."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.records import TaskOutput
from buildrunner_parallel.specs import TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

KIB, MIB = 1 << 10, 1 << 20
TALKER = """
import hashlib, os, pathlib, random, sys, time
folder, pause_s, failing = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
size, piece, halt_at = map(int, sys.argv[4:])
attempt, said, digest = os.environ["BR_ATTEMPT"], 0, hashlib.sha256()
make = random.Random(int(attempt)).randbytes
def say(data):
    global said
    digest.update(data)
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
    said += len(data)
    (folder / "said.new").write_text(str(said))
    (folder / "said.new").rename(folder / "said")
while said < size:
    say(make(piece))
    time.sleep(pause_s)
    while halt_at and said >= halt_at and not (folder / "go").exists():
        time.sleep(0.02)
say(b"<the last>")
(folder / f"digest-{attempt}").write_text(digest.hexdigest())
sys.exit(1 if attempt == failing else 0)
"""


class Follower(threading.Thread):
    """Reads a task's output as it comes, and checks that nothing is missing or repeated."""

    def __init__(self, town: Town, session_id: str, task_id: str) -> None:
        super().__init__(daemon=True)
        self._reading = (session_id, task_id)
        self.client: Client = town.client()
        self.digest = hashlib.sha256()
        self.position = 0
        self.left_out_bytes = 0
        self.newest = b""
        self.faults: list[str] = []
        self.start()

    def run(self) -> None:
        try:
            with self.client as client:
                for output in client.read_output(*self._reading, follow=True):
                    self._take(output)
        except BaseException as error:
            self.faults.append(repr(error))
            raise

    def _take(self, output: TaskOutput) -> None:
        chunk = output.chunk
        if chunk.offset != self.position + chunk.dropped_bytes:
            self.faults.append(f"{chunk.offset} follows on {self.position}, {chunk.dropped_bytes} left out")
        self.position = chunk.offset + len(chunk.data)
        self.left_out_bytes += chunk.dropped_bytes
        self.digest.update(chunk.data)
        self.newest = (self.newest + chunk.data)[-100:]

    def is_past(self, offset: int) -> bool:
        return self.position > offset

    def finish(self) -> None:
        self.join(60)
        assert not self.is_alive()
        assert self.faults == []


def submit(
    town: Town, size: int, piece: int, *, pause_s: float = 0.0, halt_at: int = 0, failing: int = 0
) -> str:
    """A task that prints so much, waits at a place for the file `go`, and then says one word more."""
    program = town.write("talker.py", TALKER)
    arguments = (town.folder, pause_s, failing, size, piece, halt_at)
    argv = (sys.executable, str(program), *map(str, arguments))
    task = TaskSpec(task_id="t", argv=argv, retries=1 if failing else 0, backoff_s=0.01)
    with town.client() as client:
        session, _ = client.submit_plan([task], create={"name": "talk"})
    return session.session_id


def spoken(attempt: int, size: int, piece: int) -> bytes:
    """What the talker says."""
    make = random.Random(attempt).randbytes
    return b"".join(make(piece) for _ in range(0, size, piece)) + b"<the last>"


def said(town: Town) -> int:
    return int((town.folder / "said").read_text()) if (town.folder / "said").exists() else 0


def digest(town: Town, attempt: int = 1) -> str:
    return (town.folder / f"digest-{attempt}").read_text()


def wait_for_end(town: Town, session_id: str, status: str = "completed") -> None:
    with town.client() as client:
        assert str(client.wait_session(session_id, timeout_s=120).status) == status


def logs(town: Town, session_id: str, *flags: str) -> bytes:
    program = [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", "logs", session_id, "t", *flags]
    done = subprocess.run(
        program, cwd=town.folder, env=town.env, capture_output=True, timeout=120, check=True
    )
    return done.stdout


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def kill_coordinator(town: Town) -> None:
    os.kill(town.coordinator_pid(), signal.SIGKILL)
    eventually(lambda: not town.coordinator_pid(), "the coordinator is dead")


def test_two_kills_in_the_middle_of_50_mib_lose_and_repeat_no_byte(town: Town) -> None:
    town.coordinator("--output-head", "64M")
    town.worker()
    session_id = submit(town, 50 * MIB, 256 * KIB, pause_s=0.02, halt_at=30 * MIB)
    follower = Follower(town, session_id, "t")
    for part in (5 * MIB, 20 * MIB):
        eventually(partial(follower.is_past, part), "the follower is on its way")
        kill_coordinator(town)
        assert follower.position < 30 * MIB, "everything was through before the coordinator was killed"
        if part == 20 * MIB:
            town.write("go", "")
        town.coordinator("--output-head", "64M")
    wait_for_end(town, session_id)
    follower.finish()
    assert (follower.position, follower.left_out_bytes) == (50 * MIB + 10, 0)
    assert follower.digest.hexdigest() == digest(town)
    assert sha(logs(town, session_id)) == digest(town)
    with town.client() as client:
        assert client.get_task(session_id, "t").summary.attempt == 1


def test_without_a_coordinator_a_talkative_task_goes_on_to_its_end(town: Town) -> None:
    town.coordinator()
    town.worker()
    session_id = submit(town, 7 * MIB, 256 * KIB, halt_at=MIB)
    eventually(lambda: said(town) >= MIB, "the task has begun to talk")
    kill_coordinator(town)
    town.write("go", "")
    eventually((town.folder / "digest-1").exists, "the task came to its end while nobody listened")
    town.coordinator()
    wait_for_end(town, session_id)
    assert sha(logs(town, session_id)) == digest(town)


def test_beyond_the_cap_a_follower_sees_the_newest_and_beginning_and_end_are_kept(town: Town) -> None:
    town.coordinator("--output-head", "300K", "--output-tail", "100K")
    town.worker()
    session_id = submit(town, 20 * MIB, 64 * KIB, pause_s=0.001, halt_at=20 * MIB)
    whole = spoken(1, 20 * MIB, 64 * KIB)
    follower = Follower(town, session_id, "t")
    eventually(lambda: said(town) >= 20 * MIB, "all but the last is said")
    eventually(lambda: follower.newest == whole[-110:-10], "the follower sees it")
    assert whole[:-10].endswith(logs(town, session_id, "--tail", "1")[-50:])
    town.write("go", "")
    wait_for_end(town, session_id)
    follower.finish()
    assert (follower.position, follower.newest) == (len(whole), whole[-100:])
    assert follower.left_out_bytes > 10 * MIB
    with town.client() as client:
        pieces = [one.chunk for one in client.read_output(session_id, "t")]
    assert b"".join(one.data for one in pieces) == whole[: 300 * KIB] + whole[-100 * KIB :]
    gaps = [(one.offset, one.dropped_bytes) for one in pieces if one.dropped_bytes]
    assert gaps == [(len(whole) - 100 * KIB, len(whole) - 400 * KIB)]
    town.br("parallel", "stop")
    assert town.rows("SELECT sum(length(data)) FROM outputs") == [(400 * KIB,)]
    counted = town.rows("SELECT output_bytes, output_dropped_bytes FROM attempts")
    assert counted == [(len(whole), len(whole) - 400 * KIB)]


def test_each_attempt_keeps_its_own_output_until_its_session_is_deleted(town: Town) -> None:
    town.coordinator()
    town.worker()
    session_id = submit(town, 100 * KIB, 50 * KIB, failing=1)
    wait_for_end(town, session_id)
    for attempt in (1, 2):
        assert logs(town, session_id, "--attempt", str(attempt)) == spoken(attempt, 100 * KIB, 50 * KIB)
    with town.client() as client:
        client.delete_sessions(session_ids=[session_id])
    town.br("parallel", "stop")
    assert town.rows("SELECT count(*) FROM outputs") == [(0,)]


def test_when_the_disk_takes_no_more_a_task_waits_and_no_byte_is_lost(town: Town) -> None:
    coordinator = town.coordinator("--lease", "5m")
    worker = town.worker()
    session_id = submit(town, 7 * MIB, 64 * KIB, halt_at=100 * KIB)
    eventually(lambda: said(town) > 0, "the task has begun to talk")
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (300 * KIB, 300 * KIB))
    coordinator.send_signal(signal.SIGSTOP)
    town.write("go", "")
    log = town.folder / "spawned.log"
    eventually(lambda: "cannot keep output" in log.read_text(), "the worker says that it has no room")
    eventually(lambda: stands_still(town), "the task waits")
    assert said(town) < 7 * MIB
    coordinator.send_signal(signal.SIGCONT)
    wait_for_end(town, session_id)
    assert sha(logs(town, session_id)) == digest(town)


def stands_still(town: Town) -> bool:
    before = said(town)
    time.sleep(0.5)
    return said(town) == before
