"""The command that shows output: logs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.text import output_line, sanitize

from .command import command
from .invocation import Invocation
from .options import OptionalTask, SessionArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import TaskOutput

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
        int, typer.Option("--tail", min=0, metavar="N", help="Begin N lines before the end.")
    ] = 0,
    attempt: Annotated[
        int, typer.Option("--attempt", min=0, metavar="N", help="This attempt; else the last.")
    ] = 0,
    stderr: Annotated[bool, typer.Option("--stderr", help="Standard error only.")] = False,
    tag: Annotated[bool, typer.Option("--tag", help="Begin every line with its task's id.")] = False,
) -> None:
    """Show what a task, or every task of a session, wrote."""
    from buildrunner_parallel.records import OutputChannel

    if (tail or attempt) and not task_id:
        raise typer.BadParameter("name the task as well", param_hint="--attempt" if attempt else "--tail")
    run.come_back = (
        f"Go on reading with: {run.command_line('logs', session_id, *filter(None, [task_id]), '-f')}"
    )
    with run.existing() as client:
        if attempt:
            _require_attempt(client, session_id, task_id, attempt)
        pieces = client.read_output(
            session_id,
            task_id,
            attempt=attempt,
            channel=OutputChannel.STDERR if stderr else None,
            follow=follow,
            tail_lines=tail,
        )
        if run.settings.as_json:
            _write_json(run, pieces)
        elif tag or run.out.is_terminal:
            _write_lines(run, pieces, tag, headings=not tag and not task_id)
        else:
            _write_raw(pieces)


def _require_attempt(client: Client, session_id: str, task_id: str, attempt: int) -> None:
    """No output of an attempt that never was would look like one that wrote nothing."""
    from buildrunner_parallel.errors import NotFoundError

    made = client.get_task(session_id, task_id).summary.attempt
    if attempt > made:
        raise NotFoundError(f"Task {sanitize(task_id)} has no attempt {attempt}: its last is {made}.")


def _write_json(run: Invocation, pieces: Iterable[TaskOutput]) -> None:
    from buildrunner_parallel.records import record_to_json

    for piece in pieces:
        chunk = record_to_json(piece.chunk)
        run.out.streamed_document(task_id=piece.task_id, attempt=piece.attempt, **chunk)


def _write_raw(pieces: Iterable[TaskOutput]) -> None:
    """Bytes as they were written: what reads a pipe wants them so."""
    sys.stdout.flush()
    for piece in pieces:
        if piece.chunk.dropped_bytes:
            sys.stdout.buffer.write(f"{_gap(piece)}\n".encode())
        sys.stdout.buffer.write(piece.chunk.data)
        sys.stdout.buffer.flush()


def _write_lines(run: Invocation, pieces: Iterable[TaskOutput], tag: bool, *, headings: bool) -> None:
    """Whole lines, made harmless for the terminal; a line begun in one piece may end in the next."""
    begun: dict[tuple[str, int], bytes] = {}
    shown: tuple[str, int] | None = None
    for piece in pieces:
        source = (piece.task_id, piece.attempt)
        if headings and source != shown:
            run.out.always(f"==> {piece.task_id} (attempt {piece.attempt}) <==", "bold")
            shown = source
        prefix = f"{sanitize(piece.task_id)}\t" if tag else ""
        if piece.chunk.dropped_bytes:
            _write_line(run, prefix, _gap(piece).encode())
        *whole, rest = (begun.pop(source, b"") + piece.chunk.data).split(b"\n")
        for line in whole:
            _write_line(run, prefix, line)
        if rest:
            begun[source] = rest
    for (task_id, _), rest in begun.items():
        _write_line(run, f"{sanitize(task_id)}\t" if tag else "", rest)


def _write_line(run: Invocation, prefix: str, line: bytes) -> None:
    text = output_line(line.decode("utf-8", "replace"))
    if run.out.is_terminal:
        run.out.console.out(prefix + text, highlight=False)
    else:
        sys.stdout.write(f"{prefix}{text}\n")
        sys.stdout.flush()


def _gap(piece: TaskOutput) -> str:
    return f"[... {piece.chunk.dropped_bytes} bytes left out here ...]"
