"""From a configuration to an exit code: opens everything in order, serves, closes in reverse."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from buildrunner_coordinator.app.errors import StartError, start_error
from buildrunner_coordinator.app.letter_case import ignores_case
from buildrunner_coordinator.app.lifetime import Lifetime
from buildrunner_coordinator.app.log_file import open_log
from buildrunner_coordinator.app.state_directory import StateDirectory
from buildrunner_coordinator.config import EXIT_DONE, EXIT_FAULT, EXIT_IO, EXIT_UNUSABLE, Config
from buildrunner_coordinator.domain.commands import FoldCase
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.engine.clock import CoreClock, wall_us
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.engine.feed import Feed
from buildrunner_coordinator.engine.ports import CorePort
from buildrunner_coordinator.rpc.convert.events import EventEncoder
from buildrunner_coordinator.rpc.house import House, Identity, Limits
from buildrunner_coordinator.rpc.server import CoordinatorServer
from buildrunner_coordinator.store.base import Store, StoreError
from buildrunner_coordinator.store.snapshots import no_collections
from buildrunner_coordinator.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

WORKSPACE_ID = "local"
"""A state directory serves one workspace, and may be moved with it: its path is no name."""
YOUNG_OBJECTS = 50_000
_DISK_FAILED = ("no space is left", "cannot be read or written")


def run(config: Config) -> int:
    """Serves until the end. What is wrong is said in one line on stderr and in the log."""
    directory = StateDirectory(config.data)
    handler: logging.Handler | None = None
    try:
        directory.prepare()
        _calm_collector()
        handler = _open_log(directory, config)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Coordinator(config, directory).serve())
    except StartError as error:
        if handler is None:
            print(f"buildrunner-coordinator: {error}", file=sys.stderr)
        else:
            log.error("%s", error, extra={"exit_code": error.exit_code})
        return error.exit_code
    finally:
        directory.close()


def _calm_collector() -> None:
    """Commands and rows come by the ten thousand and hold no cycles: looking for some costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)


def _open_log(directory: StateDirectory, config: Config) -> logging.Handler:
    try:
        return open_log(directory.log, config.log_level)
    except OSError as error:
        raise start_error(f"the log {directory.log} cannot be written", error) from error


class _Coordinator:
    """One run of the coordinator."""

    def __init__(self, config: Config, directory: StateDirectory) -> None:
        self._config = config
        self._directory = directory
        self._socket: Path | None = None

    async def serve(self) -> int:
        token = self._directory.token()
        self._socket = self._directory.socket(self._config.socket)
        store = SqliteStore(self._directory.database, lock_fd=self._directory.lock_fd)
        try:
            engine = await self._open(store)
            return await self._serve(engine, store, token)
        finally:
            await _close(store)
            self._directory.close(self._socket)

    async def _open(self, store: Store) -> Engine:
        try:
            snapshot = await store.open(wall_us(), WORKSPACE_ID)
        except StoreError as error:
            raise StartError(str(error), _code_of(error)) from error
        clock = CoreClock(snapshot.meta.last_us)
        with no_collections():
            core = Core.load(snapshot, self._config.settings, clock.now())
        feed = Feed(EventEncoder(core.meta.workspace_id, clock.now), core.revision)
        check = _invariants() if self._config.check_invariants else None
        return Engine(core, store, clock, feed=feed, check=check)

    async def _serve(self, engine: Engine, store: Store, token: str) -> int:
        assert self._socket is not None
        house = House(engine, self._identity(store), self._config.settings, self._limits())
        server = CoordinatorServer(house, token)
        self._listen(server)
        _stop_on_signals(house)
        engine_task = asyncio.ensure_future(engine.run())
        if ignores_case(self._directory.path.parent, self._directory.path):
            await engine.execute(FoldCase())
        await server.start()
        self._announce(house)
        lifetime = Lifetime(house, self._directory, self._config.idle_exit_s, self._config.keeper)
        watch_task = asyncio.ensure_future(lifetime.watch())
        stop_task = asyncio.ensure_future(house.stop.wait())
        try:
            await asyncio.wait({engine_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
            await server.stop(0 if engine_task.done() else 1.0)
            engine.stop()
            (failure, *_) = await asyncio.gather(engine_task, return_exceptions=True)
        finally:
            for task in (watch_task, stop_task):
                task.cancel()
            await asyncio.gather(watch_task, stop_task, return_exceptions=True)
        log.info("calls served", extra={"calls": dict(server.calls)})
        return _exit_code(failure)

    def _identity(self, store: Store) -> Identity:
        return Identity(
            version=version(),
            address=f"unix:{self._socket}",
            pid=os.getpid(),
            host=socket.gethostname(),
            data_directory=str(self._directory.path),
            workspace_root=str(self._directory.path.parent),
            store=store.description,
            started_at_us=wall_us(),
        )

    def _limits(self) -> Limits:
        return Limits(self._config.plan_tasks, self._config.plan_bytes)

    def _listen(self, server: CoordinatorServer) -> None:
        for address in (f"unix:{self._socket}", self._config.listen):
            if address is None:
                continue
            try:
                server.listen(address)
            except OSError as error:
                raise StartError(f"{error}. Give another address, or stop what listens there.") from error

    def _announce(self, house: House) -> None:
        identity, meta = house.identity, house.engine.core.meta
        started = datetime.fromtimestamp(identity.started_at_us / 1e6, UTC)
        self._directory.write_address(
            {
                "schema_version": 1,
                "address": identity.address,
                "pid": identity.pid,
                "instance": f"{meta.epoch:x}",
                "version": identity.version,
                "store_id": meta.store_id,
                "started_at": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
        log.info(
            "serving",
            extra={
                "address": identity.address,
                "listen": self._config.listen,
                "pid": identity.pid,
                "version": identity.version,
                "store": identity.store,
                "epoch": meta.epoch,
                "revision": meta.revision,
            },
        )


def version() -> str:
    """Of the installed distribution; "0" when run from a bare checkout."""
    try:
        return importlib.metadata.version("buildrunner-parallel")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _invariants() -> Callable[[CorePort], None]:
    from buildrunner_coordinator.domain.invariants import check

    def check_core(core: CorePort) -> None:
        assert isinstance(core, Core)
        check(core)

    return check_core


def _stop_on_signals(house: House) -> None:
    def stop(name: str) -> None:
        log.info("told to end", extra={"signal": name})
        house.stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)


def _code_of(error: StoreError) -> int:
    """The store says in words what its writer, another process, has met."""
    return EXIT_IO if any(words in str(error) for words in _DISK_FAILED) else EXIT_UNUSABLE


def _exit_code(failure: BaseException | None) -> int:
    if failure is None:
        log.info("ended")
        return EXIT_DONE
    if isinstance(failure, StoreError):
        log.critical("the store failed, nothing more is said: %s", failure, extra={"exit_code": EXIT_IO})
        return EXIT_IO
    log.critical("the engine failed by a fault of its own", exc_info=failure, extra={"exit_code": EXIT_FAULT})
    return EXIT_FAULT


async def _close(store: Store) -> None:
    try:
        await store.close()
    except StoreError as error:
        # What was told to anyone is durable already; closing only tidies up.
        log.warning("the store did not close cleanly: %s", error)
