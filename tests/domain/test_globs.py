"""Patterns: what they match, what they have in common, what is refused, and that the work is bounded."""

from __future__ import annotations

import random

import pytest

from buildrunner_coordinator.domain import globs
from buildrunner_coordinator.domain.globs import Overlap, compiled
from buildrunner_coordinator.domain.model import LockMode, PathRequest
from buildrunner_coordinator.domain.paths import covers, overlaps, parse_request
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from tests.domain import globs_oracle as oracle

PAIRS = 40_000
CHUNKS = 4


def request(kind_and_text: tuple[str, str]) -> PathRequest:
    kind, text = kind_and_text
    return parse_request(text or "./", kind=kind)


def meet(one: str, other: str, *, fold_case: bool = False) -> bool:
    return bool(overlaps(parse_request(one), parse_request(other), fold_case))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_overlap_is_missed_and_none_is_made_up(chunk):
    """Against all strings of a small world, which a second implementation tries one by one."""
    rng = random.Random(chunk)
    pool = [oracle.draw(rng) for _ in range(150)]
    counts = dict.fromkeys(Overlap, 0)
    for _ in range(PAIRS // CHUNKS):
        one, other = rng.choice(pool), rng.choice(pool)
        answer = overlaps(request(one), request(other))
        assert answer is overlaps(request(other), request(one))
        assert (answer is Overlap.YES) == oracle.meet(one, other), (one, other, answer)
        counts[answer] += 1
    assert counts[Overlap.WIDENED] == 0
    assert min(counts[Overlap.YES], counts[Overlap.NO]) > 1000, "both answers were put to the test"


def test_a_spent_budget_makes_overlaps_up_and_misses_none():
    rng = random.Random(9)
    pool = [text for kind, text in (oracle.draw(rng) for _ in range(300)) if kind == "glob"]
    made_up = spent = 0
    for _ in range(5_000):
        one, other = rng.choice(pool), rng.choice(pool)
        answer = globs.overlap(compiled(one), compiled(other), budget=rng.choice((1, 3, 8)))
        truth = oracle.meet(("glob", one), ("glob", other))
        assert answer or not truth, (one, other)
        assert answer is not Overlap.YES or truth, (one, other)
        spent += answer is Overlap.WIDENED
        made_up += answer is Overlap.WIDENED and not truth
    assert 0 < made_up < spent


@pytest.mark.parametrize("kept_steps", [globs.KEPT_STEPS, 3, 0])
def test_what_a_pattern_matches_is_what_it_is_said_to_match(kept_steps, monkeypatch):
    """Also when hardly anything of what was worked out is kept."""
    monkeypatch.setattr(globs, "KEPT_STEPS", kept_steps)
    compiled.cache_clear()
    rng = random.Random(3)
    for _ in range(60):
        text = oracle.draw_pattern(rng)
        bits = oracle.members(text)
        for place in rng.sample(range(len(oracle.WORLD)), 300):
            path = oracle.WORLD[place].split("/")
            assert compiled(text).matches(path) == bool(bits >> place & 1), (text, path)


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("src/app", "src/application.py", False),
        ("src/", "src/a.py", True),
        ("src", "src/a.py", True),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("src/**/*.py", "src/x/y/a.pyc", False),
        ("src/*", "src/sub/a.py", False),
        ("src/*", "src/sub", True),
        ("src/**", "src/sub/a.py", True),
        ("src/**", "src", True),
        ("src/**", "srcs/a", False),
        ("*", "src/**", False),
        ("**/*.lock", "**/*.py", False),
        ("**/*.lock", "poetry.lock", True),
        ("**/test_*.py", "tests/", True),
        ("**/test_*.py", "tests/**/*_x.py", True),
        ("a*c", "ab*", True),
        ("a*c", "b*", False),
        ("docs/{a,b}/*.md", "docs/b/x.md", True),
        ("docs/{a,b}/*.md", "docs/c/x.md", False),
        ("src/*/", "src/a/b/c", True),
        ("src/*/", "src/a/", True),
        ("src/*/", "src/a", False),
        ("src/**/*.py", "src/notes.md", False),
        ("src/a/*.py", "src/a", True),
        ("src/{a,b}/*.py", "src/a", True),
        ("src/{a,b}/*.py", "src/c", False),
        ("src/.*", "src/.env", True),
        ("src/*", "src/.env", True),
        ("[!a]x", "ax", False),
        ("[!a]x", "bx", True),
        ("**", "anything/at/all", True),
        ("res:db", "res:db", True),
        ("res:db", "res:db2", False),
        ("res:db", "**", False),
        ("./a", "b/../a", True),
        ("Ünïcode", "U\u0308ni\u0308code", True),
    ],
)
def test_examples_both_ways(one, other, answer):
    assert meet(one, other) == meet(other, one) == answer


