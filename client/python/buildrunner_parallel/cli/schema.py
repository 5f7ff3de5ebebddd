"""The command that prints the form of what people write and of what the program writes: schema."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from .command import command
from .invocation import Invocation

app = typer.Typer()

# Those of document_schemas.py, which is not loaded for a help page.
NAMES = (
    "plan", "start", "preview", "list", "status", "pause", "resume", "cancel", "close", "wait", "retry",
    "cleanup", "submit", "tasks", "show", "logs", "explain", "story", "joblog", "summary", "dashboard",
    "watch", "lock", "unlock", "locks", "guard", "workers", "scale", "drain", "info", "stop", "backup",
)  # fmt: skip


@command(app, "schema")
def schema(
    run: Invocation,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help=f"`plan`, or a command: {', '.join(NAMES[1:])}.")
    ],
) -> None:
    """Print the JSON Schema of a plan, or of what a command writes.

    Of a command it is that of the document that --json gives, and of a stream that of one line.
    """
    if name not in NAMES:
        raise typer.BadParameter(f"there is no schema of {name!r}: say plan, or a command", param_hint="NAME")
    from .document_schemas import named_schema

    # The schema is the document, with --json too: wrapped into another it would be of no use to an editor.
    indent = None if run.settings.as_json else 2
    sys.stdout.write(json.dumps(named_schema(name), indent=indent) + "\n")
