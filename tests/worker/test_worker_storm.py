"""A worker in bad weather: broken streams, lost acknowledgements, revocations and cancels, and still every
attempt is run at most once and reported until somebody takes it."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

_spec = importlib.util.spec_from_file_location(
    "scripted_coordinator", Path(__file__).with_name("scripted_coordinator.py")
)
assert _spec is not None and _spec.loader is not None
script: Any = importlib.util.module_from_spec(_spec)
sys.modules.setdefault("scripted_coordinator", script)
_spec.loader.exec_module(script)

ATTEMPTS = 160
BREAKS = 4


class Storm:
    """Plays the coordinator for `ATTEMPTS` attempts on streams that it keeps breaking."""

    def __init__(self, coordinator: Any, tally: Path, seed: int) -> None:
        self.coordinator = coordinator
        self.tally = tally
        self.random = random.Random(seed)
        self.outcomes: dict[str, int] = {}
        self.given_back: set[str] = set()
        self.assigned: dict[str, Any] = {}
        self.generation = 0

    def assignment(self, number: int) -> Any:
        attempt_id = f"{number:04x}"
        name = f"{self.tally}/{attempt_id}"
        if number % 2:
            work = script.command(attempt_id, f"echo x >> {name}; sleep 0.00{number % 10}")
        else:
            work = script.handler(attempt_id, "tally", name.encode())
        work.generation = self.generation
        self.assigned[attempt_id] = work
        return work

    @property
    def is_over(self) -> bool:
        return len(self.outcomes) + len(self.given_back - set(self.outcomes)) >= ATTEMPTS

    async def run(self) -> None:
        for round_number in range(BREAKS + 1):
            stream = await self.coordinator.accept()
            hello = await stream.expect("hello")
            self.generation += 1
            stream.welcome(generation=self.generation, report_repeat_ms=100)
            self.resend_lost(stream, {one.attempt_id for one in hello.held})
            await self.converse(stream, is_last=round_number == BREAKS)
            stream.hang_up()
            if self.is_over:
                return

    def resend_lost(self, stream: Any, held: set[str]) -> None:
        for attempt_id, assignment in self.assigned.items():
            if (
                attempt_id not in held
                and attempt_id not in self.outcomes
                and attempt_id not in self.given_back
            ):
                assignment.generation = self.generation
                stream.send(assignments=[assignment])

    async def converse(self, stream: Any, *, is_last: bool) -> None:
        steps = 10**9 if is_last else self.random.randrange(20, 60)
        for _ in range(steps):
            if self.is_over:
                return
            waiting = len(self.assigned) - len(self.outcomes) - len(self.given_back)
            if len(self.assigned) < ATTEMPTS and waiting < 12:
                first = len(self.assigned) + 1
                batch = [self.assignment(number) for number in range(first, min(first + 6, ATTEMPTS + 1))]
                stream.send(assignments=batch)
                self.disturb(stream, batch)
            try:
                async with asyncio.timeout(script.WAIT_S):
                    name, part = await stream._parts.get()
            except TimeoutError:
                raise AssertionError(f"stuck with {set(self.assigned) - set(self.outcomes)}") from None
            self.hear(stream, name, part, is_last=is_last)

    def disturb(self, stream: Any, batch: list[Any]) -> None:
        one = self.random.choice(batch)
        if self.random.random() < 0.3:
            stream.send(
                revocations=[worker_service_pb2.Revocation(attempt_id=one.attempt_id, fence=one.fence)]
            )
        elif self.random.random() < 0.3:
            stream.send(
                cancellations=[
                    worker_service_pb2.Cancellation(
                        attempt_id=one.attempt_id, fence=one.fence, outcome=types_pb2.OUTCOME_CANCELLED
                    )
                ]
            )

    def hear(self, stream: Any, name: str, part: Any, *, is_last: bool) -> None:
        if name == "revocation_answers" and not part.started:
            self.given_back.add(part.attempt_id)
        if name == "reports" and (is_last or self.random.random() < 0.7):
            present = self.outcomes.setdefault(part.attempt_id, part.outcome)
            assert present == part.outcome, "a repeated report differs"
            stream.acknowledge(part)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_attempt_is_run_at_most_once_and_reported(tmp_path: Path, seed: int) -> None:
    tally = tmp_path / "tally"
    tally.mkdir()
    coordinator = script.ScriptedCoordinator(tmp_path)
    await coordinator.start()
    arguments = ("--slots", "2", "--credit", "20", "--handlers", "handlers_of_test")
    worker = script.RunningWorker(coordinator, tmp_path, *arguments)
    await worker.start()
    storm = Storm(coordinator, tally, seed)
    try:
        await storm.run()
        assert storm.is_over
    finally:
        await worker.close()
        await coordinator.stop()
    runs = {file.name: file.read_text().count("x") for file in tally.iterdir()}
    # One that was stopped between opening its file and writing to it leaves the file empty.
    assert set(runs.values()) - {0} == {1}
    for attempt_id, outcome in storm.outcomes.items():
        if outcome == types_pb2.OUTCOME_SUCCEEDED:
            assert runs.get(attempt_id) == 1, attempt_id
        else:
            assert outcome == types_pb2.OUTCOME_CANCELLED
    assert not storm.given_back & set(runs)
