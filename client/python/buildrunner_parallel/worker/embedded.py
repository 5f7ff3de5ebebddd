"""A worker inside a program of yours: it runs the program's handlers for as long as the program wants.

    @handler("resize")
    def resize(context: HandlerContext, source: str, width: int) -> bytes: ...

    if __name__ == "__main__":
        with EmbeddedWorker(slots=4):
            ...

    program ── worker process (stream, heartbeats) ── supervisor ── handler hosts, one a slot

Nothing of the worker runs in the program's own interpreter but a thread that listens: a program that keeps
its interpreter busy for a minute delays no heartbeat, and a handler that crashes harms nobody else. All of
these processes end with the program, also when it is killed. docs/handlers.md is the guide.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from buildrunner_parallel.errors import BuildRunnerError, DeadlineError, WrongStateError

from . import embedded_messages as say
from .embedded_link import EmbeddedLink
from .handler_modules import modules_of_this_program, refuse_in_host
from .handlers import HandlerLoadError, registered
from .options import WorkerOptions
from .whereabouts import Whereabouts

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_SETTLED_AFTER_S = 60.0
_FAREWELL_S = 15.0

_log = logging.getLogger("buildrunner_parallel.worker")


class EmbeddedWorkerError(BuildRunnerError):
    """The worker could not begin to serve; the message is one line that says why."""


class EmbeddedWorker:
    """Serves from `start` to `stop`, or as a context manager, `with` or `async with`.

    It finds the coordinator as Client.connect does, from `coordinator`, `token`, `token_file`, `cwd` and the
    environment, and starts the workspace's own unless `start_coordinator` is False. It serves all handlers
    that the program has registered, and those of `modules`; with `commands` it runs commands as well.

    `slots` is how many tasks run at a time, 0 for one a processor. `labels`, `session` (an id or unique
    prefix: serve it alone) and `metadata` are as of any worker. `pass_env` has patterns of environment
    variables of the program that handlers see beyond the usual ones, `["*"]` for all. `drain_s` is how many
    seconds running tasks have to finish when the worker stops.

    All methods may be called from any thread. A worker process that dies is replaced.
    """

    def __init__(
        self,
        coordinator: str | None = None,
        *,
        slots: int = 0,
        modules: Iterable[str] = (),
        commands: bool = False,
        labels: Iterable[str] = (),
        session: str = "",
        pass_env: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        token: str | None = None,
        token_file: Path | None = None,
        cwd: Path | None = None,
        start_coordinator: bool = True,
        start_timeout_s: float = 90.0,
        drain_s: float = 30.0,
    ) -> None:
        if slots < 0:
            raise ValueError(f"slots must not be negative, and are {slots}")
        if isinstance(modules, str) or isinstance(labels, str) or isinstance(pass_env, str):
            raise TypeError("modules, labels and pass_env are lists, not text")
        self._where = Whereabouts(coordinator, token, token_file, cwd, session)
        self._start_coordinator = start_coordinator
        self._start_timeout_s = start_timeout_s
        self._modules = list(modules)
        self._template = WorkerOptions(
            coordinator="",
            slots=slots or len(os.sched_getaffinity(0)),
            labels=list(labels),
            commands=commands,
            directory=str((cwd or Path()).absolute()),
            metadata_json=json.dumps(dict(metadata)) if metadata else "",
            drain_s=drain_s,
            pass_environment=list(pass_env),
        )
        self._changed = threading.Condition()
        self._link: EmbeddedLink | None = None
        self._worker_id = ""
        self._failure = ""
        self._was_welcome = False
        self._is_leaving = False
        self._owner_pid = 0

    @property
    def worker_id(self) -> str:
        """Its id once it serves, empty before and afterwards; a process that is replaced has another."""
        return self._worker_id

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended. It ends when told to, here or by the coordinator."""
        return self._link is not None and self._owner_pid == os.getpid()

    # ----------------------------------------------------------------- beginning

    def start(self) -> EmbeddedWorker:
        """Returns once it serves. Raises HandlerLoadError, EmbeddedWorkerError, WrongStateError when it runs
        already, DeadlineError after `start_timeout_s`, and what Client.connect raises."""
        refuse_in_host("an EmbeddedWorker was started")
        with self._changed:
            if self.is_running:
                raise WrongStateError("this EmbeddedWorker has been started already")
            modules = [*self._modules, *modules_of_this_program()]
            if not modules and not self._template.commands:
                raise HandlerLoadError(
                    "there is no handler to serve: register one with @handler, name its module in modules, "
                    "or ask for commands"
                )
            self._template.handler_modules = list(dict.fromkeys(modules))
            self._template.expected_handlers = sorted(registered())
            self._template.import_path = [os.path.abspath(entry) for entry in sys.path]
            link = self._launch(self._where.fill_in(self._template, start=self._start_coordinator))
            self._is_leaving = self._was_welcome = False
            self._failure = ""
            self._owner_pid = os.getpid()
        threading.Thread(target=self._attend, args=(link,), name="br-embedded-worker", daemon=True).start()
        atexit.register(self.stop)
        with self._stopping_on_error():
            self._await_welcome()
        return self

    def _launch(self, options: WorkerOptions) -> EmbeddedLink:
        self._link = EmbeddedLink(options)
        return self._link

    def _await_welcome(self) -> None:
        with self._changed:
            in_time = self._changed.wait_for(
                lambda: self._was_welcome or self._link is None, self._start_timeout_s
            )
            if self._was_welcome:
                return
            failure = self._failure
        if in_time:
            raise _start_error(failure)
        raise DeadlineError(f"the embedded worker did not begin to serve within {self._start_timeout_s:g} s")

    # ----------------------------------------------------------------- while it serves

    def _attend(self, link: EmbeddedLink | None) -> None:
        """Listens to the process, and starts another when it has died, until the worker is over."""
        pause_s = _FIRST_PAUSE_S
        while link is not None:
            began_s = time.monotonic()
            ended_well = self._listen(link)
            with self._changed:
                self._worker_id = ""
                if ended_well or self._is_leaving or not self._was_welcome:
                    break
            if time.monotonic() - began_s > _SETTLED_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            _log.warning("the embedded worker has ended: %s; starting another", self._failure)
            link, pause_s = self._relaunch(pause_s)
        with self._changed:
            self._link = None
            self._changed.notify_all()
        atexit.unregister(self.stop)

    def _listen(self, link: EmbeddedLink) -> bool:
        """Until the process ends; whether that was in order."""
        ended_well, self_told = False, "its process died"
        for message in link.messages():
            if message[0] == say.LOG:
                _log.log(message[1], "%s", message[2])
            elif message[0] == say.LEFT:
                ended_well, self_told = message[1] == 0, message[2]
            else:
                with self._changed:
                    self._worker_id, self._was_welcome = message[1], True
                    self._changed.notify_all()
        self._failure = "" if ended_well else self_told
        return ended_well

    def _relaunch(self, pause_s: float) -> tuple[EmbeddedLink | None, float]:
        """Another process, and the pause before the next; None once the worker is to leave."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._is_leaving, pause_s):
                    return None, pause_s
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                # Whoever stopped the workspace's coordinator wants it stopped.
                options = self._where.fill_in(self._template, start=False)
                with self._changed:
                    return (None if self._is_leaving else self._launch(options)), pause_s
            except BuildRunnerError as error:
                _log.warning("the embedded worker finds no coordinator: %s", error)
            except OSError as error:
                # No process or memory to be had, a token file that is being replaced: it may pass.
                _log.warning("the embedded worker cannot be started: %s", error)

    # ----------------------------------------------------------------- ending

    def drain(self, timeout_s: float | None = None) -> bool:
        """Takes nothing new and lets what runs finish, however long that takes; whether it has ended within
        `timeout_s` seconds (None: no limit). It goes on draining after that."""
        self._order("the program drains its worker", None)
        return self.join(timeout_s)

    def stop(self, drain_s: float | None = None) -> None:
        """Ends it: what runs may finish within `drain_s` seconds (None: as given to the constructor), then is
        stopped, and runs again elsewhere at no cost. An exception meanwhile, as by Ctrl+C, stops it at once.
        Returns when no process of it is left; does nothing when it does not run."""
        if not self.is_running:
            return
        within_s = self._template.drain_s if drain_s is None else drain_s
        self._order("the program stops its worker", within_s)
        with self._stopping_on_error():
            if not self.join(within_s + _FAREWELL_S):
                self._kill()

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits until it has ended; whether it has, within `timeout_s` seconds (None: no limit)."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.is_running, timeout_s)

    def run_forever(self) -> None:
        """Starts it unless it runs, and returns when it has ended: by `stop` or `drain` in another thread, or
        drained by the coordinator. An exception, as by Ctrl+C or a signal handler, stops it and goes on."""
        if not self.is_running:
            self.start()
        try:
            self.join()
        finally:
            self.stop()

    def _order(self, reason: str, within_s: float | None) -> None:
        if self._owner_pid != os.getpid():
            return  # a fork of the program: the worker is its parent's
        with self._changed:
            self._is_leaving = True
            self._changed.notify_all()
            if self._link is not None:
                self._link.leave(reason, within_s)

    def _kill(self) -> None:
        with self._changed:
            link = self._link
        if link is not None:
            link.kill()
        self.join(_FAREWELL_S)

    @contextlib.contextmanager
    def _stopping_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._order("the program stops its worker at once", 0.0)
            if not self.join(_FAREWELL_S):
                self._kill()
            raise

    # ----------------------------------------------------------------- with

    def __enter__(self) -> EmbeddedWorker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> EmbeddedWorker:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)


def _start_error(failure: str) -> BuildRunnerError:
    if failure.startswith("cannot load handlers"):
        return HandlerLoadError(failure)
    return EmbeddedWorkerError(f"the embedded worker did not start: {failure or 'it was told to stop'}")
