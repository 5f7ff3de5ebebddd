"""Every program of docs/sdk.md does what the page says that it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Town

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs/sdk.md"
PROGRAM = re.compile(
    r"^```python\n(?:# (?P<file>\w+\.py)\n)?(?P<text>.*?)^```\n(?:```text\n(?P<told>.*?)^```\n)?", re.M | re.S
)


def test_the_programs_of_the_page_print_what_it_says(town: Town):
    ran = 0
    for number, program in enumerate(PROGRAM.finditer(PAGE.read_text())):
        if program["file"]:
            town.write(program["file"], program["text"])
            continue
        assert program["told"], f"the page does not say what this prints:\n{program['text']}"
        file = town.write(f"program_{number}.py", program["text"])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", str(file)],
            cwd=town.folder, env=town.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), f"{program['text']}\n{done.stderr}"
        assert done.stdout == program["told"], program["text"]
        ran += 1
    assert ran >= 7


def test_the_page_names_every_call():
    from buildrunner_parallel import Client

    named = set(re.findall(r"`(\w+)", PAGE.read_text()))
    calls = {name for name in dir(Client) if not name.startswith("_")}
    not_for_programs = {"report_worker_death", "address", "client_id", "workspace", "close"}
    assert calls - named - not_for_programs == set()


def test_the_page_names_every_error_that_programs_meet():
    from buildrunner_parallel import errors

    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")}
    assert kinds - set(re.findall(r"\w+Error", PAGE.read_text())) == set()
