"""The coordinator of one scenario: `br parallel serve`, killed and started again at will."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .processes import Process
from .specs import until

TOKEN_FILE = "token"


class Coordinator:
    """Its state is in `data`; its address is the same after each start."""

    def __init__(self, data: Path, options: Sequence[str], env: Mapping[str, str]) -> None:
        self.data = data
        self.address = f"unix:{data / 'coordinator.sock'}"
        self.starts = 0
        self._options = tuple(options)
        self._env = env
        self._process: Process | None = None

    @property
    def token(self) -> str:
        return (self.data / TOKEN_FILE).read_text(encoding="utf-8").strip()

    @property
    def process(self) -> Process:
        assert self._process is not None, "it was not started"
        return self._process

    @property
    def processes(self) -> list[Process]:
        """The one that it runs as, if any."""
        return [self._process] if self._process is not None else []

    def start(self) -> None:
        """Returns once it serves."""
        argv = [
            sys.executable,
            "-m",
            "buildrunner_parallel.cli",
            "parallel",
            "serve",
            "--data",
            str(self.data),
        ]
        self.starts += 1
        name = f"coordinator-{self.starts}"
        self._process = Process(name, [*argv, *self._options], self.data.parent, self.data.parent, self._env)
        until(self._serves, "the coordinator serves")

    def _serves(self) -> bool:
        if not self.process.is_alive:
            raise AssertionError(f"the coordinator ended: {self.process.stderr[-2000:]}")
        try:
            told = json.loads((self.data / "coordinator.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(told.get("pid") == self.process.pid)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self) -> None:
        """In order, as for an update."""
        self.process.send(signal.SIGTERM)
        self.process.exit_code()

    def restart(self) -> None:
        """kill -9, and a new one on what is durable."""
        self.kill()
        self.start()

    def lose_everything(self) -> None:
        """kill -9, and a new one that has another store under the same token."""
        token = self.token
        self.kill()
        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        file = self.data / TOKEN_FILE
        file.touch(mode=0o600)
        file.write_text(token, encoding="utf-8")
        self.start()

    def end(self) -> None:
        if self._process is not None:
            self._process.end()
