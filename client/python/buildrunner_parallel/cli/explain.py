"""The command that says why something does not run: explain.

Equal reasons of a session's tasks are told once, so that ten thousand tasks read as well as ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import phrases
from .command import command
from .explaining import EXPLAINED_TASKS, Link, Reason, chain, hand_waits, link_sentences, reasons
from .invocation import Invocation
from .options import OptionalTask, SessionArgument, limit_option
from .phrases import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session, Task, TaskExplanation, TaskSummary, Wait

    from .render import Cell

app = typer.Typer()

SHOWN_IDS = 3


@command(app, "explain")
def explain(
    run: Invocation,
    session_id: SessionArgument,
    task_id: OptionalTask = "",
    limit: Annotated[int, limit_option("At most so many reasons.")] = 20,
) -> None:
    """Say why a task, or what is left of a session, is not running."""
    with run.existing() as client:
        session = client.get_session(session_id)
        if task_id:
            _explain_task(run, client, session, task_id)
        else:
            _explain_session(run, client, session, limit)


# ---------------------------------------------------------------- a whole session


def _explain_session(run: Invocation, client: Client, session: Session, limit: int) -> None:
    explained = [] if session.is_over else client.explain_tasks(session.session_id, limit=EXPLAINED_TASKS)
    found = reasons(explained)
    by_hand = () if session.is_over else hand_waits(client.list_locks(session=session.session_id))
    if run.settings.as_json:
        return _session_document(run, session, explained, found, by_hand)
    if run.settings.quiet:
        return _write_ids(run, explained)
    run.out.sentence(_headline(session))
    if session.is_over:
        return _tell_over(run, session)
    if found:
        run.out.table((">tasks", "~why", "?~such as"), [_row(reason) for reason in found[:limit]])
    for wait in by_hand[:limit]:
        run.out.sentence(f"By hand it {wait.message}")
    _tell_more(run, session, explained, found[limit:], by_hand)
    return run.out.hint(f"One of them in full: {run.command_line('explain', session.session_id)} TASK")


def _write_ids(run: Invocation, explained: Sequence[TaskExplanation]) -> None:
    for one in explained:
        if one.waits:
            run.out.always(one.task_id)


def _headline(session: Session) -> str:
    word = session.status.value
    state = {"created": "is not started yet", "cancelled": "was cancelled"}.get(
        word, word if session.is_over else f"is {word}"
    )
    return f"Session {session.session_id} ({session.name}) {state}: {phrases.counts_phrase(session.counts)}"


def _tell_over(run: Invocation, session: Session) -> None:
    run.out.line("It is over: nothing of it waits")
    if session.reason:
        run.out.line(f"It ended because: {session.reason}")
    if session.counts.failed:
        run.out.line(f"What failed: {run.command_line('tasks', session.session_id, '-s', 'failed')}")


def _row(reason: Reason) -> tuple[Cell, ...]:
    shown = ", ".join(reason.task_ids[:SHOWN_IDS])
    hidden = len(reason.task_ids) - SHOWN_IDS
    more = f" and {hidden} more" if hidden > 0 else ""
    return (str(len(reason.task_ids)), reason.sentence(), shown + more)


def _tell_more(
    run: Invocation, session: Session, explained: Sequence[TaskExplanation], hidden: Sequence[Reason],
    by_hand: Sequence[Wait],
) -> None:  # fmt: skip
    """What the table leaves out, and what is not waiting at all."""
    if hidden:
        tasks = sum(len(reason.task_ids) for reason in hidden)
        run.out.line(
            f"and {number_of(len(hidden), 'other reason')} of {number_of(tasks, 'task')};"
            f" --limit {len(hidden) * 10} shows more"
        )
    ready = sum(not one.waits and one.status.value == "queued" for one in explained)
    if ready:
        run.out.line(
            f"{number_of(ready, 'queued task')} {'starts' if ready == 1 else 'start'} as slots get free"
        )
    tally = session.counts
    left = tally.total - tally.done - len(explained)
    if left > 0 and len(explained) >= EXPLAINED_TASKS:
        run.out.line(f"{left} more tasks that are not over were not looked at")
    elif by_hand:
        return
    elif not tally.total - tally.done:
        left_over = "no task is left" if tally.total else "it has no tasks yet"
        run.out.line(f"Nothing waits: {left_over}{_more_may_come(run, session)}")
    elif not ready and not any(one.waits for one in explained):
        run.out.line("Nothing waits: all that is left runs, or is about to")


def _more_may_come(run: Invocation, session: Session) -> str:
    """Whoever was to submit more may have died, and then nobody else ends it."""
    if not session.open:
        return ""
    return f". More may come; without, it ends with: {run.command_line('close', session.session_id)}"


def _session_document(
    run: Invocation, session: Session, explained: Sequence[TaskExplanation], found: Sequence[Reason],
    by_hand: Sequence[Wait],
) -> None:  # fmt: skip
    from buildrunner_parallel.records import record_to_json

    told = [
        {
            **record_to_json(one.wait),
            "names": list(one.names),
            "task_count": len(one.task_ids),
            "task_ids": one.task_ids,
        }
        for one in found
    ]
    run.out.document(
        session=record_to_json(session),
        reasons=told,
        explained_tasks=len(explained),
        by_hand=[record_to_json(wait) for wait in by_hand],
    )


# ---------------------------------------------------------------- one task


def _explain_task(run: Invocation, client: Client, session: Session, task_id: str) -> None:
    from buildrunner_parallel.records import record_to_json

    task = client.get_task(session.session_id, task_id)
    links = [] if task.summary.is_over else chain(client, session.session_id, task_id)
    if run.settings.as_json:
        waits = [record_to_json(wait) for wait in links[0].waits] if links else []
        return run.out.document(task=record_to_json(task), waits=waits)
    run.out.sentence(f"{_place(session, task)} {_state(task.summary)}")
    for link in links:
        for line in _link_lines(link, links, session):
            run.out.sentence(line)
    return _tell_next(run, session, task.summary, bool(links and links[0].waits))


def _link_lines(link: Link, links: Sequence[Link], session: Session) -> list[str]:
    """The reasons of the task itself as a list; below them, deeper each time, those of what it waits for."""
    told = link_sentences(link, links)
    if not link.depth:
        return [f"- {sentence}" for sentence in told]
    name = link.task_id if link.session_id == session.session_id else f"{link.session_id}/{link.task_id}"
    if not link.task_id:
        name = f"session {link.session_id}, by hand"
    return [f"{'  ' * link.depth}{name}: {sentence}" for sentence in told]


def _place(session: Session, task: Task) -> str:
    return f"Task {task.summary.task_id} of session {session.session_id} ({session.name})"


def _state(task: TaskSummary) -> str:
    now = phrases.utc_now()
    status = task.status.value
    on = f" on worker {task.worker_id}" if task.worker_id else ""
    if status in ("running", "cancelling"):
        since = phrases.span(task.started_at, None, now)
        what = "runs" if status == "running" else "is being stopped"
        return f"{what}{on}" + (f", started {since} ago" if since else "") + _try(task)
    if status == "assigned":
        return f"was given to worker {task.worker_id}, which starts it with its next free slot{_try(task)}"
    if task.is_over:
        why = f": {phrases.error_phrase(task.error or task.reason)}" if task.error or task.reason else ""
        when = f" {phrases.age(task.ended_at, now)}" if task.ended_at else ""
        return f"{'was ' if status in ('skipped', 'cancelled') else ''}{status}{when}{why}"
    return f"is {status}, and does not run because:"


def _try(task: TaskSummary) -> str:
    return f" (attempt {task.attempt})" if task.attempt > 1 else ""


def _tell_next(run: Invocation, session: Session, task: TaskSummary, waits: bool) -> None:
    place = (session.session_id, task.task_id)
    if task.is_over or task.status.value in ("running", "cancelling"):
        run.out.hint(f"Its output:    {run.command_line('logs', *place, *(() if task.is_over else ('-f',)))}")
    elif not waits and task.status.value != "assigned":
        run.out.line("- nothing in particular: it starts with the next free slot")
    run.out.hint(f"All about it:  {run.command_line('show', *place)}")
