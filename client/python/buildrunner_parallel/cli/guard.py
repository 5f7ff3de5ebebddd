"""The group of commands that guard commits: guard install, guard remove, guard status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .command import command
from .invocation import Invocation
from .render import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.guard.install import HookState

app = typer.Typer()


@command(app, "install")
def install(
    run: Invocation,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse people too, instead of warning them.")
    ] = False,
) -> None:
    """Put the hooks into this repository, for all of its worktrees.

    A commit of a path that somebody else holds is refused within tasks, and so is one that nobody can check;
    people are warned. Hooks that are there already are run first, as before.
    """
    from buildrunner_parallel.guard import install as hooks

    found = hooks.install(strict=strict)
    _show(run, found, "Guards are installed")
    for one in found:
        if one.state == hooks.FOREIGN:
            theirs = one.path.parent.parent / one.name
            call = hooks.call_of(one)
            complain(f"{one.path} is husky's; to be told before a commit too, add {call} to {theirs}")
    for place in hooks.others_without():
        complain(f"core.hooksPath is relative, so {place} has hooks of its own: install there too")


@command(app, "remove")
def remove(run: Invocation) -> None:
    """Take the hooks out again, and put back what was there before."""
    from buildrunner_parallel.guard import install as hooks

    taken = hooks.remove()
    _show(
        run, hooks.look() if taken else (), "Guards are removed" if taken else "No guards are installed here"
    )


@command(app, "status")
def status(run: Invocation) -> None:
    """Show which hooks are installed, and where."""
    from buildrunner_parallel.guard import install as hooks

    found = hooks.look()
    are_there = any(one.state != hooks.ABSENT for one in found)
    _show(run, found, "" if are_there else "No guards are installed here")


def _show(run: Invocation, hooks: Sequence[HookState], sentence: str) -> None:
    if run.settings.as_json:
        run.out.document(hooks=[
            {"name": one.name, "path": str(one.path), "status": one.state, "strict": one.strict,
             "chained": one.chained}
            for one in hooks
        ])  # fmt: skip
        return
    if sentence:
        run.out.sentence(sentence)
    if hooks:
        run.out.table(
            ("hook", "status", "?1people", "?2runs first", "~file"),
            [
                (one.name, one.state, _people(one), "the hook from before" if one.chained else "",
                 str(one.path))
                for one in hooks
            ],
        )  # fmt: skip


def _people(hook: HookState) -> str:
    from buildrunner_parallel.guard import install as hooks

    if hook.state != hooks.INSTALLED:
        return ""
    return "refused" if hook.strict else "warned"
