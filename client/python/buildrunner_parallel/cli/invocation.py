"""One run of the program: where the coordinator is, how to speak, how to reach it.

The SDK is loaded only when a command asks for a client.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .render import Output

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client


@dataclass(frozen=True)
class Settings:
    """The options that every command takes, gathered from before and after its name."""

    program: str = "br parallel"
    coordinator: str | None = None
    token_file: Path | None = None
    as_json: bool = False
    no_color: bool = False
    quiet: bool = False

    def with_options(
        self,
        coordinator: str | None,
        token_file: Path | None,
        as_json: bool | None,
        no_color: bool | None,
        quiet: bool | None,
    ) -> Settings:
        """These settings with what was given nearer to the command laid over them; None is not given."""
        return replace(
            self,
            coordinator=coordinator or self.coordinator,
            token_file=token_file or self.token_file,
            as_json=as_json or self.as_json,
            no_color=no_color or self.no_color,
            quiet=quiet or self.quiet,
        )


# Long enough for a coordinator that is being started again, short enough for a mistyped address.
REACH_TIMEOUT_S = 8.0


class Invocation:
    """What a command gets: its settings, its output, and the way to the coordinator."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Said when the user interrupts: how to come back to what goes on.
        self.come_back = ""
        # Standard input is read for something else than keys.
        self.reads_stdin = False
        # Said of a lock that is in the way: what to do if there is time.
        self.waiting = "wait for it"

    @cached_property
    def out(self) -> Output:
        settings = self.settings
        return Output(as_json=settings.as_json, no_color=settings.no_color, quiet=settings.quiet)

    def client(self) -> Client:
        """The coordinator, started if need be: for commands that create something."""
        return open_client(self.settings, start=True)

    def existing(self) -> Client:
        """The coordinator of a workspace that was used before; NoStateError when it was not."""
        return open_client(self.settings, start=False)

    def reader(self) -> AbstractContextManager[Client | None]:
        """Like `existing`, with None for a workspace without any state."""
        from buildrunner_parallel.errors import NoStateError

        try:
            return self.existing()
        except NoStateError:
            return nullcontext(None)

    def command_line(self, *arguments: str) -> str:
        """A command to show to the user, ready to be typed here."""
        where = ("--coordinator", self.settings.coordinator) if self.settings.coordinator else ()
        return f"{self.settings.program} {shlex.join((*arguments, *where))}"


def open_client(settings: Settings, *, start: bool) -> Client:
    """Connects as the SDK does; tests put their own client here."""
    from buildrunner_parallel.client import CONNECT_TIMEOUT_S, Client
    from buildrunner_parallel.discovery import explicit_address

    given = explicit_address(settings.coordinator) is not None
    return Client.connect(
        settings.coordinator,
        token_file=settings.token_file,
        start=start,
        timeout_s=REACH_TIMEOUT_S if given else CONNECT_TIMEOUT_S,
    )


def program_name(name: str, group: str) -> str:
    """How the user would call this program again: by its name if the PATH has it, else by its path."""
    called = Path(sys.argv[0])
    if called.name != name:
        return f"{name} {group}".strip()
    found = shutil.which(name)
    if found and called.exists() and Path(found).samefile(called):
        return f"{name} {group}".strip()
    try:
        shown = str(called.absolute().relative_to(Path.cwd()))
    except ValueError:
        shown = str(called)
    return f"{shlex.quote(shown)} {group}".strip()
