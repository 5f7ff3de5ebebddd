"""Questions that are not answered: nothing is done, and standard output has nothing of them."""

from __future__ import annotations

import pytest
import typer

ASKING = {
    "cancel": (["cancel", "a3f2"], "cancel_session"),
    "cleanup": (["cleanup", "-d", "0"], "delete_sessions"),
}


@pytest.fixture(params=ASKING)
def asked(request, build, br, monkeypatch):
    """Runs a command that asks, on a terminal as far as it can tell; what it then did is in `done`."""
    module = "sessions" if request.param == "cancel" else "cleanup"
    monkeypatch.setattr(f"buildrunner_parallel.cli.{module}.can_ask", lambda _: True)
    arguments, call = ASKING[request.param]

    def run(answer):
        result = br(*arguments, input=answer)
        result.done = [one for one in build.calls if one[0] == call and not one[-1].get("dry_run")]
        return result

    return run


def test_yes_does_it(asked):
    result = asked("y\n")
    assert result.exit_code == 0
    assert result.done


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "perhaps\n"])
def test_anything_else_leaves_it(asked, answer):
    result = asked(answer)
    assert result.exit_code == 1
    assert result.done == []
    assert "Left as it was" in result.stdout
    assert "[y/N]" in result.stderr and "[y/N]" not in result.stdout


def test_ctrl_c_leaves_it_and_is_130(asked, monkeypatch):
    def interrupt(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise typer.Abort from None

    monkeypatch.setattr("typer.confirm", interrupt)
    result = asked(None)
    assert result.exit_code == 130
    assert result.done == []
    assert result.stderr.endswith("\nInterrupted. Nothing was changed.\n")


@pytest.mark.parametrize("arguments", [["cancel", "a3f2"], ["cancel", "--all"], ["cleanup", "-d", "0"]])
def test_without_a_terminal_it_is_wrong_usage_and_nobody_is_called(build, br, arguments):
    result = br(*arguments)
    assert result.exit_code == 2
    assert "without a terminal" in result.stderr
    assert build.calls == []