def test_where_case_is_ignored_spellings_meet():
    pairs = [("README.md", "readme.MD"), ("src/**/*.PY", "SRC/a/b.py"), ("[A-C]x", "bX"), ("ÄRGER", "ärger")]
    assert [meet(*pair) for pair in pairs] == [False] * 4
    assert [meet(*pair, fold_case=True) for pair in pairs] == [True] * 4


def test_a_literal_path_with_brackets_is_a_file():
    page = parse_request("app/[id]/page.tsx", kind="file")
    assert overlaps(page, parse_request("app/[id]/page.tsx", kind="file"))
    assert not overlaps(page, parse_request("app/i/page.tsx"))
    assert overlaps(parse_request("app/*/page.tsx"), page)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("!src/**", "excludes paths"),
        ("src/[ab", "'[' is not closed"),
        ("src/[]", "'[' is not closed"),
        ("src/[a/b]", "'[' is not closed"),
        ("src/{a,b", "'{' is not closed"),
        ("src/{}", "two alternatives"),
        ("src/{a}", "two alternatives"),
        ("src/[z-a]", "the wrong way round"),
        ("src/[[:alpha:]]", "[:alpha:]"),
        ("src/*/../x", "'..' stands behind or within a wildcard"),
        ("{..,a}/x", "'..' stands behind or within a wildcard"),
        ("../*", "leaves the repository"),
        ("/src/*", "is absolute"),
        ("{a,}", "an alternative is empty"),
        ("a*\0", "NUL"),
        ("*" * 5000, "longer than"),
    ],
)
def test_what_could_be_misread_is_refused_in_one_line(pattern, says):
    with pytest.raises(Refusal) as caught:
        parse_request(pattern)
    assert caught.value.reason is Reason.INVALID
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_an_odd_pattern_that_can_be_read_is_read():
    assert compiled("[]a]").matches(["]"])
    assert compiled("a}b*").matches(["a}bc"])
    assert compiled("[{]*").matches(["{x"])
    assert compiled("{[,],x}").matches([","])
    assert parse_request("b/../a//./*.py").path == "a/*.py" or meet("b/../a//./*.py", "a/x.py")


def test_too_many_alternatives_count_as_the_tree_they_are_in():
    many = parse_request("src/" + "{a,b}" * 9)
    assert overlaps(many, parse_request("src/aaaaaaaaa")) is Overlap.WIDENED
    assert overlaps(many, parse_request("src/other/x")) is Overlap.WIDENED
    assert overlaps(many, parse_request("docs/x")) is Overlap.NO


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("**/" + "*a" * 300, "**/" + "*b" * 300 + "c"),
        ("/".join(["**/a*"] * 200), "/".join(["**/*b"] * 200)),
        ("/".join(["{a,b}*"] * 8) + "/*x", "/".join(["*{a,b}"] * 8) + "/*y"),
    ],
)
def test_patterns_made_to_be_slow_end_within_the_budget(one, other, monkeypatch):
    steps = 0
    original = globs._Search._spend

    def counting(search):
        nonlocal steps
        steps += 1
        original(search)

    monkeypatch.setattr(globs._Search, "_spend", counting)
    globs.overlap.__wrapped__(compiled(one), compiled(other))
    assert steps <= globs.BUDGET_STEPS + 1


def test_a_name_made_to_be_slow_is_matched_in_bounded_steps():
    pattern = compiled("*a" * 200 + "b")
    assert not pattern.matches(["a" * 255])


def test_a_lock_covers_what_may_be_written_under_it():
    assert covers(parse_request("src/"), "src/a.py")
    assert covers(parse_request("src/*.py"), "src/a.py")
    assert not covers(parse_request("src/*.py"), "src/x/a.py")
    assert not covers(parse_request("src/a"), "src/ab")
    assert not covers(parse_request("res:src", LockMode.SHARED), "src")
    assert covers(parse_request("SRC/"), "src/A", fold_case=True)
