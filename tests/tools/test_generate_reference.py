"""docs/reference.md and docs/schemas follow from the program, and the tool says when they do not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "reference.md"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "tools/generate_reference"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT / "docs" / "schemas", tmp_path / "schemas")
    shutil.copy(PAGE, tmp_path)
    return tmp_path


def test_what_is_committed_is_current() -> None:
    result = generate("--check")
    assert result.returncode == 0, result.stderr


def test_what_was_written_passes_the_check(tmp_path: Path) -> None:
    assert generate("--output", str(tmp_path)).returncode == 0
    assert generate("--output", str(tmp_path), "--check").returncode == 0


def test_a_page_that_is_not_current_is_told_with_the_target_that_mends_it(copy: Path) -> None:
    page = copy / "reference.md"
    page.write_text(page.read_text().replace("--max-parallel", "--most-parallel"))
    result = generate("--output", str(copy), "--check")
    assert result.returncode == 1
    assert result.stderr == "reference: reference.md does not follow from the program; run: make reference\n"
    assert "--most-parallel" in page.read_text()


def test_a_schema_that_is_missing_or_left_over_is_told_and_mended(copy: Path) -> None:
    (copy / "schemas" / "list.json").unlink()
    (copy / "schemas" / "gone.json").write_text("{}")
    result = generate("--output", str(copy), "--check")
    assert result.returncode == 1
    assert [line.split()[1] for line in result.stderr.splitlines()] == [
        "schemas/list.json",
        "schemas/gone.json",
    ]
    assert generate("--output", str(copy)).returncode == 0
    assert generate("--output", str(copy), "--check").returncode == 0


def test_every_command_every_key_and_every_code_is_told() -> None:
    from buildrunner_parallel.cli import exit_codes
    from buildrunner_parallel.cli.app import parallel_app

    text = PAGE.read_text()
    for info in parallel_app.registered_commands:
        assert f"\n### br parallel {info.name}\n" in text
    for code, meaning in exit_codes.MEANINGS.items():
        assert f"| `{code}` | {meaning} |" in text
    plan = json.loads((PROJECT / "docs/schemas/plan.json").read_text())
    for part in (plan, plan["$defs"]["task"], plan["$defs"]["options"]):
        for key in part["properties"].keys() - {"$schema"}:
            assert f"\n| `{key}` | " in text


def test_every_heading_is_there_once() -> None:
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.DOTALL), re.MULTILINE
    )
    anchors = [heading.lower() for heading in headings]
    assert len(set(anchors)) == len(anchors)
