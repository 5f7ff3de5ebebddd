"""When pictures are taken: shared by those who ask in time, and not again after one that took too long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from buildrunner_parallel.worker.git_calls import Checkout, GitFailed, GitTimedOut
from buildrunner_parallel.worker.photographer import Photographer
from buildrunner_parallel.worker.pictures import Picture


class RecordingStudio:
    """Pictures are numbers; `failing` is raised by the next one."""

    def __init__(self) -> None:
        self.users = 0
        self.taken = 0
        self.held: list[int] = []
        self.failing: Exception | None = None

    def take(self) -> Picture:
        self.taken += 1
        if self.failing is not None:
            raise self.failing
        return Picture(self.taken, "")

    def hold(self, picture: Picture) -> None:
        self.held.append(picture.turn)

    def drop(self, picture: Picture) -> None:
        self.held.remove(picture.turn)

    def compare(self, before: Picture, after: Picture, _: Any) -> tuple[int, int]:
        return before.turn, after.turn


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def test_who_asks_before_the_next_has_begun_shares_it(threads: ThreadPoolExecutor) -> None:
    studio: Any = RecordingStudio()
    photographer = Photographer(Checkout("/r", "", ""), studio, threads)
    pictures = await asyncio.gather(*(photographer.take() for _ in range(5)))
    assert {one.turn for one in pictures} == {1}
    assert (studio.users, studio.held) == (5, [1] * 5)


async def test_a_comparison_takes_a_new_picture_and_drops_both(threads: ThreadPoolExecutor) -> None:
    studio: Any = RecordingStudio()
    photographer = Photographer(Checkout("/r", "", ""), studio, threads)
    found: Any = await photographer.compare(await photographer.take(), lambda _: True)
    assert found == (1, 2)
    assert (studio.users, studio.held) == (0, [])


async def test_a_failure_is_told_to_all_who_share_it_and_leaves_nothing_held(
    threads: ThreadPoolExecutor,
) -> None:
    studio: Any = RecordingStudio()
    photographer = Photographer(Checkout("/r", "", ""), studio, threads)
    studio.failing = GitFailed("no")
    told = await asyncio.gather(*(photographer.take() for _ in range(2)), return_exceptions=True)
    assert [str(one) for one in told] == ["no", "no"]
    assert (studio.users, studio.held, studio.taken) == (0, [], 1)
    studio.failing = None
    assert (await photographer.take()).turn == 2


async def test_after_one_that_took_too_long_none_is_taken_for_a_while(threads: ThreadPoolExecutor) -> None:
    studio: Any = RecordingStudio()
    photographer = Photographer(Checkout("/r", "", ""), studio, threads)
    studio.failing = GitTimedOut("git add in /r took longer than 60 s")
    with pytest.raises(GitTimedOut):
        await photographer.take()
    studio.failing = None
    with pytest.raises(GitFailed, match="looking at /r took too long a short while ago"):
        await photographer.take()
    assert studio.taken == 1
