"""Names, paths, errors and output that try to take the terminal over, in every command there is.

Each call of shapes.py meets them wherever somebody else's text may stand: escape sequences, links and
clipboard commands, markup, direction marks, newlines, NUL, invisible and wide characters, ten thousand of
them.
"""

from __future__ import annotations

import json
import re
import shlex

import pytest
from rich.cells import cell_len

from buildrunner_parallel.cli import cleanup, invocation, sessions
from buildrunner_parallel.errors import LockConflictError, NotFoundError
from tests.cli.scene import set_scene
from tests.cli.shapes import SHAPES
from tests.cli.test_cli_every_command import ASKING
from tests.cli.test_cli_golden import BAR, LIVE, STREAMS

TITLE = "\x1b]0;owned\x07"
LINK = "\x1b]8;;mailto:x@y.example\x1b\\click\x1b]8;;\x1b\\"
CLIPBOARD = "\x1b]52;c;cm0gLXJm\x07"
EVIL = f"{TITLE}{LINK}{CLIPBOARD} [red]x[/red][link=y] \u202etxt.exe\u2066\u200b\ufeff"
EVIL += "\nsecond\tline\r\x00\x9b2J\x1b[2J"
WIDE = "名前がとても長い🦀👩‍👩‍👧é̂"
LONG = "x" * 10_000
# What these write to a pipe are the bytes of others, or lines of their programs.
RAW = {"logs", "logs-session", "show-result", "show-patch"}
BAD = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
BAD = (BAD | {"\u200b", "\ufeff"}) - {"\n", "\t"}
# Output of programs: more lines of it are more lines.
MANY_LINES = {"logs-tag", "show", "wait", "wait-task", "start-watch", "retry-wait", "start-wait"}


def hostile(word):
    """Puts it behind every text of the scene; paths keep the slash that says what they are."""
    return lambda text: f"{text.removesuffix('/')}{word}{'/' if text.endswith('/') else ''}"


@pytest.fixture
def call(fake, br, terminal, tmp_path, monkeypatch):
    """Runs a shape among hostile words, in a pipe or on a terminal."""

    def run(shape, word, *options, columns=0, folder="place"):
        place = tmp_path / folder
        place.mkdir()
        monkeypatch.chdir(place)
        set_scene(fake, place, monkeypatch, hostile(word))
        words = [*options, *shlex.split(shape.words)]
        if columns:
            return terminal(*words, columns=columns, input=shape.given)
        return br(*words, input=shape.given)

    return run


def unharmed(text):
    """The characters of `text` that no terminal should get."""
    return sorted(BAD & set(text))


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_hostile_reaches_a_pipe_and_a_record_stays_one_line(call, name):
    shape = SHAPES[name]
    usual = call(shape, "", folder="usual")
    result = call(shape, EVIL, folder="evil")
    assert result.exit_code == usual.exit_code, result.output
    assert unharmed(result.stderr) == []
    if name in RAW:
        assert EVIL.encode() in result.stdout_bytes
        return
    assert unharmed(result.stdout) == []
    if name not in MANY_LINES:
        assert len(result.stdout.splitlines()) == len(usual.stdout.splitlines())
        assert len(result.stderr.splitlines()) == len(usual.stderr.splitlines())


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in LIVE])
def test_nothing_hostile_reaches_a_terminal_and_markup_is_text(call, name):
    result = call(SHAPES[name], EVIL, columns=200)
    shown = BAR.sub("", result.output)
    assert unharmed(shown) == []
    for word in ("\x1b]", "\x1b[2J", "\x9b", "\u202e"):
        assert word not in result.output, "not even while a bar is drawn"
    # The dashboard's cells end before it; its own tests try shorter names.
    if "owned" in shown and not name.startswith("dashboard"):
        assert "[red]" in re.sub(r"\s", "", shown), "markup is text like any other"


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in LIVE])
def test_wide_characters_keep_to_the_width_of_the_terminal(call, name):
    result = call(SHAPES[name], WIDE, columns=80)
    long = [line for line in BAR.sub("", result.stdout).splitlines() if cell_len(line) > 80]
    assert not [line for line in long if "br parallel " not in line] or name.partition("-")[0] in STREAMS


