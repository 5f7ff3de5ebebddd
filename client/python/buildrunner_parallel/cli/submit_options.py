"""The options of `submit`, one name each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import duration_option

_MANY = "May be repeated."

Words = Annotated[list[str] | None, typer.Argument(metavar="-- CMD ARGS...", help="Program and arguments.")]
Id = Annotated[str, typer.Option("--id", help="Task id; made up if left out.")]
Needs = Annotated[
    list[str] | None, typer.Option("--needs", metavar="ID", help=f"Must succeed first. {_MANY}")
]
Files = Annotated[
    list[str] | None, typer.Option("--file", metavar="PATH[:shared]", help=f"Lock this path. {_MANY}")
]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="K=V", help=f"Set a variable. {_MANY}")]
Cwd = Annotated[str, typer.Option("--cwd", metavar="DIR", help="Where it runs; here if left out.")]
Timeout = Annotated[float | None, duration_option("--timeout", "Stop it after this long.")]
Grace = Annotated[float | None, duration_option("--grace", "Between SIGTERM and SIGKILL.")]
Retries = Annotated[int, typer.Option("--retries", min=0, max=1000, help="Try again so often.")]
Priority = Annotated[int, typer.Option("--priority", min=-1000, max=1000, help="Higher goes first.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="L", help=f"The worker must have it. {_MANY}")
]
Slots = Annotated[int, typer.Option("--slots", min=1, help="Slots that it takes.")]
Worker = Annotated[str, typer.Option("--worker", metavar="ID", help="Only this worker.")]
PassEnv = Annotated[
    list[str] | None, typer.Option("--pass-env", metavar="GLOB", help=f"Pass variables of yours on. {_MANY}")
]
Handler = Annotated[str, typer.Option("--handler", metavar="NAME", help="Run a worker's handler.")]
PayloadFile = Annotated[
    Path | None,
    typer.Option("--payload", metavar="FILE", allow_dash=True, help="What the handler gets; - is stdin."),
]
PlanFile = Annotated[str, typer.Option("--plan", metavar="FILE", help="Add the tasks of a plan file.")]
