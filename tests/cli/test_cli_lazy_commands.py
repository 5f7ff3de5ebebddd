"""What the groups say of their commands without loading them is what the commands say themselves."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from buildrunner_parallel import cli
from buildrunner_parallel.cli import command_table
from buildrunner_parallel.cli.app import br_app, guard_app, parallel_app
from buildrunner_parallel.cli.lazy_command import add_lazily

GROUPS = {"PARALLEL": command_table.PARALLEL, "GUARD": command_table.GUARD}
ROWS = [(group, name) for group, table in GROUPS.items() for name in table]


def commands_of(app: typer.Typer) -> dict[str, Any]:
    """The commands of a group, as whoever walks them sees them."""
    group: Any = get_command(app)
    return dict(group.commands)


def registered(module):
    """The commands that a module of the command line has."""
    app = getattr(import_module(f"{cli.__name__}.{module}"), "app", None)
    return {info.name: info for info in app.registered_commands} if isinstance(app, typer.Typer) else {}


@pytest.mark.parametrize(("group", "name"), ROWS)
def test_the_table_has_each_command_with_the_words_of_its_own_help(group, name):
    module = GROUPS[group][name][0]
    callback = registered(module)[name].callback
    said = " ".join((inspect.getdoc(callback) or "").partition("\n\n")[0].split())
    assert GROUPS[group][name] == (module, said), f'command_table.py: "{name}": ("{module}", "{said}"),'


def test_every_sentence_fits_beside_the_longest_name_on_a_terminal_of_80_columns():
    for table in GROUPS.values():
        # Typer leaves two columns free; each line has two before the name and two behind it.
        room = 78 - 4 - max(map(len, table))
        assert [sentence for _, sentence in table.values() if len(sentence) > room] == []


def test_the_table_has_every_command_that_there_is():
    there_are = {
        (found.name, name)
        for found in pkgutil.iter_modules(cli.__path__)
        if found.name not in ("app", "__main__")
        for name in registered(found.name)
    }
    assert {(module, name) for table in GROUPS.values() for name, (module, _) in table.items()} == there_are


@pytest.mark.parametrize("columns", ["60", "80", "200"])
@pytest.mark.parametrize("group", GROUPS)
def test_a_group_of_lazy_commands_shows_the_help_of_a_group_of_real_ones(group, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lazy, real = typer.Typer(rich_markup_mode=None), typer.Typer(rich_markup_mode=None)
    add_lazily(lazy, GROUPS[group])
    for name, (module, _) in GROUPS[group].items():
        real.registered_commands.append(registered(module)[name])
    helps = [CliRunner().invoke(app, ["--help"], prog_name="br").stdout for app in (lazy, real)]
    assert helps[0] == helps[1]


@pytest.mark.parametrize("group", ["parallel", "guard"])
def test_whoever_walks_the_commands_finds_the_options_and_help_of_the_real_ones(group):
    app, table = (parallel_app, "PARALLEL") if group == "parallel" else (guard_app, "GUARD")
    for name, command in commands_of(app).items():
        if name == "guard":
            continue
        info = registered(GROUPS[table][name][0])[name]
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.registered_commands.append(info)
        real = get_command(alone)
        assert [one.opts for one in command.params] == [one.opts for one in real.params]
        assert command.help == real.help == inspect.getdoc(info.callback)
        assert command.context_settings == real.context_settings
        assert command.epilog == real.epilog


def test_an_attribute_that_no_command_has_is_not_made_up():
    status = commands_of(guard_app)["status"]
    with pytest.raises(AttributeError, match="no attribute 'flavour'"):
        _ = status.flavour


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant():
    result = CliRunner().invoke(br_app, ["parallel", "statsu"], prog_name="br")
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr and "'status'" in result.stderr


def test_another_program_mounts_the_whole_group():
    other = typer.Typer()
    other.add_typer(parallel_app, name="builds")
    result = CliRunner().invoke(other, ["builds", "guard", "install", "--help"], prog_name="other")
    assert result.exit_code == 0
    assert "Usage: other builds guard install" in result.stdout
    result = CliRunner().invoke(other, ["builds", "list", "--limit", "0"], prog_name="other")
    assert result.exit_code == 2
