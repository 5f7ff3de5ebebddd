"""Every page of docs/recipes is carried out to the letter, in a repository with its example."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, Town
from .pages import carry_out, steps_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAGES = ROOT / "docs/recipes"
EXAMPLES = {
    "build-graph": "cbuild", "coding-agents": "agents", "nightly": "nightly", "shared-pool": "pool",
    "test-shards": "shards",
}  # fmt: skip


def git(town: Town, *args: str) -> None:
    who = ("-c", "user.name=A Reader", "-c", "user.email=reader@localhost")
    subprocess.run(["git", *who, *args], cwd=town.folder, env=town.env, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_recipe_works_to_the_letter(town: Town, tmp_path: Path, name: str):
    if name == "build-graph" and shutil.which("cc") is None:
        pytest.skip("this recipe needs a C compiler, and there is no cc")
    # Without what somebody's own run left there.
    left = shutil.ignore_patterns("__pycache__", "times.json", "junit*.xml", "reports", ".buildrunner")
    shutil.copytree(ROOT / "examples" / EXAMPLES[name], town.folder, dirs_exist_ok=True, ignore=left)
    git(town, "add", "--all")
    git(town, "commit", "--quiet", "--message", "The example")
    page = tmp_path / f"{name}.md"
    # The port of the page may be taken here; everything else stands as it is.
    page.write_text((PAGES / f"{name}.md").read_text().replace("7070", str(free_port())))
    assert carry_out(page, town.folder, town.env) >= 5


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_files_that_a_recipe_shows_are_those_of_its_example(name: str):
    shown = [step for step in steps_of((PAGES / f"{name}.md").read_text()) if step.file]
    assert shown, "a recipe shows its plan"
    for step in shown:
        assert step.text == (ROOT / "examples" / EXAMPLES[name] / step.file).read_text()


def test_every_recipe_is_tried_here():
    assert {page.stem for page in PAGES.glob("*.md")} == set(EXAMPLES)
