"""The pictures of docs/captures are sound, keep to themselves, and show what the program says today."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "docs/captures"
NAMES = ("dashboard", "explain", "help", "list", "locks", "status", "summary", "workers")
PAGES = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.svg").read_text()


def words_of(name: str) -> list[str]:
    """The lines of the terminal, each as its words."""
    lines: dict[str, list[str]] = {}
    for y, text in re.findall(
        r'<text class="[^"]+" x="[^"]+" y="([^"]+)"[^>]*>([^<]+)</text>', text_of(name)
    ):
        lines.setdefault(y, []).append(unescape(text))
    return [" ".join(" ".join(pieces).split()) for pieces in lines.values()]


def test_every_picture_is_there_and_no_other():
    assert sorted(file.stem for file in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_sound_small_and_says_what_it_shows(name: str):
    tree = ET.fromstring(text_of(name))
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert (tree.findtext("{http://www.w3.org/2000/svg}title") or "").startswith("br parallel")
    assert len(text_of(name)) < 60_000


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_needs_nothing_from_elsewhere(name: str):
    text = text_of(name).replace("http://www.w3.org/2000/svg", "", 1)
    assert re.findall(r"https?:|//|@import|@font-face|href|<script|<image|url\((?!#)", text) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_tells_nothing_of_the_machine_that_it_was_made_on(name: str):
    told = "\n".join(words_of(name))
    assert re.findall(r"/tmp|/work|/home|/root|/var", told) == []
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", told)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_shown_on_a_page_with_a_text_in_its_place(name: str):
    shown = [re.findall(rf"!\[([^\]]+)\]\([\w/.]*captures/{name}\.svg\)", page.read_text()) for page in PAGES]
    assert max(len(alt) for alts in shown for alt in alts) > 20


def test_the_help_is_that_of_the_program():
    env = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": f"{PROJECT / 'client/python'}"}
    program = [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", "--help"]
    told = subprocess.run(program, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = [" ".join(line.split()) for line in told.splitlines() if line.strip()]
    assert words_of("help")[1:] == lines, "the help has changed: run make captures"
