"""The command that begins a session: start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from buildrunner_parallel.bounds import MOST_COUNT, MOST_WORKERS

from . import submit_options as told
from .command import command
from .following import await_session, watch_session
from .help_page import ShownCommand
from .invocation import Invocation
from .phrases import number_of
from .places import load_local_plan, submitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.plan import Plan
    from buildrunner_parallel.records import Session
    from buildrunner_parallel.specs import FailurePolicy

    from .line_source import LineSource
    from .lines import Lines

app = typer.Typer()

DEFAULT_WORKERS = 3


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The session's name; else the plan's, the file's or CMD.")
]
TemplateWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="-- CMD ARGS...", help="Run for each line of --args, put in for {}."),
]
TasksOption = Annotated[
    int | None,
    typer.Option(
        "--tasks",
        "-t",
        min=0,
        max=MOST_COUNT,
        metavar="N",
        help="How many tasks will be submitted from outside; 0: not known.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=0,
        max=MOST_WORKERS,
        metavar="N",
        help="Worker processes for it alone.",
        show_default=f"{DEFAULT_WORKERS}, or the plan's",
    ),
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Show the dashboard until the end.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the end (exit code 0, 6 or 7).")]
PlanOption = Annotated[
    str, typer.Option("--plan", metavar="FILE", help="Tasks from YAML, JSON or TOML; - is YAML on stdin.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would run, and start nothing.", show_default=False)
]
OnFailureOption = Annotated[
    str,
    typer.Option("--on-failure", metavar="POLICY", help="continue, finish-running[:N] or stop-now[:N]."),
]
MaxParallelOption = Annotated[
    int | None,
    typer.Option(
        "--max-parallel", min=1, max=MOST_COUNT, metavar="N", help="At most so many of its tasks at once."
    ),
]


class TemplateCommand(ShownCommand):
    """A command whose words after `--` are never taken for its NAME, even where that is left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:at])
        if ctx.params.get("words") and not ctx.resilient_parsing:
            found = " ".join(ctx.params["words"])
            raise typer.BadParameter(
                f"found {found!r} after the name; put -- before a command to run", ctx=ctx
            )
        ctx.params["words"] = args[at + 1 :]
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", "[NAME]", "[-- CMD ARGS...]"]


@command(app, "start", cls=TemplateCommand)
@told.with_task_options
def start(
    run: Invocation,
    options: told.TaskOptions,
    name: NameArgument = "",
    words: TemplateWords = None,
    tasks: TasksOption = None,
    workers: WorkersOption = None,
    watch: WatchOption = False,
    wait: WaitOption = False,
    plan: PlanOption = "",
    commands: told.CommandsFile = "",
    arguments: told.ArgsFile = "",
    null: told.Null = False,
    dry_run: DryRunOption = False,
    on_failure: OnFailureOption = "",
    max_parallel: MaxParallelOption = None,
) -> None:
    """Start a session: its workers, and its tasks if there are any.

    Tasks come from a plan, from lines, or with `submit`. Without --wait and --watch it returns once the
    session runs.
    """
    from .lines import asked_lines

    lines = asked_lines(commands, arguments, words, null)
    _check(plan, lines, tasks, options, dry_run)
    policy = _policy(on_failure)
    loaded = load_local_plan(run, plan) if plan else None
    if dry_run:
        return _show(run, loaded, lines, options)
    settings = _settings(loaded, workers, policy, max_parallel)
    create = {"name": _name(name, loaded, lines, bool(plan)), **settings}
    stay = watch_session if watch else await_session if wait else None
    run.come_back = f"Whether it had begun is shown by: {run.command_line('list')}"
    with run.client() as client:
        if lines is not None:
            return _start_lines(run, client, lines, options, create, stay)
        session = _begin(client, create, loaded, tasks or 0)
        if stay is None:
            return _tell(run, session)
        run.out.streamed_sentence(_phrase(session))
        return stay(run, client, session)


def _check(
    plan: str, lines: Lines | None, tasks: int | None, options: told.TaskOptions, dry_run: bool
) -> None:
    """Raises BadParameter for options that contradict each other."""
    if plan and lines is not None:
        raise typer.BadParameter("tasks come from one place: --plan, --commands or --args")
    if tasks is not None and (plan or lines is not None):
        raise typer.BadParameter(
            f"{'a plan says itself' if plan else 'lines say themselves'} how many tasks there are: "
            "leave --tasks out",
            param_hint="--tasks",
        )
    if plan:
        options.refuse("is for the tasks of lines; a plan has `defaults` for all its tasks")
    if lines is None:
        options.refuse("is for the tasks of --commands or --args; `submit` takes it for one task")
    else:
        options.check()
    if dry_run and not plan and lines is None:
        raise typer.BadParameter(
            "there is nothing to show without --plan, --commands or --args", param_hint="--dry-run"
        )


