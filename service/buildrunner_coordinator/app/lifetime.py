"""What ends a coordinator unasked (idleness, the loss of its directory or of its users), and the keeper it
keeps alive."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

from buildrunner_coordinator.app.state_directory import StateDirectory
from buildrunner_coordinator.domain.commands import ReadSummary
from buildrunner_coordinator.domain.replies import Summary
from buildrunner_coordinator.rpc.house import House

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0
LOOK_FOR_USERS_EVERY_S = 0.5
KEEPER_RETRY_S = 10.0


class Lifetime:
    """Looks around every few seconds until the coordinator is to stop."""

    def __init__(self, house: House, directory: StateDirectory, idle_exit_s: float, keeper: bool) -> None:
        self._house = house
        self._directory = directory
        self._idle_exit_s = idle_exit_s
        self._keeper = Keeper(directory.path) if keeper else None
        self._users = Users(directory.path)

    async def watch(self) -> None:
        """Sets the house's `stop` when it is time; returns when somebody has."""
        loop = asyncio.get_running_loop()
        busy_s = loop.time()
        while not self._house.stop.is_set():
            if self._directory.is_gone:
                log.warning("the state directory is gone: ending")
                self._house.stop.set()
                return
            if self._users.are_gone():
                log.info("nobody uses this private state any more: ending")
                self._house.stop.set()
                return
            if self._keeper is not None and not self._house.draining:
                self._keeper.revive(loop.time())
            if await self._is_busy():
                busy_s = loop.time()
            elif self._idle_exit_s and loop.time() - busy_s >= self._idle_exit_s:
                log.info("nothing to do for %.0f s: ending", self._idle_exit_s)
                self._house.stop.set()
                return
            await self._pause()

    async def _pause(self) -> None:
        usual_s = LOOK_FOR_USERS_EVERY_S if self._users.matter else LOOK_EVERY_S
        look_every_s = min(usual_s, self._idle_exit_s or usual_s)
        try:
            async with asyncio.timeout(look_every_s):
                await self._house.stop.wait()
        except TimeoutError:
            return

    async def _is_busy(self) -> bool:
        summary: Summary = await self._house.engine.execute(ReadSummary())
        workers = sum(count for status, count in summary.workers.items() if status != "offline")
        return bool(summary.sessions.get("running", 0) or workers)


class Users:
    """The programs of a private state, those with a file `users.lock`: each of them holds a shared lock on
    it for life. Whoever comes once nobody did waits until this coordinator has ended, and starts another."""

    def __init__(self, state_directory: Path) -> None:
        self._path = state_directory / "users.lock"
        self._descriptor = -1

    @property
    def matter(self) -> bool:
        return self._path.exists()

    def are_gone(self) -> bool:
        """Nobody holds the lock. From then on the lock is held here, for as long as this process lives."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True


class Keeper:
    """The keeper process of this state directory: started again when its lock is free."""

    def __init__(self, state_directory: Path) -> None:
        self._path = state_directory
        self._tried_s = float("-inf")
        self._processes: list[subprocess.Popen[bytes]] = []

    def revive(self, now_s: float) -> None:
        """Starts one, at most every ten seconds, if there is none."""
        self._processes = [process for process in self._processes if process.poll() is None]
        if now_s - self._tried_s < KEEPER_RETRY_S or not self._is_lost():
            return
        self._tried_s = now_s
        try:
            self._start()
        except OSError as error:
            log.error("the keeper cannot be started: %s", error)

    def _is_lost(self) -> bool:
        try:
            descriptor = os.open(self._path / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _start(self) -> None:
        log.warning("the keeper is lost: starting one")
        command = [sys.executable, "-m", "buildrunner_parallel.keeper", "--data", str(self._path)]
        with (self._path / "keeper.log").open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._processes.append(process)
