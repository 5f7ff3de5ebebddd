"""The command that tells what happened, in order: story."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.durations import format_duration

from .command import command
from .invocation import Invocation
from .options import limit_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import HistoryEvent

    from .render import Cell

app = typer.Typer()

_COLOURS = {
    "lost": "bold red", "offline": "red", "error": "red", "requeued": "yellow", "cancel_requested": "yellow",
    "skipped": "yellow", "paused": "yellow",
}  # fmt: skip


@command(app, "story")
def story(
    run: Invocation,
    what: Annotated[
        str, typer.Argument(metavar="SESSION|WORKER", help="Id or unique prefix; `last`: the newest session.")
    ],
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="One task of the session.")] = "",
    limit: Annotated[int, limit_option("At most so many events, oldest first.")] = 1000,
) -> None:
    """Tell what happened to a session, a task or a worker, in order."""
    from buildrunner_parallel.records import record_to_json

    with run.existing() as client:
        about, subject = _subject(client, what, task_id)
        found = _read(client, what, subject, limit + 1)
    events = found[:limit]
    if run.settings.as_json:
        return run.out.document(
            events=[record_to_json(event) for event in events], more=len(found) > len(events)
        )
    if not events:
        return run.out.sentence(f"Nothing is known to have happened to {about}")
    if run.settings.quiet:
        return None
    if run.out.is_terminal:
        run.out.sentence(f"What happened to {about}, since {_day(events[0].at)}", "dim")
    _show(run, events, subject)
    if len(found) > len(events):
        run.out.hint(f"and more: --limit {limit * 10}")
    return None


def _read(client: Client, what: str, subject: dict[str, str], limit: int) -> list[HistoryEvent]:
    """At most `limit` events. Raises NotFoundError."""
    from buildrunner_parallel.errors import AmbiguousIdError, NotFoundError

    try:
        return list(islice(client.iter_history(**subject, limit=limit), limit))
    except AmbiguousIdError:
        raise
    except NotFoundError as error:
        if "worker_id" in subject:
            raise NotFoundError(
                f"There is no session and no worker {what!r}; `list` and `workers` show those there are."
            ) from error
        raise


def _subject(client: Client, what: str, task_id: str) -> tuple[str, dict[str, str]]:
    """Words for what is asked about, and the arguments that ask for it. Raises NotFoundError."""
    from buildrunner_parallel.errors import AmbiguousIdError, NotFoundError

    session = worker_id = None
    try:
        session = client.get_session(what)
    except AmbiguousIdError:
        raise
    except NotFoundError:
        if task_id:
            raise
    if not task_id and what != "last":
        worker_id = _worker_id(client, what, session is None)
    if session and worker_id:
        candidates = [session.session_id, worker_id]
        raise AmbiguousIdError(
            f"{what!r} is a session and a worker: {', '.join(candidates)}.", candidates=candidates
        )
    if session is None:
        return f"worker {worker_id or what}", {"worker_id": worker_id or what}
    about = f"session {session.session_id} ({session.name})"
    about = f"task {task_id} of {about}" if task_id else about
    return about, {"session_id": session.session_id, "task_id": task_id}


def _worker_id(client: Client, what: str, alone: bool) -> str | None:
    """The whole id of a worker; None when no present one is meant."""
    from buildrunner_parallel.errors import AmbiguousIdError, NotFoundError

    try:
        return client.get_worker(what).worker_id
    except AmbiguousIdError:
        if alone:
            raise
    except NotFoundError:
        # One that is gone may still have a past.
        return None
    return None


def _show(run: Invocation, events: Sequence[HistoryEvent], subject: dict[str, str]) -> None:
    """Columns that would say the same in every row are left out."""
    first = next((event.at for event in events if event.at), None)
    tasks = not subject.get("task_id") and any(event.task_id for event in events)
    sessions = "worker_id" in subject and len({event.session_id for event in events}) > 1
    columns = ["time", "?1>after", "?2>revision"]
    columns += ["?3session"] * sessions + ["~task"] * tasks + ["~what happened"]
    dated = not run.out.is_terminal or len({_day(event.at) for event in events}) > 1
    rows = [_row(event, first, dated, sessions, tasks) for event in events]
    run.out.table(columns, rows)


def _row(
    event: HistoryEvent, first: datetime | None, dated: bool, session: bool, task: bool
) -> tuple[Cell, ...]:
    after = (event.at - first).total_seconds() if event.at and first else 0.0
    moment = _moment(event.at, "%Y-%m-%d %H:%M:%S.%f" if dated else "%H:%M:%S.%f")
    cells: list[Cell] = [moment, f"+{format_duration(after)}", str(event.revision or "")]
    cells += [event.session_id] * session + [event.task_id] * task
    cells.append((event.message or event.kind.replace("_", " "), _COLOURS.get(event.kind, "")))
    return tuple(cells)


def _moment(moment: datetime | None, form: str) -> str:
    """Local time to the millisecond; `form` ends with the microseconds."""
    return moment.astimezone().strftime(form)[:-3] if moment else ""


def _day(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d") if moment else "the beginning"
