"""Every link and every file named in the documentation leads somewhere in this repository."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "client/*.md", "examples/*/*.md", "proto/*/*.md")
    for page in PROJECT.glob(pattern)
)
NAMED_ROOTS = ("client/", "docs/", "examples/", "proto/", "service/", "tests/", "tools/")


def without_code_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", without_code_blocks(page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return frozenset(heading.strip().replace(" ", "-") for heading in plain)


def links(page: Path) -> list[str]:
    text = without_code_blocks(page.read_text())
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_resolves(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} is not there"
        assert found.is_relative_to(PROJECT), f"{target} leads out of the repository"
        if anchor:
            assert anchor in anchors(found), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_file_named_in_passing_is_there(page: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|proto|md|yaml|toml|sql))`", page.read_text())
    missing = [name for name in named if name.startswith(NAMED_ROOTS) and not (PROJECT / name).exists()]
    assert not missing


def test_the_pages_that_readers_look_for_are_there() -> None:
    names = {str(page.relative_to(PROJECT)) for page in PAGES}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "client/README.md"} <= names
    pages = "architecture cli deviations operations plan-file protocol reliability states"
    assert {f"docs/{name}.md" for name in pages.split()} <= names


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One heading\n[a](b.md#c), [here](#one-heading)\n```\n[not](a-link.md)\n```\n")
    assert links(page) == ["b.md#c", "#one-heading"]
    assert anchors(page) == {"one-heading"}
