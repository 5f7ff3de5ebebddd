"""Everything that leaves a handler host: its answers, and what its tasks print by whatever means.

File descriptors 1 and 2 become pipes that a thread of the same process empties (and the runtime, once it is
dead), so that everything is caught and a task's output is complete before its answer is sent. Answers of
short tasks are gathered; a second thread sees to it that none waits while a long task runs.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable

from . import host_messages as say
from .framing import Message

_READ_SIZE_BYTES = 1 << 16
_MOST_ANSWERS = 128
_GATHER_S = 0.003
_PROGRESS_EVERY_S = 0.05


class HostOutput:
    """Takes over descriptors 1 and 2 at once, with two pipes given as reading and writing end."""

    def __init__(
        self, send: Callable[[list[Message]], None], stdout_fds: tuple[int, int], stderr_fds: tuple[int, int]
    ) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._number = 0
        self._answers: list[Message] = []
        self._progress: Message | None = None
        self._progress_at_s = 0.0
        self._has_answers = threading.Event()
        self._streams: dict[int, int] = {}
        self._ready = select.poll()
        for stream, text, (reading, writing) in ((1, sys.stdout, stdout_fds), (2, sys.stderr, stderr_fds)):
            os.dup2(writing, stream)
            os.close(writing)
            self._streams[reading] = stream
            self._ready.register(reading, select.POLLIN)
            text.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        for loop in (self._pump, self._send_gathered):
            threading.Thread(target=loop, name=f"host{loop.__name__}", daemon=True).start()

    def send(self, messages: list[Message]) -> None:
        """Sends messages whole, whichever thread asks."""
        with self._lock:
            self._send(messages)

    def answer(self, message: Message) -> None:
        """Queues the last word on a task; it leaves within some milliseconds."""
        self._answers.append(message)
        if len(self._answers) == 1:
            self._has_answers.set()
        elif len(self._answers) >= _MOST_ANSWERS:
            self.flush_answers()

    def progress(self, message: Message) -> None:
        """Sends the message, or the last of those that come within a twentieth of a second."""
        with self._lock:
            is_first = self._progress is None
            self._progress = message
            self._send_due_progress()
            if is_first and self._progress is not None:
                self._has_answers.set()

    def _send_due_progress(self) -> None:
        now_s = time.monotonic()
        if self._progress is not None and now_s - self._progress_at_s >= _PROGRESS_EVERY_S:
            progress, self._progress, self._progress_at_s = self._progress, None, now_s
            self._send([progress])

    def flush_answers(self) -> None:
        """Sends what is queued now."""
        with self._lock:
            if self._answers:
                answers, self._answers = self._answers, []
                self._send(answers)

    def begin(self, number: int) -> None:
        """From here on output belongs to this task."""
        self._number = number

    def end(self) -> None:
        """Everything that the task has written is sent when this returns."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # the handler closed or replaced its streams; what reached the pipes is still read
        with self._lock:
            self._progress = None
            while (ready := self._ready.poll(0)) and self._pass_on(ready):
                pass

    def _pump(self) -> None:
        waiting = select.poll()
        for fd in self._streams:
            waiting.register(fd, select.POLLIN)
        try:
            while True:
                waiting.poll()
                with self._lock:
                    self._pass_on(self._ready.poll(0))
        except OSError:
            return  # the runtime is gone, and the main thread sees it too

    def _pass_on(self, ready: list[tuple[int, int]]) -> bool:
        any_read = False
        for fd, _ in ready:
            try:
                data = os.read(fd, _READ_SIZE_BYTES)
            except BlockingIOError:
                continue
            if data:
                self._send([(say.OUTPUT, self._number, self._streams[fd], data)])
                any_read = True
        return any_read

    def _send_gathered(self) -> None:
        try:
            while True:
                self._has_answers.wait(_PROGRESS_EVERY_S if self._progress is not None else None)
                self._has_answers.clear()
                time.sleep(_GATHER_S)
                self.flush_answers()
                with self._lock:
                    self._send_due_progress()
        except OSError:
            return  # the runtime is gone, and the main thread sees it too
