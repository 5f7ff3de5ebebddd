"""The table against a list of everything that is in it, compared pair by pair by the slow answer."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from buildrunner_coordinator.domain.locks import HELD, LockTable, Party
from buildrunner_coordinator.domain.model import LockMode, PathRequest
from buildrunner_coordinator.domain.paths import parse_request
from tests.domain import globs_oracle as oracle

STEPS = 3_000


class Asked(NamedTuple):
    """What somebody wants, in both languages."""

    plain: tuple[str, str]
    shared: bool
    request: PathRequest


class Kept(NamedTuple):
    party: Party
    ticket: int
    asked: tuple[Asked, ...]


def draw(rng: random.Random) -> Asked:
    plain, shared = oracle.draw(rng), rng.random() < 0.4
    mode = LockMode.SHARED if shared else LockMode.EXCLUSIVE
    return Asked(plain, shared, parse_request(plain[1] or "./", mode, plain[0]))


def clash(one: Asked, other: Asked) -> bool:
    return not (one.shared and other.shared) and oracle.meet(one.plain, other.plain)


def excluded(one: Party, other: Party) -> bool:
    """Written down once more, as the rule is told to people."""
    own_parent = one.session_id == other.session_id and (one.is_session or other.is_session)
    return one.id != other.id and not own_parent


def in_the_way(asked, party, ticket, kept):
    """(path asked for, owner, path) of everything that holds, or asked before."""
    return {
        (mine.request, owner, its.request)
        for mine in asked
        for owner, other in kept.items()
        if (other.ticket == HELD or other.ticket < ticket) and excluded(party, other.party)
        for its in other.asked
        if clash(mine, its)
    }


def draw_party(rng: random.Random, step: int) -> Party:
    session = f"s{rng.randrange(4)}"
    if rng.random() < 0.2:
        return Party(session, session, True)
    return Party(f"p{rng.randrange(6)}" if rng.random() < 0.3 else f"own{step}", session)


def is_empty(table: LockTable) -> bool:
    """Nothing stayed behind: no node, and no count."""
    roots = (*table._held, *table._waited_for)
    return all(root.is_bare and not root.below for root in roots) and not table._waiting


@pytest.mark.parametrize("seed", range(4))
def test_who_is_in_whose_way_is_told_without_a_difference(seed):
    rng = random.Random(seed)
    table = LockTable()
    kept: dict[str, Kept] = {}
    pool = [draw(rng) for _ in range(120)]
    granted = 0
    for step in range(STEPS):
        if kept and (len(kept) > 40 or rng.random() < 0.4):
            owner = rng.choice(list(kept))
            gone = rng.randrange(len(kept[owner].asked)) if rng.random() < 0.25 else 0
            if gone:
                table.remove_some(owner, [one.request for one in kept[owner].asked[:gone]])
                kept[owner] = kept[owner]._replace(asked=kept[owner].asked[gone:])
                assert table.requests(owner) == tuple(one.request for one in kept[owner].asked)
            else:
                table.remove(owner)
                del kept[owner]
            continue
        asked = tuple({one.request: one for one in rng.sample(pool, rng.randint(1, 3))}.values())
        party, ticket = draw_party(rng, step), step + 1
        files = tuple(one.request for one in asked)
        truth = in_the_way(asked, party, ticket, kept)
        told = {(mine, entry.owner, entry.request) for mine, entry in table.conflicts(files, party, ticket)}
        assert told == truth
        assert bool(table.blockers(files, ticket, party)) is bool(truth)
        owner = f"o{step}"
        if not truth:
            granted += 1
            table.add(owner, files, party)
            kept[owner] = Kept(party, HELD, asked)
        elif rng.random() < 0.5:
            table.add(owner, files, party, ticket)
            kept[owner] = Kept(party, ticket, asked)
    assert granted > 60
    for owner in kept:
        table.remove(owner)
    assert is_empty(table)


@pytest.mark.parametrize(("seed", "some_wait"), [(0, True), (1, True), (2, False)])
def test_blockers_name_a_holder_and_the_last_who_asked_before(seed, some_wait):
    rng = random.Random(100 + seed)
    table = LockTable()
    kept: dict[str, Kept] = {}
    pool = [draw(rng) for _ in range(30)]
    for step in range(60):
        party = Party(f"own{step}", f"s{rng.randrange(3)}")
        ticket = rng.choice((HELD, step + 1)) if some_wait else HELD
        asked = (rng.choice(pool),)
        table.add(f"o{step}", (asked[0].request,), party, ticket)
        kept[f"o{step}"] = Kept(party, ticket, asked)
    for step in range(300):
        asked, party, ticket = (rng.choice(pool),), Party("new", f"s{rng.randrange(3)}"), rng.randint(1, 60)
        truth = in_the_way(asked, party, ticket, kept)
        told = table.blockers((asked[0].request,), ticket, party)
        queue = [kept[owner].ticket for _, owner, _ in truth if kept[owner].ticket != HELD]
        assert sum(one.ticket == HELD for one in told) == any(kept[o].ticket == HELD for _, o, _ in truth)
        assert [one.ticket for one in told if one.ticket != HELD] == ([max(queue)] if queue else []), step


def test_what_is_asked_for_twice_by_one_owner_is_two_entries():
    table = LockTable()
    files = (parse_request("a"), parse_request("a/b"), parse_request("a/*"))
    table.add("x", files, Party("x", "s"))
    assert len(list(table.conflicts((parse_request("a/"),), Party("y", "t")))) == 3
    table.remove("x")
    table.remove("x")
    assert is_empty(table)


def test_case_is_folded_when_the_table_is_told_so():
    for fold_case in (False, True):
        table = LockTable(fold_case=fold_case)
        table.add("x", (parse_request("SRC/*.PY"), parse_request("Docs/")), Party("x", "s"))
        files = (parse_request("src/a.py"), parse_request("docs/a"))
        assert len(table.blockers(files, 1, Party("y", "t"))) == (2 if fold_case else 0)


@pytest.mark.parametrize("path", ["./", "**", "**/db", "*/db", "res:db2"])
def test_resources_are_in_the_way_of_nothing_else(path):
    for held, asked in ((path, "res:db"), ("res:db", path)):
        table = LockTable()
        table.add("x", (parse_request(held),), Party("x", "s"))
        assert table.blockers((parse_request(asked),), 1, Party("y", "t")) == []
        assert len(table.blockers((parse_request(held),), 1, Party("y", "t"))) == 1
        table.remove("x")
        assert is_empty(table)
