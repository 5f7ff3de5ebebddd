"""Real processes in a temporary directory: a coordinator, workers, a client. All are ended by their ids."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from buildrunner_parallel.client import Client
from buildrunner_parallel.discovery import Health, Target, local_target, probe, read_coordinator_file
from tools.bench.figures import RowError

PROJECT = Path(__file__).resolve().parent.parent.parent
READY_TIMEOUT_S = 30.0
RELOAD_TIMEOUT_S = 300.0
END_TIMEOUT_S = 15.0
POLL_S = 0.01


class Rig:
    """A workspace with its own coordinator. Use it as a context manager; nothing of it stays."""

    def __init__(
        self, *, workers: int = 2, slots: int = 1, credit: int = 0, profile: str | None = None
    ) -> None:
        """`credit` 0 is the worker's own choice. `profile` names the process that is sampled."""
        self._workers = workers
        self._slots = slots
        self._credit = credit
        self._profile = profile
        self._processes: list[subprocess.Popen[bytes]] = []
        self.folder = Path(tempfile.mkdtemp(prefix="br-bench-"))
        self.state = self.folder / ".buildrunner"

    def __enter__(self) -> Rig:
        try:
            self.start_coordinator()
            self.client = Client.connect(
                self.target.address, token_file=self.state / "token", cwd=self.folder
            )
            for number in range(self._workers):
                self._start_worker(number)
            self._await_workers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is left and removes the folder."""
        try:
            self.end()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self) -> None:
        """Ends workers, then coordinator, so that the database can be opened by others."""
        if "client" in self.__dict__:
            self.client.close()
        for process in reversed(self._processes):
            end(process)
        self._processes.clear()

    # ------------------------------------------------------------------ the coordinator

    @property
    def database(self) -> Path:
        return self.state / "state.db"

    def start_coordinator(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Returns once it answers."""
        process = self._start("buildrunner_coordinator", ["--data", str(self.state), "--idle-exit", "0"])
        self.coordinator = process
        deadline_s = time.monotonic() + timeout_s
        while not self._answers(process.pid):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RowError(f"the coordinator did not start: {self._tail('buildrunner_coordinator')}")
            time.sleep(POLL_S)

    def _answers(self, process_id: int) -> bool:
        if read_coordinator_file(self.state).get("pid") != process_id:
            return False
        target = local_target(self.state)
        if target is None or probe(target) is not Health.SERVING:
            return False
        self.target: Target = target
        return True

    def restart_coordinator(self) -> float:
        """Seconds from the start of a new coordinator on the same database to its first answer."""
        self.client.close()
        end(self.coordinator)
        self._processes.remove(self.coordinator)
        start = time.perf_counter()
        self.start_coordinator(RELOAD_TIMEOUT_S)
        self.client = Client.connect(self.target.address, token_file=self.state / "token", cwd=self.folder)
        self.client.list_sessions()
        return time.perf_counter() - start

    def coordinator_rss_bytes(self) -> int:
        """Of the coordinator and the processes that it has started."""
        process = psutil.Process(self.coordinator.pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))

    def processor_seconds(self) -> dict[str, float]:
        """Used so far by the coordinator, its store, the workers, their supervisors and hosts, ourselves."""
        used: defaultdict[str, float] = defaultdict(float, client=own_seconds(psutil.Process()))
        for process in self._processes:
            top = psutil.Process(process.pid)
            kind = "coordinator" if process is self.coordinator else "workers"
            used[kind] += own_seconds(top)
            child = "store" if process is self.coordinator else "hosts"
            used[child] += sum(own_seconds(one) for one in top.children(recursive=True))
        return dict(used)

    # ------------------------------------------------------------------ workers

    def _start_worker(self, number: int) -> None:
        arguments = ["--coordinator", self.target.address, "--token-file", str(self.state / "token")]
        arguments += ["--directory", str(self.folder), "--slots", str(self._slots)]
        if self._credit:
            arguments += ["--credit", str(self._credit)]
        self._start("buildrunner_parallel.worker", arguments, number)

    def _await_workers(self) -> None:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while len(self.client.list_workers(statuses=["idle"])) < self._workers:
            if time.monotonic() > deadline_s:
                raise RowError(f"the workers did not come: {self._tail('buildrunner_parallel.worker')}")
            time.sleep(POLL_S)

    # ------------------------------------------------------------------ processes

    def _start(self, module: str, arguments: Sequence[str], number: int = 0) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *arguments]
        if self._profile is not None and module.endswith(self._profile) and number == 0:
            command = [sys.executable, "-m", "tools.bench.sampled", module, *arguments]
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=None if "tools.bench.sampled" in command else log,
                stderr=log,
                # Ctrl+C is ours alone: we end them in order.
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _tail(self, module: str) -> str:
        lines = (self.folder / f"{module}.log").read_text(errors="replace").splitlines()
        return " ".join(lines[-1:]) or "no word of why"


def own_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def environment() -> dict[str, str]:
    """Ours, without what would lead elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BR_")}
    roots = (PROJECT / "client" / "python", PROJECT / "service", PROJECT)
    kept["PYTHONPATH"] = os.pathsep.join(map(str, roots))
    return kept


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL for it and all that it had started."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for orphan in psutil.wait_procs(family, timeout=1)[1]:
        try:
            orphan.kill()
        except psutil.NoSuchProcess:
            pass  # it went by itself
