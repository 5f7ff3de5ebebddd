"""The user's guide and the quick start are carried out to the letter."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, Town
from .pages import carry_out

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GUIDE = ROOT / "docs/guide.md"
QUICK_START = ROOT / "docs/quick-start.md"
# What the guide of BuildRunner 3.1 has a heading for, and where a reader of it finds that here.
HEADINGS = (
    "Overview", "Quick start", "How it is made", "Sessions", "Locks on files", "Workers", "The commands",
    "From programs", "Performance", "Good habits", "Troubleshooting", "Advanced topics", "Questions",
    "See also",
)  # fmt: skip
COMMANDS = (
    "start", "status", "list", "pause", "resume", "cancel", "dashboard", "workers", "summary", "cleanup",
)  # fmt: skip
QUESTIONS = 7


@pytest.mark.timeout(1200)
def test_the_guide_works_to_the_letter(town: Town):
    assert carry_out(GUIDE, town.folder, town.env) > 50


def test_the_guide_has_a_place_for_everything_that_the_one_of_3_1_had():
    text = GUIDE.read_text()
    assert set(HEADINGS) <= set(re.findall(r"^## (.+)$", text, re.M))
    assert len(re.findall(r"^\*\*[^*]+\?\*\*", text, re.M)) >= QUESTIONS
    unnamed = [name for name in COMMANDS if not re.search(rf"^\| `{name}\b", text, re.M)]
    assert unnamed == []


@pytest.mark.timeout(600)
def test_the_quick_start_works_to_the_letter(town: Town, tmp_path: Path):
    text = QUICK_START.read_text()
    assert len(text.splitlines()) <= 60, "one screen"
    # Its `make setup` is to do nothing here: tests fetch no packages.
    if subprocess.run(["make", "-q", ".venv/.ready"], cwd=ROOT, check=False).returncode:
        pytest.skip("the environment is missing or older than its requirements: make setup")
    home = town.env | {"HOME": str(tmp_path)}
    assert carry_out(QUICK_START, town.folder, home, starting_in=ROOT) == 8
