"""The client under test, driven line by line: a request to its standard input, an answer from its output."""

from __future__ import annotations

import json
import queue
import threading
from typing import Any

from . import specs
from .processes import Process

_PATIENCE = 2
"""Answers may take so many times as long as the coordinator has for what is asked."""


class Refused(Exception):
    """The client's answer was an error: its `kind`, `reason`, `message` and `conflicts`."""

    def __init__(self, operation: str, error: dict[str, Any]) -> None:
        super().__init__(f"{operation}: {error}")
        self.kind = str(error.get("kind"))
        self.reason = str(error.get("reason", ""))
        self.message = str(error.get("message", ""))
        self.conflicts: list[dict[str, Any]] = list(error.get("conflicts") or [])


class ClientProgram:
    """One client process. Its requests are answered in order; `send` and `answer` are the halves of `ask`."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._number = 0
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.popen.stdout is not None
        try:
            for line in self.process.popen.stdout:
                self._lines.put(line)
        except ValueError:
            pass  # closed at the end of the scenario
        self._lines.put(None)

    def ask(self, operation: str, *, within_s: float | None = None, **fields: Any) -> dict[str, Any]:
        """The `ok` of the answer. Raises Refused, or AssertionError when there is no proper answer."""
        return self.answer(self.send(operation, **fields), within_s)

    def refusal(self, operation: str, **fields: Any) -> Refused:
        """The error of the answer. Raises AssertionError when there is none."""
        try:
            told = self.ask(operation, **fields)
        except Refused as error:
            return error
        raise AssertionError(f"{operation} {fields}: wanted an error, found {told}")

    def send(self, operation: str, **fields: Any) -> tuple[int, str]:
        """What to ask `answer` for."""
        self._number += 1
        self.say(json.dumps({"id": self._number, "op": operation, **fields}))
        return self._number, operation

    def say(self, line: str) -> None:
        assert self.process.popen.stdin is not None
        try:
            self.process.popen.stdin.write(line.encode() + b"\n")
            self.process.popen.stdin.flush()
        except OSError as error:
            raise AssertionError(f"the client does not take requests any more: {error}") from error

    def answer(self, ticket: tuple[int, str], within_s: float | None = None) -> dict[str, Any]:
        number, operation = ticket
        told = self.line(within_s)
        if told.get("id") != number:
            raise AssertionError(f"{operation}: wanted the answer to {number}, found {told}")
        if "error" in told:
            raise Refused(operation, told["error"])
        if not isinstance(told.get("ok"), dict):
            raise AssertionError(f"{operation}: an answer has ok or error, found {told}")
        return dict(told["ok"])

    def has_answered(self) -> bool:
        """Whether a line is there to be read."""
        return not self._lines.empty()

    def line(self, within_s: float | None = None) -> dict[str, Any]:
        """The next line that it writes."""
        within_s = _PATIENCE * specs.GIVE_UP_S if within_s is None else within_s
        try:
            line = self._lines.get(timeout=within_s)
        except queue.Empty:
            raise AssertionError(f"the client gave no answer within {within_s:g} s") from None
        if line is None:
            code = self.process.exit_code()
            raise AssertionError(
                f"the client ended with {code} instead of answering: {self.process.last_words}"
            )
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            raise AssertionError(f"an answer is one JSON object, found {line[:200]!r}") from None

    def close(self) -> int:
        """Ends its input; the exit code."""
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.close()
        return self.process.exit_code()