def _policy(text: str) -> FailurePolicy | None:
    if not text:
        return None
    from buildrunner_parallel.plan.schema import parse_on_failure
    from buildrunner_parallel.specs import FailurePolicy

    try:
        policy = parse_on_failure(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--on-failure") from None
    return FailurePolicy(policy.kind, policy.limit)


def _name(name: str, loaded: Plan | None, lines: Lines | None, has_plan: bool) -> str:
    found = name or (loaded.name if loaded and loaded.name else "") or (lines.name if lines else "")
    if not found:
        raise typer.BadParameter(
            "give the session a name" + (", here or in the plan" if has_plan else ""), param_hint="NAME"
        )
    return found


def _settings(
    plan: Plan | None, workers: int | None, policy: FailurePolicy | None, max_parallel: int | None
) -> dict[str, Any]:
    """What the session is created with: the command line wins over the plan."""
    from buildrunner_parallel.specs import FailurePolicy

    if policy is None and plan and plan.on_failure:
        policy = FailurePolicy(plan.on_failure.kind, plan.on_failure.limit)
    if workers is None:
        workers = plan.workers if plan and plan.workers is not None else DEFAULT_WORKERS
    if max_parallel is None and plan:
        max_parallel = plan.max_parallel
    return {"wanted_workers": workers, "on_failure": policy, "max_parallel": max_parallel or 0}


def _show(run: Invocation, loaded: Plan | None, lines: Lines | None, options: told.TaskOptions) -> None:
    from .dry_run import show_tasks

    if loaded is not None:
        return show_tasks(run, submitter().specs(loaded.tasks))
    assert lines is not None, "a dry run of nothing"
    with lines.opened() as source:
        tasks = lines.tasks(run, submitter(), options.task())
        numbered = enumerate((line for line in source.lines() if line is not None), start=1)
        return show_tasks(run, (tasks.spec(line, number) for number, line in numbered))


def _begin(client: Client, create: dict[str, Any], plan: Plan | None, tasks: int) -> Session:
    if plan is None:
        created = client.create_session(**create, declared_tasks=tasks)
        return client.start_session(created.session_id)
    session, _ = client.submit_plan(submitter(client).specs(plan.tasks), create=create, seal=True, start=True)
    return session


def _start_lines(
    run: Invocation,
    client: Client,
    lines: Lines,
    options: told.TaskOptions,
    create: dict[str, Any],
    stay: Callable[[Invocation, Client, Session], None] | None,
) -> None:
    from .lines import start_lines

    def announce(session: Session, source: LineSource) -> None:
        if run.settings.quiet and stay is None:
            run.out.always(session.session_id)
        elif stay is None or not run.settings.as_json:
            unknown = f"tasks from {source.name}" if source.count is None else ""
            run.out.streamed_sentence(_phrase(session, unknown))

    session = start_lines(run, client, lines, options.task(), create, announce, stay)
    _tell_fed(run, session)


def _tell(run: Invocation, session: Session) -> None:
    from buildrunner_parallel.records import record_to_json

    if run.settings.as_json:
        return run.out.document(session=record_to_json(session))
    if run.settings.quiet:
        return run.out.always(session.session_id)
    run.out.sentence(_phrase(session))
    return _hint(run, session)


def _tell_fed(run: Invocation, session: Session) -> None:
    """The end of a submission of lines, whose session was told of at its begin."""
    from buildrunner_parallel.records import record_to_json

    from .feeding import submitted_phrase

    if run.settings.as_json:
        return run.out.document(session=record_to_json(session))
    if session.counts.total:
        run.out.line(submitted_phrase(session.counts.total))
    else:
        run.out.line(f"Nothing to run, there were no lines: the session is {session.status.value}")
    return _hint(run, session)


def _hint(run: Invocation, session: Session) -> None:
    run.out.hint(f"Look at it:    {run.command_line('status', session.session_id)}")
    if session.open:
        run.out.hint(f"Add a task:    {run.command_line('submit', session.session_id)} -- CMD ARGS")
    if not session.is_over:
        run.out.hint(f"Wait for it:   {run.command_line('wait', session.session_id)}")


def _phrase(session: Session, unknown: str = "") -> str:
    tasks = unknown or number_of(session.total_tasks, "task")
    what = f"{tasks}, {number_of(session.wanted_workers, 'worker')}"
    return f"Session {session.session_id} ({session.name}) is {session.status.value}: {what}"
