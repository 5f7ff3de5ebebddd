"""Rows of the lock table by itself: what it takes to find out who is in the way, as more and more is held."""

from __future__ import annotations

import time
from typing import NamedTuple

from buildrunner_coordinator.domain.locks import LockTable, Party
from buildrunner_coordinator.domain.paths import parse_request
from tools.bench.figures import Figure, RowError, median, short
from tools.bench.sizes import Sizes

FOLDERS = 100
GLOBS_PART = 20
"""One glob to so many paths held, in the lines with globs."""
WAITERS = 100
ROUND_S = 0.02


class Question(NamedTuple):
    """A kind of request: one that is free, one that is not (empty: every one of the kind is free)."""

    what: str
    free: str
    taken: str
    target_us: float | None


QUESTIONS = (
    Question("a file", "src/pkg17/sub1/new.py", "src/pkg17/sub0/mod17.py", 3.0),
    Question("a tree", "src/pkg17/sub77/", "src/pkg17/", 5.0),
    Question("an anchored glob", "src/pkg17/**/*.md", "src/pkg17/**/*.py", 400.0),
    Question("**/*.lock", "**/*.lock", "", None),
)


def measure_checks(sizes: Sizes) -> list[Figure]:
    """Processor time of a check with `sizes.held` paths held; below it how it grew up to there."""
    steps = sorted({max(FOLDERS, sizes.held // part) for part in (200, 20, 4, 1)})
    tables = [(f"{held:,}", table_of(held)) for held in steps]
    tables.append((f"+ {sizes.held // GLOBS_PART:,} globs", table_of(sizes.held, with_globs=True)))
    tables.append((f"+ {WAITERS} waiting", table_of(sizes.held, with_globs=True, waiters=WAITERS)))
    figures = []
    for question in QUESTIONS:
        times = [(name, microseconds(table, question, sizes.rounds)) for name, table in tables]
        value = times[len(steps) - 1][1]
        figures.append(
            Figure(
                f"check of {question.what}, {sizes.held:,} held",
                value,
                "us",
                question.target_us,
                lower=True,
                note="; ".join(f"{name}: {short(one)}" for name, one in times),
            )
        )
    return figures


def table_of(held: int, *, with_globs: bool = False, waiters: int = 0) -> LockTable:
    """Files of as many holders, spread over folders of folders; globs stand in the place of some of them.

    Whoever waits does so for a file that nobody here asks for, in the very folders that are asked about.
    """
    table = LockTable()
    for number in range(held):
        folder = f"src/pkg{number % FOLDERS}"
        is_glob = with_globs and number // FOLDERS % GLOBS_PART == 1
        path = (
            f"{folder}/gen*/part{number}_*.c"
            if is_glob
            else f"{folder}/sub{number // FOLDERS % 10}/mod{number}.py"
        )
        table.add(f"o{number}", (parse_request(path),), Party(f"o{number}", f"s{number % 50}"))
    for number in range(waiters):
        path = f"src/pkg{number % FOLDERS}/wait{number}.rst"
        table.add(f"w{number}", (parse_request(path),), Party(f"w{number}", "waiting"), number + 1)
    return table


def microseconds(table: LockTable, question: Question, rounds: int) -> float:
    """The slower of the two cases. Processor time, so that it hardly matters who else uses the machine."""
    cases = [(question.free, False)] + ([(question.taken, True)] if question.taken else [])
    return max(median([one_case(table, path, taken) for _ in range(rounds)]) for path, taken in cases)


def one_case(table: LockTable, path: str, is_taken: bool) -> float:
    files, party = (parse_request(path),), Party("asker", "asker")
    if bool(table.blockers(files, len(table) + 1, party)) is not is_taken:
        raise RowError(f"{path} was told to be {'free' if is_taken else 'taken'}")
    count, spent_s = 0, 0.0
    began_s = time.process_time()
    while spent_s < ROUND_S:
        for _ in range(10 if count else 1):
            table.blockers(files, len(table) + 1, party)
            count += 1
        spent_s = time.process_time() - began_s
    return 1e6 * spent_s / count
