"""The command that prints the form of what people write: schema."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from .command import command
from .invocation import Invocation

app = typer.Typer()


class SchemaOf(StrEnum):
    """What there is a schema of."""

    PLAN = "plan"


@command(app, "schema")
def schema(
    run: Invocation, of: Annotated[SchemaOf, typer.Argument(metavar="plan", help="Of a plan file.")]
) -> None:
    """Print the JSON Schema of a plan file, for editors."""
    from buildrunner_parallel.plan.json_schema import plan_schema

    # The schema is the document, with --json too: wrapped into another it would be of no use to an editor.
    indent = None if run.settings.as_json else 2
    sys.stdout.write(json.dumps({SchemaOf.PLAN: plan_schema}[of](), indent=indent) + "\n")
