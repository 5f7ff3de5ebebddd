"""Language by scenario: as text, and as the table that docs/clients.md keeps between two markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .programs import Programs
from .running import FAILED, NOT_APPLICABLE, NOT_RUN, OK, Result
from .scenarios import Scenario

BEGIN = "<!-- table: make conformance-table -->"
END = "<!-- end of table -->"


def _cell(results: dict[tuple[str, str], Result], language: Programs, scenario: Scenario) -> str:
    result = results.get((language.language, scenario.name))
    return NOT_RUN if result is None else result.state


def _rows(
    results: Sequence[Result], languages: Sequence[Programs], scenarios: Sequence[Scenario]
) -> list[list[str]]:
    known = {(result.language, result.scenario): result for result in results}
    return [[one.name, *(_cell(known, language, one) for language in languages)] for one in scenarios]


def draw(results: Sequence[Result], languages: Sequence[Programs], scenarios: Sequence[Scenario]) -> str:
    """The table as text, with the reasons of all that is not ok below it."""
    head = ["scenario", *(language.language for language in languages)]
    rows = _rows(results, languages, scenarios)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    count = sum(result.state == OK for result in results)
    lines += ["", *reasons(results, languages), f"{count} of {len(languages) * len(scenarios)} ok"]
    return "\n".join(lines)


def reasons(results: Sequence[Result], languages: Sequence[Programs]) -> list[str]:
    """One line for each that is not ok, and for each language that was not run."""
    lines = [
        f"{result.language} {result.scenario}: {result.state}: {result.reason.splitlines()[0]}"
        for result in results
        if result.state in (FAILED, NOT_APPLICABLE, NOT_RUN) and result.reason
    ]
    lines += [f"{one.language}: {NOT_RUN}: {one.missing}" for one in languages if one.missing]
    return lines


def markdown(
    cells: Mapping[tuple[str, str], str], languages: Sequence[Programs], scenarios: Sequence[Scenario]
) -> str:
    """The table of docs/clients.md: each scenario with its sentence, `n/a` with its reason as a note."""
    head = ["scenario", *(one.language for one in languages)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for scenario in scenarios:
        row = [cells.get((one.language, scenario.name), NOT_RUN) for one in languages]
        lines.append(f"| `{scenario.name}`: {scenario.about} | {' | '.join(row)} |")
    notes = [
        f"- {one.language}, `{name}`: {reason}"
        for one in languages
        for name, reason in sorted(one.not_applicable.items())
    ]
    return "\n".join([*lines, *(["", "Not applicable:", "", *notes] if notes else [])])


def write_page(
    page: Path, results: Sequence[Result], languages: Sequence[Programs], scenarios: Sequence[Scenario]
) -> None:
    """Puts the table between the markers of `page`; what was not run now keeps what the page has of it.

    Raises ValueError when it has no markers.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    if END not in rest:
        raise ValueError(f"{page} has no {BEGIN} with {END} behind it")
    cells = read_page(page) | {(one.language, one.scenario): one.state for one in results}
    table = markdown(cells, languages, scenarios)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def read_page(page: Path) -> dict[tuple[str, str], str]:
    """What the table of `page` has for each language and scenario."""
    text = page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    head = re.search(r"^\| scenario \| (.*) \|$", text, re.MULTILINE)
    languages = head[1].split(" | ") if head else []
    cells = {}
    for name, row in re.findall(r"^\| `([^`]+)`: .*?\. \| (.*) \|$", text, re.MULTILINE):
        for language, cell in zip(languages, row.split(" | "), strict=True):
            cells[language, name] = cell
    return cells
