"""The command that looks at a plan before it is submitted: preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .command import command
from .explaining import Reason, reasons
from .invocation import Invocation
from .phrases import number_of, wait_phrase
from .places import load_local_plan, submitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.plan import Plan
    from buildrunner_parallel.records import LockHolder, PathRequest, PlanConflict, PlanPreview

    from .render import Cell

app = typer.Typer()

# On terminals; a pipe gets all that the coordinator told.
SHOWN_LEVELS = 20
SHOWN_CONFLICTS = 20
SHOWN_REASONS = 20
SHOWN_HOLDERS = 3
SHOWN_NAMES = 6
BAR_LENGTH = 24


@command(app, "preview")
def preview(
    run: Invocation,
    plan: Annotated[str, typer.Option("--plan", metavar="FILE", help="The plan; - is YAML on stdin.")],
    session: Annotated[
        str, typer.Option("--session", metavar="ID", help="As if added to this session; else to a new one.")
    ] = "",
) -> None:
    """Show what a plan would do, before anything is submitted.

    Its shape, which tasks exclude each other over paths, and what would have to wait now, and for whom.
    """
    from buildrunner_parallel.records import record_to_json

    loaded = load_local_plan(run, plan)
    with run.existing() if session else run.client() as client:
        session_id = client.get_session(session).session_id if session else ""
        told = client.preview_plan(submitter(client).specs(loaded.tasks), session_id=session_id)
    if run.settings.as_json:
        return run.out.document(preview=record_to_json(told))
    if run.settings.quiet:
        return None
    run.out.facts(_facts(loaded, told, whole=not run.out.is_terminal))
    _show_levels(run, told)
    _show_conflicts(run, told)
    return _show_waits(run, told)


def _facts(plan: Plan, told: PlanPreview, *, whole: bool) -> dict[str, Cell]:
    widest = max(told.level_widths, default=0)
    facts: dict[str, Cell] = {"plan": plan.source}
    if plan.name:
        facts["name"] = plan.name
    facts["tasks"] = f"{told.task_count:,}"
    facts["needs"] = f"{told.need_count:,}"
    facts["levels"] = f"{len(told.level_widths):,}"
    facts["widest level"] = number_of(widest, "task")
    chain = " → ".join(told.longest_chain if whole else _ends(told.longest_chain))
    facts["longest chain"] = f"{len(told.longest_chain):,}: {chain}"
    return facts


def _ends(names: Sequence[str]) -> Sequence[str]:
    """All of few names; the first and the last of many."""
    return names if len(names) <= SHOWN_NAMES else (*names[: SHOWN_NAMES - 2], "…", names[-1])


def _show_levels(run: Invocation, told: PlanPreview) -> None:
    widths = told.level_widths[:SHOWN_LEVELS] if run.out.is_terminal else told.level_widths
    if len(told.level_widths) < 2:
        return
    widest = max(told.level_widths)
    run.out.line()
    rows = [(str(level), str(width), _bar(width, widest)) for level, width in enumerate(widths, start=1)]
    if run.out.is_terminal:
        run.out.table((">level", ">tasks", ""), rows)
    else:
        run.out.table(("level", "tasks"), [row[:2] for row in rows])
    _tell_rest(run, len(told.level_widths) - len(widths))


def _bar(width: int, widest: int) -> Cell:
    return ("█" * max(1, round(BAR_LENGTH * width / widest)), "cyan")


def _tell_rest(run: Invocation, count: int) -> None:
    if count > 0:
        run.out.line(f"and {count:,} more")


def _show_conflicts(run: Invocation, told: PlanPreview) -> None:
    run.out.line()
    if not told.conflict_count:
        return run.out.sentence("No two tasks exclude each other over paths")
    pairs = number_of(told.conflict_count, "pair")
    run.out.sentence(f"{pairs} of tasks cannot run at the same time, since they work on the same paths:")
    shown = told.conflicts[:SHOWN_CONFLICTS] if run.out.is_terminal else told.conflicts
    run.out.table(("task", "~path", "other", "~its path"), [_conflict_row(one) for one in shown])
    return _tell_rest(run, told.conflict_count - len(shown))


def _conflict_row(one: PlanConflict) -> tuple[Cell, ...]:
    return (one.task_id, _path(one.path), one.other_task_id, _path(one.other_path))


def _path(request: PathRequest | None) -> str:
    """A path as people write it in a plan."""
    if request is None:
        return ""
    slash = "/" if request.kind == "tree" and not request.path.endswith("/") else ""
    return f"{request.path}{slash}" + (" (shared)" if request.mode == "shared" else "")


def _show_waits(run: Invocation, told: PlanPreview) -> None:
    run.out.line()
    if not told.waits:
        return run.out.sentence("Nothing that runs now is in the way")
    found = reasons(told.waits)
    shown = found[:SHOWN_REASONS] if run.out.is_terminal else found
    run.out.sentence(f"{number_of(len(told.waits), 'task')} would have to wait now:")
    run.out.table(("tasks", "~why", "~in the way"), [_reason_row(reason) for reason in shown])
    return _tell_rest(run, len(found) - len(shown))


def _reason_row(reason: Reason) -> tuple[Cell, ...]:
    ids = reason.task_ids
    named = ids[0] if len(ids) == 1 else f"{ids[0]} and {number_of(len(ids) - 1, 'other')}"
    holders = reason.wait.holders
    shown = ", ".join(_holder(holder) for holder in holders[:SHOWN_HOLDERS])
    rest = len(holders) - SHOWN_HOLDERS
    return (named, wait_phrase(reason.wait), f"{shown} and {rest} more" if rest > 0 else shown)


def _holder(holder: LockHolder) -> str:
    """As other commands take it: session and task, or the session that holds it by hand."""
    if holder.task_id:
        return f"{holder.session_id}/{holder.task_id}"
    return f"{holder.session_id} (by hand)" if holder.grant_id else holder.session_id
