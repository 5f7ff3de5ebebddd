"""Adds a package to the page that all packages share, and checks the finished page.

Adding reads the whole page, changes it and writes it back. Two at once would lose an entry, and nothing here
prevents that: the plan does, by the exclusive lock on the page.
"""

from __future__ import annotations

from pathlib import Path

from .errors import StepError
from .files import read_record, remove
from .index_page import Entry, missing_and_unknown, parse, problems_of, render, with_entry
from .manifest import Package, Pin
from .pip import run_pip, write_requirements
from .places import Places
from .suite import whole_suite
from .wheel_record import problems_of_wheel


def read_index(places: Places) -> list[Entry]:
    return parse(places.index.read_text(encoding="utf-8")) if places.index.exists() else []


def add_to_index(places: Places, package: Package) -> str:
    """The page is only replaced by one that pip can install everything from."""
    tests = whole_suite(places, package)
    entry = Entry(**read_record(places.built(package.name)), tests=tests)
    entries = with_entry(read_index(places), entry)
    check_wheels(places, entries)
    candidate = places.index.with_name(f"index.next-{package.name}.html")
    candidate.write_text(render(entries), encoding="utf-8")
    try:
        check_installable(places, entries, candidate)
    except StepError:
        remove(candidate)
        raise
    candidate.replace(places.index)
    return f"listed {entry.file} ({tests} tests) as number {len(entries)}"


def verify_index(places: Places, names: list[str]) -> str:
    """Raises StepError unless the page lists exactly these packages, and every hash is right."""
    entries = read_index(places)
    if problems := missing_and_unknown(entries, names):
        raise StepError(f"the index is wrong: {'; '.join(problems)}")
    check_wheels(places, entries)
    check_installable(places, entries, places.index)
    lines = [f"{entry.sha256[:12]}  {entry.size_bytes:>8,} bytes  {entry.file}" for entry in entries]
    total = sum(entry.tests for entry in entries)
    return "\n".join([*lines, f"{len(entries)} wheels, {total} tests, every hash right: {places.index}"])


def check_wheels(places: Places, entries: list[Entry]) -> None:
    """Raises StepError when a wheel is not the listed one, or not what it says of itself."""
    problems = problems_of(entries, places.wheels)
    for entry in entries:
        problems += problems_of_wheel(places.wheels / entry.file)
    if problems:
        raise StepError("; ".join(problems[:5]))


def check_installable(places: Places, entries: list[Entry], page: Path) -> None:
    """Lets pip find all entries by their hashes on the page and nowhere else; nothing is installed."""
    pins = [Pin(entry.name, entry.version, entry.sha256).requirement for entry in entries]
    requirements = write_requirements(places, f"check-{page.stem}", pins)
    from_page = ("--no-index", "--find-links", page, "--no-deps", "--require-hashes")
    rehearse = ("install", "--dry-run", "--ignore-installed", *from_page, "--requirement", requirements)
    run_pip(places, "installing from the page", *rehearse)
