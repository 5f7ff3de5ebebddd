"""The table of docs/clients.md: its shape is checked everywhere, its contents need all toolchains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.programs import ROOT, Programs, find_programs
from tests.conformance.running import FAILED, NOT_APPLICABLE, NOT_RUN, OK, Result
from tests.conformance.scenarios import Scenario, all_scenarios
from tests.conformance.table import BEGIN, END, draw, read_page, write_page

PAGE = ROOT / "docs" / "clients.md"
HERE = Path(__file__).parent
LANGUAGES = [
    Programs("Python", HERE),
    Programs("Go", HERE, ("./no-such-program",), not_applicable={"worker/a": "it has no such thing"}),
]


def _scenario(name: str) -> Scenario:
    return Scenario(name, f"{name} holds.", lambda _stage: None)


SCENARIOS = [_scenario("worker/a"), _scenario("client/b")]
RESULTS = [
    Result("Python", "worker/a", OK),
    Result("Python", "client/b", FAILED, "wanted 1, found 2\nmore"),
    Result("Go", "worker/a", NOT_APPLICABLE, "it has no such thing"),
]


def test_the_page_has_every_language_and_every_scenario() -> None:
    cells = read_page(PAGE)
    wanted = {(language.language, name) for language in find_programs() for name in all_scenarios()}
    assert set(cells) == wanted, "run: make conformance-table"
    assert set(cells.values()) <= {OK, NOT_APPLICABLE, NOT_RUN}, "a scenario failed when it was written"


def test_the_table_tells_what_is_not_ok_and_why() -> None:
    lines = draw(RESULTS, LANGUAGES, SCENARIOS).splitlines()
    assert lines == [
        "scenario  Python  Go",
        "worker/a  ok      n/a",
        "client/b  FAILED  not run",
        "",
        "Python client/b: FAILED: wanted 1, found 2",
        "Go worker/a: n/a: it has no such thing",
        "Go: not run: no-such-program is not built",
        "1 of 4 ok",
    ]


def test_what_is_written_to_the_page_is_read_back(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write_page(page, RESULTS, LANGUAGES, SCENARIOS)
    assert read_page(page) == {
        ("Python", "worker/a"): OK,
        ("Python", "client/b"): FAILED,
        ("Go", "worker/a"): NOT_APPLICABLE,
        ("Go", "client/b"): NOT_RUN,
    }
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| scenario | Python | Go |\n")
    assert "\n- Go, `worker/a`: it has no such thing\n" in text
    assert text.endswith(f"{END}\nafter\n")
    assert "stale" not in text


def test_a_language_that_is_not_run_keeps_its_results(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    write_page(page, RESULTS, LANGUAGES, SCENARIOS)
    write_page(page, [Result("Go", "client/b", OK)], LANGUAGES, SCENARIOS)
    cells = read_page(page)
    assert (cells["Python", "worker/a"], cells["Go", "client/b"]) == (OK, OK)


def test_a_page_without_the_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no table here\n")
    with pytest.raises(ValueError, match="has no"):
        write_page(page, RESULTS, LANGUAGES, SCENARIOS)
    assert page.read_text() == "no table here\n"
