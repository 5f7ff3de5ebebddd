"""Whatever is put in for bash reads as the value that was meant, however the beginning was typed."""

from __future__ import annotations

import random
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildrunner_parallel.cli.completing.bash_words import read_line, replacement

BREAKS = " \t\n\"'@><=;|&(:"
QUOTES = ["", "'", '"']
HARD = "a b'\"\\$`:=;()[]{}*?~#!|&<>é%/-"
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20) | st.text(
    HARD, min_size=1, max_size=12
)


def typed(text, quote):
    """How somebody types `text`, with the quote left open."""
    if quote == "'":
        return "'" + text.replace("'", "'\\''")
    if quote == '"':
        return '"' + "".join(f"\\{letter}" if letter in '$`"\\' else letter for letter in text)
    return "".join(letter if letter.isalnum() or letter in ":=" else f"\\{letter}" for letter in text)


def completed(value, at, quote):
    """The word on the line after a completion, or None; as bash makes it: what stands behind the last break,
    or behind the quote that is open, is replaced."""
    begun = typed(value[:at], quote)
    line = read_line(f"br x {begun}", BREAKS)
    assert (line.words, line.text) == (["br", "x"], value[:at])
    put_in = replacement(line, value)
    if put_in is None:
        return None
    if quote == "'":
        kept = begun[: begun.rindex("'") + 1]
    else:
        kept = begun[:1] if quote else typed(line.kept, "")
    return f"{kept}{put_in}{quote}"


@given(value=VALUES, at=st.integers(0, 20), quote=st.sampled_from(QUOTES))
def test_the_word_becomes_the_value(value, at, quote):
    word = completed(value, at, quote)
    if word is None:
        assert quote == '"' and "!" in value
    else:
        assert read_line(f"br {word} ", BREAKS).words == ["br", value]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_reads_the_word_as_the_value():
    pick = random.Random(5)
    values = ["".join(pick.choices(HARD, k=pick.randint(1, 10))) for _ in range(900)]
    values += [
        "$(touch x)",
        "`id`",
        "~",
        "~root",
        "*",
        "a b",
        "-n",
        "\\",
        "'",
        '"',
        "!!",
        "#",
        "{a,b}",
        "A=1",
    ]
    words = [completed(value, pick.randint(0, 8), pick.choice(QUOTES)) for value in values]
    made = [(value, word) for value, word in zip(values, words, strict=True) if word is not None]
    assert len(made) > 800
    script = "set +H\n" + "\n".join(f"printf '%s\\0' {word}" for _, word in made)
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, check=True, cwd="/")
    assert done.stdout.decode().split("\0")[:-1] == [value for value, _ in made]


@given(words=st.lists(VALUES, min_size=1, max_size=5))
def test_quoted_words_are_read_as_the_shell_reads_them(words):
    line = read_line(" ".join(["br", *map(shlex.quote, words)]), BREAKS)
    assert [*line.words, line.text] == ["br", *words]


def test_a_line_that_ends_in_a_backslash_or_a_blank():
    assert read_line("br a\\", BREAKS).text == "a"
    line = read_line("br 'a b'  ", BREAKS)
    assert (line.words, line.text, line.quote) == (["br", "a b"], "", "")
