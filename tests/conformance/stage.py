"""Where a scenario plays: a coordinator of its own, an observer of it, and the programs under test.

The folder is short-lived and short-named, for unix sockets have no room for more. `close` ends every process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from buildrunner_parallel.v1 import types_pb2 as types

from . import specs
from .asking import ClientProgram
from .coordinating import TOKEN_FILE, Coordinator
from .interposer import Interposer
from .observer import Observer
from .processes import MARK, Process, kill_left_of, marked_with
from .programs import ROOT, Programs, find_programs
from .silence import Proxy
from .specs import OVER, call, expect, shell, until

_TAIL_CHARACTERS = 1500
_stages: set[Stage] = set()
_stages_lock = threading.Lock()


def cut_all_short() -> None:
    """From another thread: what is under way fails at once, and none begins. Each still closes its stage."""
    specs.CUT_SHORT.set()
    with _stages_lock:
        for stage in _stages:
            stage.cut_short()


class Stage:
    """One scenario's world. `programs` are under test; `observer` asks the coordinator itself."""

    def __init__(self, programs: Programs, options: Sequence[str] = ()) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="br-kit-"))
        self.workspace = self.folder / "workspace"
        self.workspace.mkdir()
        self._ours = {name: value for name, value in os.environ.items() if not name.startswith("BR_")}
        self._ours |= {MARK: str(self.folder), "NO_COLOR": "1"}
        (self.folder / "state").mkdir(mode=0o700)
        python = {"PYTHONPATH": f"{ROOT / 'client' / 'python'}:{ROOT / 'service'}"}
        self.coordinator = Coordinator(self.folder / "state", options, self._ours | python)
        self._closing: list[Interposer | Proxy | Observer] = []
        self._processes: list[Process] = []
        self._workers_seen: set[str] = set()

    def open(self) -> Stage:
        with _stages_lock:
            _stages.add(self)
        subprocess.run(["git", "init", "-q", "."], cwd=self.workspace, check=True, capture_output=True)
        self.coordinator.start()
        self.observer = Observer(self.coordinator.address, self.coordinator.token)
        self._closing.append(self.observer)
        return self

    def close(self) -> list[str]:
        """Ends everything; what was still running though its program had been ended."""
        with _stages_lock:
            _stages.discard(self)
        for process in reversed(self._processes):
            process.end()
        for one in self._closing:
            one.close()
        self.coordinator.end()
        left = kill_left_of(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        return left

    def cut_short(self) -> None:
        """Kills its programs, so that who waits for one of them goes on. `close` is still to be called."""
        for process in [*self._processes, *self.coordinator.processes]:
            process.kill_group()
        for one in [*self._closing]:
            if isinstance(one, Observer):
                one.close()  # a call of it may wait for the coordinator

    # ------------------------------------------------------------ between them

    def interposer(self) -> Interposer:
        one = Interposer(self.coordinator.address)
        self._closing.append(one)
        return one

    def proxy(self) -> Proxy:
        one = Proxy(self.coordinator.address)
        self._closing.append(one)
        return one

    # -------------------------------------------------------------- programs

    def start_worker(
        self,
        *flags: str,
        through: Interposer | Proxy | None = None,
        token: str = "",
        env: dict[str, str] | None = None,
        programs: Programs | None = None,
    ) -> Process:
        """The worker under test (or that of other `programs`), without waiting for it."""
        chosen = programs or self.programs
        address = through.address if through else self.coordinator.address
        name = f"worker-{len(self._processes)}-{chosen.language.replace('/', '_')}"
        process = Process(
            name, [*chosen.worker, *flags], self.folder, self.workspace,
            self._for(chosen, address, token) | (env or {}),
        )  # fmt: skip
        self._processes.append(process)
        return process

    def worker(self, *flags: str, **options: Any) -> tuple[Process, types.Worker]:
        """The same once the coordinator knows it; its record too."""
        process = self.start_worker(*flags, **options)

        def registered() -> types.Worker | None:
            if not process.is_alive:
                code, said = process.popen.returncode, process.last_words
                raise AssertionError(f"the worker ended with {code} before it registered: {said}")
            known = [one for one in self.observer.all_workers() if one.worker_id not in self._workers_seen]
            return known[0] if known else None

        record = until(registered, "the worker is registered", specs.READY_S)
        assert record is not None
        self._workers_seen.add(record.worker_id)
        return process, record

    def slots(self, count: int) -> int:
        """As many, or 1 for a worker that has no more: for scenarios that can do with one."""
        return 1 if "slots" in self.programs.lacks else count

    def any_task(self, task_id: str, **more: Any) -> types.TaskSpec:
        """A task that the worker under test can run: a handler's where it has those."""
        if "handlers" in self.programs.lacks:
            return shell(task_id, "true", **more)
        return call(task_id, "echo", **more)

    def helper(self, *flags: str) -> tuple[Process, types.Worker]:
        """Python's worker, for scenarios of clients: something must run the tasks."""
        return self.worker(*flags, programs=find_programs()[0])

    def client(
        self, *, through: Interposer | Proxy | None = None, token: str = "", env: dict[str, str] | None = None
    ) -> ClientProgram:
        """The client under test; `env` instead of what tells it where the coordinator is."""
        address = through.address if through else self.coordinator.address
        told = self._for(self.programs, address, token) if env is None else self._ours | env
        if env is not None:
            told |= self._python(self.programs)
        name = f"client-{len(self._processes)}"
        process = Process(name, self.programs.client, self.folder, self.workspace, told, piped=True)
        self._processes.append(process)
        return ClientProgram(process)

    def _for(self, programs: Programs, address: str, token: str) -> dict[str, str]:
        env = self._ours | {"BR_COORDINATOR": address} | self._python(programs)
        if token:
            return env | {"BR_TOKEN": token}
        return env | {"BR_TOKEN_FILE": str(self.coordinator.data / TOKEN_FILE)}

    @staticmethod
    def _python(programs: Programs) -> dict[str, str]:
        """What a program in Python needs to find its own package in this checkout."""
        is_ours = programs.language.startswith("Python")
        return {"PYTHONPATH": f"{ROOT / 'client' / 'python'}:{ROOT}"} if is_ours else {}

    # ---------------------------------------------------------------- looking

    def task(self, session_id: str, task_id: str) -> types.Task:
        return self.observer.task(session_id, task_id)

    def status(self, session_id: str, task_id: str) -> str:
        """`running`, ..."""
        return status_word(self.task(session_id, task_id).summary.status)

    def becomes(self, session_id: str, task_id: str, status: str) -> types.Task:
        """The task once it has that status. Raises AssertionError."""
        until(
            lambda: self.status(session_id, task_id) == status,
            f"{task_id} is {status} (it is {self.status(session_id, task_id)})",
        )
        return self.task(session_id, task_id)

    def over(self, session_id: str, task_id: str, status: str = "succeeded") -> types.Task:
        """The task once it has ended, which must be as `status`."""
        until(lambda: self.task(session_id, task_id).summary.status in OVER, f"{task_id} is over")
        task = self.task(session_id, task_id)
        expect(status_word(task.summary.status), status, f"the status of {task_id} ({task.summary.error})")
        return task

    def worker_record(self, worker_id: str) -> types.Worker | None:
        return next((one for one in self.observer.all_workers() if one.worker_id == worker_id), None)

    def processes_of(self, task_id: str) -> list[psutil.Process]:
        """What lives of a task, by the mark that `marked` gave it."""
        return marked_with(f"{self.folder}/{task_id}", f"{MARK}_TASK")

    def marked(self, spec: types.TaskSpec) -> types.TaskSpec:
        """The same task with marks in its environment by which its processes are found."""
        spec.environment[MARK] = str(self.folder)
        spec.environment[f"{MARK}_TASK"] = f"{self.folder}/{spec.task_id}"
        return spec

    def path(self, name: str) -> Path:
        """A file that tasks write for the scenario to see."""
        return self.folder / name

    def lines(self, name: str) -> list[str]:
        """What tasks have written to it so far."""
        file = self.path(name)
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def evidence(self) -> str:
        """The ends of all standard errors, for a scenario that failed."""
        files = sorted(self.folder.glob("*.stderr"))
        tails = [(file.stem, file.read_text(errors="replace")[-_TAIL_CHARACTERS:].strip()) for file in files]
        return "\n".join(f"--- {name}\n{tail}" for name, tail in tails if tail)


def status_word(status: types.TaskStatus.ValueType) -> str:
    return types.TaskStatus.Name(status).removeprefix("TASK_STATUS_").lower()


def outcome_word(outcome: types.Outcome.ValueType) -> str:
    return types.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()
