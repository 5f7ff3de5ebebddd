"""The command that begins a session: start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .command import command
from .following import await_session, watch_session
from .invocation import Invocation
from .phrases import number_of
from .submit import is_local, submitter

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.plan import Plan
    from buildrunner_parallel.records import Session
    from buildrunner_parallel.specs import FailurePolicy

app = typer.Typer()

DEFAULT_WORKERS = 3


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The session's name; may come from the plan.")
]
TasksOption = Annotated[
    int | None,
    typer.Option("--tasks", "-t", min=0, help="How many tasks will be submitted from outside; 0: not known."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=0,
        help="Worker processes for it alone.",
        show_default=f"{DEFAULT_WORKERS}, or the plan's",
    ),
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Show the dashboard until the end.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the end (exit code 0, 6 or 7).")]
PlanOption = Annotated[
    str, typer.Option("--plan", metavar="FILE", help="Tasks from YAML, JSON or TOML; - is YAML on stdin.")
]
OnFailureOption = Annotated[
    str,
    typer.Option("--on-failure", metavar="POLICY", help="continue, finish-running[:N] or stop-now[:N]."),
]
MaxParallelOption = Annotated[
    int | None, typer.Option("--max-parallel", min=1, help="At most so many of its tasks at once.")
]


@command(app, "start")
def start(
    run: Invocation,
    name: NameArgument = "",
    tasks: TasksOption = None,
    workers: WorkersOption = None,
    watch: WatchOption = False,
    wait: WaitOption = False,
    plan: PlanOption = "",
    on_failure: OnFailureOption = "",
    max_parallel: MaxParallelOption = None,
) -> None:
    """Start a session: its workers, and the tasks of a plan if there is one."""
    if plan and tasks is not None:
        raise typer.BadParameter(
            "a plan says itself how many tasks there are: leave --tasks out", param_hint="--tasks"
        )
    policy = _policy(on_failure)
    loaded = _load(run, plan) if plan else None
    name = name or (loaded.name if loaded and loaded.name else "")
    if not name:
        raise typer.BadParameter(
            "give the session a name" + (", here or in the plan" if plan else ""), param_hint="NAME"
        )
    with run.client() as client:
        session = _begin(client, name, loaded, tasks or 0, _settings(loaded, workers, policy, max_parallel))
        if watch or wait:
            run.out.streamed_line(_phrase(session))
            (watch_session if watch else await_session)(run, client, session)
        else:
            _tell(run, session)


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


def _load(run: Invocation, location: str) -> Plan:
    from buildrunner_parallel.plan import load_plan

    return load_plan(location, check_machine=is_local(run))


def _settings(
    plan: Plan | None, workers: int | None, policy: FailurePolicy | None, max_parallel: int | None
) -> dict[str, object]:
    """What the session is created with: the command line wins over the plan."""
    from buildrunner_parallel.specs import FailurePolicy

    if policy is None and plan and plan.on_failure:
        policy = FailurePolicy(plan.on_failure.kind, plan.on_failure.limit)
    if workers is None:
        workers = plan.workers if plan and plan.workers is not None else DEFAULT_WORKERS
    if max_parallel is None and plan:
        max_parallel = plan.max_parallel
    return {"wanted_workers": workers, "on_failure": policy, "max_parallel": max_parallel or 0}


def _begin(client: Client, name: str, plan: Plan | None, tasks: int, settings: dict[str, object]) -> Session:
    if plan is None:
        created = client.create_session(name, declared_tasks=tasks, **settings)  # type: ignore[arg-type]
        return client.start_session(created.session_id)
    specs = submitter(client).specs(plan.tasks)
    session, _ = client.submit_plan(specs, create={"name": name, **settings}, seal=True, start=True)
    return session


def _tell(run: Invocation, session: Session) -> None:
    from buildrunner_parallel.records import record_to_json

    if run.settings.as_json:
        return run.out.document(session=record_to_json(session))
    if run.settings.quiet:
        return run.out.always(session.session_id)
    run.out.line(_phrase(session))
    run.out.hint(f"Look at it:    {run.command_line('status', session.session_id)}")
    if session.open:
        run.out.hint(f"Add a task:    {run.command_line('submit', session.session_id)} -- CMD ARGS")
    run.out.hint(f"Wait for it:   {run.command_line('wait', session.session_id)}")
    return None


def _phrase(session: Session) -> str:
    what = f"{number_of(session.total_tasks, 'task')}, {number_of(session.wanted_workers, 'worker')}"
    return f"Session {session.session_id} ({session.name}) is {session.status.value}: {what}"
