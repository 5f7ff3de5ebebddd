"""A command whose module is loaded when it is called: the group's help and all other commands do without it.

What a group says of its commands, a name and a sentence each, stands in command_table.py.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

# What the command's own module says; all else of a command is the same for all, or stands in the table.
_OF_THE_REAL_ONE = ("callback", "context_settings", "epilog", "help", "options_metavar", "params")


class LazyCommand(TyperCommand):
    """Stands in a group for a command of `module`, and hands on to it what is asked of it alone."""

    module: str

    def __init__(self, name: str | None, **attributes: Any) -> None:
        super().__init__(name, **attributes)
        for attribute in _OF_THE_REAL_ONE:
            vars(self).pop(attribute, None)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_REAL_ONE:
            return getattr(self.loaded, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @cached_property
    def loaded(self) -> Any:
        """The real command."""
        known = import_module(f".{self.module}", __package__).app.registered_commands
        alone = typer.Typer(add_completion=False, rich_markup_mode=self.rich_markup_mode)
        alone.registered_commands += [info for info in known if info.name == self.name]
        return get_command(alone)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command, which is the one that will be invoked."""
        return self.loaded.make_context(info_name, args, parent, **extra)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The sentence of the table, cut as the first one of a command's help is."""
        return TyperCommand(self.name, help=self.short_help).get_short_help_str(limit)


def add_lazily(app: typer.Typer, commands: dict[str, tuple[str, str]]) -> None:
    """Registers commands, each by its name with its module here and its sentence."""
    for name, (module, sentence) in commands.items():
        kind = type("LazyCommand", (LazyCommand,), {"module": module})
        app.command(name, cls=kind, short_help=sentence)(_never_called)


def _never_called() -> None:
    raise AssertionError("a lazy command makes the context of the real one, which is then invoked")