@pytest.mark.parametrize("name", SHAPES)
def test_ten_thousand_characters_are_only_long(call, name):
    result = call(SHAPES[name], LONG)
    assert result.exit_code == SHAPES[name].code, result.output[-500:]
    assert "Traceback" not in result.output and "Internal error" not in result.stderr
    assert max(map(len, result.stderr.splitlines()), default=0) < 30_000


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.has_json])
def test_json_keeps_the_text_and_escapes_it(call, name):
    result = call(SHAPES[name], EVIL, "--json")
    assert result.stdout.isascii() and unharmed(result.stdout) == []
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    if "owned" in result.stdout:
        assert EVIL in "".join(_texts(documents))


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@pytest.mark.parametrize("name", ASKING)
def test_errors_of_the_coordinator_are_made_harmless_and_are_one_line(fake, br, monkeypatch, tmp_path, name):
    def fail(*_, **__):
        raise NotFoundError(f"no such thing: {EVIL}")

    set_scene(fake, tmp_path, monkeypatch)
    (tmp_path / "p.yaml").write_text("tasks: [{id: a, run: 'true'}]\n")
    monkeypatch.setattr(invocation, "open_client", fail)
    result = br(name, *ASKING[name])
    assert (result.exit_code, result.stdout, unharmed(result.stderr)) == (4, "", [])
    assert len(result.stderr.splitlines()) == 1


def test_a_refusal_with_hostile_holders_has_a_line_for_each(fake, br, monkeypatch, tmp_path):
    set_scene(fake, tmp_path, monkeypatch, hostile(EVIL))
    conflicts = fake.listing.waiters[0].conflicts * 2
    fake.failing["acquire_locks"] = LockConflictError(f"Files already locked: {EVIL}", conflicts=conflicts)
    result = br("lock", "a3f2", "src/app.py")
    assert (result.exit_code, result.stdout, unharmed(result.stderr)) == (5, "", [])
    assert len(result.stderr.splitlines()) == 3


@pytest.mark.parametrize("words", [["cancel", "a3f2"], ["cancel", "--all"], ["cleanup", "--days", "0"]])
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_questions_are_harmless_and_wait_for_a_yes(fake, br, monkeypatch, tmp_path, words, answer, code):
    set_scene(fake, tmp_path, monkeypatch, hostile(EVIL))
    for module in (sessions, cleanup):
        monkeypatch.setattr(module, "can_ask", lambda run: True)
    result = br(*words, input=answer)
    assert result.exit_code == code, result.output
    assert unharmed(result.output) == []
    changed = {"cancel_session"} & {call[0] for call in fake.calls}
    really = [call for call in fake.calls if call[0] == "delete_sessions" and "dry_run" not in call[-1]]
    assert bool(changed or really) == (code == 0)
    if code == 130:
        assert result.stderr.endswith("Interrupted; nothing was changed.\n")


@pytest.mark.parametrize(
    "words",
    [
        ["status", EVIL],
        ["show", "a3f2", EVIL],
        ["list", "--status", EVIL],
        ["list", "--limit", EVIL],
        [EVIL],
        ["start", "x", "--plan", f"{EVIL.replace(chr(0), '')}.yaml"],
        ["start", "x", "--on-failure", EVIL],
        ["submit", "a3f2", "--env", EVIL, "--", "true"],
        ["submit", "a3f2", "--timeout", EVIL, "--", "true"],
        ["wait", "a3f2", "--timeout", EVIL],
        ["schema", EVIL],
        ["locks", "--since", EVIL],
        ["backup", f"/nowhere/{EVIL.replace(chr(0), '')}"],
        ["--coordinator", EVIL, "list"],
        ["story", EVIL],
        ["drain", EVIL],
    ],
    ids=lambda words: " ".join(word for word in words if word.isprintable()),
)
def test_what_was_typed_comes_back_harmless_in_one_line(fake, br, monkeypatch, tmp_path, words):
    set_scene(fake, tmp_path, monkeypatch)
    result = br(*words)
    assert unharmed(result.output) == []
    assert result.exit_code == 0 or len(result.stderr.splitlines()) == 1
