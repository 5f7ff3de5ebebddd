"""The command that shows output: logs."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.text import output_line, sanitize

from .command import command
from .invocation import Invocation
from .options import OptionalTask, SessionArgument
from .whole_lines import whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import OutputChannel, TaskOutput

    from .render import Output

app = typer.Typer()


@command(app, "logs")
def logs(
    run: Invocation,
    session_id: SessionArgument,
    task_id: OptionalTask = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the task or session is over.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=1, metavar="N", help="Begin N lines before the end.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, metavar="N", help="This attempt; else the last.")
    ] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Standard output only.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Standard error only.")] = False,
    tag: Annotated[bool, typer.Option("--tag", help="Begin every line with its task's id.")] = False,
) -> None:
    """Show what a task, or every task of a session, wrote."""
    if (tail or attempt) and not task_id:
        raise typer.BadParameter("name the task as well", param_hint="--attempt" if attempt else "--tail")
    if stdout and stderr:
        raise typer.BadParameter("both come when neither is asked for", param_hint="--stdout")
    with run.existing() as client:
        if attempt:
            _require_attempt(client, session_id, task_id, attempt)
        waiting = _waiting(run, client, session_id, task_id) if follow else nullcontext()
        pieces = client.read_output(
            session_id,
            task_id,
            attempt=attempt or 0,
            channel=_channel(stdout, stderr),
            follow=follow,
            tail_lines=tail or 0,
        )
        with waiting:
            if run.settings.as_json:
                return _write_json(run, pieces)
            pieces = whole_lines(pieces) if follow and not task_id else pieces
            return _write(run, pieces, tag, headings=not tag and not task_id)


def _write(run: Invocation, pieces: Iterable[TaskOutput], tag: bool, headings: bool) -> None:
    if tag or run.out.is_terminal:
        LineWriter(run.out, tag=tag, headings=headings).write_all(pieces)
    else:
        _write_raw(pieces)


def _waiting(run: Invocation, client: Client, session_id: str, task_id: str) -> AbstractContextManager[None]:
    """Whoever follows what does not begin hears why not, and who leaves how to come back. `last` would be
    another session by then."""
    from .standstill import standstill_told

    full_id = client.get_session(session_id).session_id
    back = run.command_line("logs", full_id, *filter(None, [task_id]), "-f")
    run.come_back = f"Go on reading with: {back}"
    return standstill_told(run, client, full_id, task_id)


def _channel(stdout: bool, stderr: bool) -> OutputChannel | None:
    from buildrunner_parallel.records import OutputChannel

    if stdout or stderr:
        return OutputChannel.STDOUT if stdout else OutputChannel.STDERR
    return None


def _require_attempt(client: Client, session_id: str, task_id: str, attempt: int) -> None:
    """No output of an attempt that never was would look like one that wrote nothing."""
    from buildrunner_parallel.errors import NotFoundError

    made = client.get_task(session_id, task_id).summary.attempt
    if attempt > made:
        raise NotFoundError(f"Task {sanitize(task_id)} has no attempt {attempt}: its last is {made}.")


def _write_json(run: Invocation, pieces: Iterable[TaskOutput]) -> None:
    from buildrunner_parallel.records import record_to_json

    for piece in pieces:
        if piece.attempt_ended:
            run.out.streamed_document(task_id=piece.task_id, attempt=piece.attempt, attempt_ended=True)
            continue
        chunk = record_to_json(piece.chunk)
        run.out.streamed_document(task_id=piece.task_id, attempt=piece.attempt, **chunk)


def _write_raw(pieces: Iterable[TaskOutput]) -> None:
    """Bytes as they were written: what reads a pipe wants them so. Only a gap gets a line of its own."""
    sys.stdout.flush()
    stream = sys.stdout.buffer
    at_line_start = True
    for piece in pieces:
        if piece.chunk.dropped_bytes:
            stream.write(b"" if at_line_start else b"\n")
            stream.write(f"{_gap(piece)}\n".encode())
        stream.write(piece.chunk.data)
        stream.flush()
        at_line_start = (piece.chunk.data or b"\n").endswith(b"\n")


class LineWriter:
    """Writes whole lines, made harmless for the terminal; a line begun in one piece may end in the next.

    Both channels of an attempt write lines of their own: half a line of one is never joined with the other's.
    """

    def __init__(self, out: Output, *, tag: bool, headings: bool) -> None:
        self._out = out
        self._tag = tag
        self._headings = headings
        self._source: tuple[str, int] | None = None
        # They grow in place: a progress bar may draw on one line for hours, piece by piece.
        self._begun: dict[str, bytearray] = {}

    def write_all(self, pieces: Iterable[TaskOutput]) -> None:
        for piece in pieces:
            self._write(piece)
        self._end_source()
        if self._source is None:
            self._out.hint("No output")

    def _write(self, piece: TaskOutput) -> None:
        source = (piece.task_id, piece.attempt)
        if piece.attempt_ended:
            return
        if source != self._source:
            self._end_source()
            self._begin_source(source)
        chunk = piece.chunk
        if chunk.dropped_bytes:
            self._end_source()
            self._line(_gap(piece).encode())
        *whole, rest = chunk.data.split(b"\n")
        begun = self._begun.pop(chunk.channel, bytearray())
        for line in whole:
            self._line(begun + line)
            begun.clear()
        begun += rest
        if begun:
            self._begun[chunk.channel] = begun
        sys.stdout.flush()

    def _begin_source(self, source: tuple[str, int]) -> None:
        """A heading before each task of a session, and before a further attempt of one that is followed."""
        task_id, attempt = source
        if self._headings or (self._source is not None and not self._tag):
            self._out.always(f"==> {task_id} (attempt {attempt}) <==", "bold")
        self._source = source

    def _end_source(self) -> None:
        for rest in self._begun.values():
            self._line(rest)
        self._begun.clear()

    def _line(self, line: bytes | bytearray) -> None:
        text = output_line(line.decode("utf-8", "replace"))
        prefix = f"{sanitize(self._source[0])}\t" if self._tag and self._source else ""
        if self._out.is_terminal:
            self._out.console.out(prefix + text, highlight=False)
        else:
            sys.stdout.write(f"{prefix}{text}\n")


def _gap(piece: TaskOutput) -> str:
    return f"[... {piece.chunk.dropped_bytes} bytes left out here ...]"
