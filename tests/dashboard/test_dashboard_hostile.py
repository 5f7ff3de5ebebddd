"""No text that somebody else chose breaks a line's width, moves the cursor, or is read as markup."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from buildrunner_parallel.dashboard.cells import clean, cut, padded, width_of
from buildrunner_parallel.dashboard.pages import Detail
from buildrunner_parallel.dashboard.ui import Page, Ui
from buildrunner_parallel.dashboard.view import Scene, frame
from buildrunner_parallel.records import Wait, WaitKind
from buildrunner_parallel.text import output_line

from . import scenes
from .conftest import NOW, NOW_S

SGR = re.compile(r"\x1b\[[0-9;]*m|\x1b\[K$")
BAD = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"}

texts = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x07\x9b\n\r\t[]\\;mJ\u202e\u2066\u200d\ufe0f\u0301漢👩א"),
    ),
    max_size=60,
)


def check(picture, width, height):
    assert len(picture.lines) == height
    for line in picture.lines:
        text = "".join(part for part, _ in line)
        assert cell_len(text) == width, repr(text)
        bad = [char for char in text if unicodedata.category(char) in BAD]
        assert not bad, repr(text)
    for encoded in picture.encoded():
        assert "\x1b" not in SGR.sub("", encoded), repr(encoded)


PAGES = {
    "overview": Ui(),
    "compact": Ui(compact=True),
    "session": Ui(pages=(Page(), Page("session", "00000000"))),
    "task": Ui(pages=(Page(), Page("task", "00000000", "x"))),
    "typing": Ui(typing="x"),
    "help": Ui(helping=True),
}


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (151, 31), (200, 50)])
@pytest.mark.parametrize("page", PAGES)
def test_each_line_is_exactly_as_wide_as_the_terminal(page, size):
    names = scenes.HOSTILE
    full = scenes.full_task("00000000", "x", error=names[0])
    detail = Detail(
        "00000000", "x", full, (Wait(WaitKind.NEEDS, names=names),), tuple(map(output_line, names))
    )
    check(frame(Scene(scenes.hostile(), NOW, NOW_S, size[0], size[1], ui=PAGES[page], detail=detail)), *size)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(texts, min_size=3, max_size=4), st.integers(60, 220), st.integers(15, 60))
def test_so_it_is_whatever_the_names_are(names, width, height):
    board = scenes.hostile(tuple(names))
    check(frame(Scene(board, NOW, NOW_S, width, height)), width, height)
    ui = Ui(pages=(Page("session", "00000000"),)).told(names[0], "bad", NOW_S)
    check(frame(Scene(board, NOW, NOW_S, width, height, ui=ui)), width, height)


@settings(max_examples=300, deadline=None)
@given(texts, st.integers(0, 40))
def test_cut_and_padded_texts_have_the_width_they_are_given(text, width):
    safe = clean(text)
    assert width_of(cut(safe, width)) <= width
    assert width_of(padded(safe, width)) == width
    assert width_of(padded(safe, width, right=True)) == width


def test_markup_is_text():
    board = scenes.hostile(("[red]x[/red]", "[link=http://x]y"))
    text = frame(Scene(board, NOW, NOW_S, 80, 24)).plain()
    assert "[red]x[/red]" in text


def test_the_rich_form_keeps_markup_as_text_too():
    board = scenes.hostile(("[red]x[/red]",))
    assert "[red]x[/red]" in frame(Scene(board, NOW, NOW_S, 80, 24)).rich().plain
