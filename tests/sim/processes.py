"""Every process on any simulated machine, whatever the coordinator believes, and the rules for them.

This is the ground truth: a process lives until it ends or its supervisor kills it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildrunner_coordinator.domain.locks import Party, excludes
from buildrunner_coordinator.domain.model import LockMode, PathRequest
from buildrunner_coordinator.domain.paths import overlaps
from tests.sim.trace import SimulationFault

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.model import Traits
    from tests.sim.records import Records


@dataclass(slots=True, eq=False)
class Process:
    session_id: str
    task_id: str
    attempt_id: str
    fence: int
    traits: Traits
    needs: tuple[str, ...]
    files: tuple[PathRequest, ...]
    worker: str
    """Name of the simulated worker."""


@dataclass(slots=True, eq=False)
class Belief:
    """Somebody who took paths by hand acts on them."""

    name: str
    party: Party
    files: tuple[PathRequest, ...]
    run: int = 0
    """Of the session that holds them itself: they are its own for no longer than it goes on. 0: a lease."""


class Processes:
    def __init__(self, records: Records) -> None:
        self._beliefs: list[Belief] = []
        self.believed = self.widened = 0
        self.hung_up: set[str] = set()
        """Ids of waiters that left before they were granted anything."""
        self._records = records
        self._live: dict[tuple[str, str], Process] = {}
        self._fences: dict[tuple[str, str], int] = {}
        self.started = 0

    def __len__(self) -> int:
        return len(self._live)

    def begin(self, process: Process, slots: int, labels: tuple[str, ...]) -> None:
        """A process comes to life. Raises SimulationFault when it may not."""
        self.started += 1
        key = (process.session_id, process.task_id)
        other = self._live.get(key)
        if other is not None:
            raise SimulationFault(
                f"task {key} has two processes: of attempt {other.attempt_id} on {other.worker} "
                f"and of {process.attempt_id} on {process.worker}",
                process.task_id, process.session_id,
            )  # fmt: skip
        if process.fence < self._fences.get(key, 0):
            raise SimulationFault(
                f"task {key} starts with fence {process.fence}, older than before", process.task_id
            )
        self._fences[key] = process.fence
        self._check_record(process)
        self._check_free(process, process.files)
        self._check_room(process, slots, labels)
        self._live[key] = process

    def end(self, process: Process) -> None:
        key = (process.session_id, process.task_id)
        if self.is_live(process):
            del self._live[key]

    def is_live(self, process: Process) -> bool:
        return self._live.get((process.session_id, process.task_id)) is process

    def widen(self, process: Process, files: tuple[PathRequest, ...]) -> None:
        """It acts on these too, if it lives. Raises SimulationFault when somebody else does."""
        if self.is_live(process):
            self.widened += 1
            self._check_free(process, files)
            process.files += files

    def check_hung_up(self, granted: Iterable[str]) -> None:
        """Raises SimulationFault when somebody holds paths who left the line."""
        for waiter_id in self.hung_up.intersection(granted):
            raise SimulationFault(f"waiter {waiter_id} hung up and was granted its paths", waiter_id)

    def believe(self, belief: Belief) -> None:
        """Raises SimulationFault when somebody else acts on the same paths."""
        if belief.run and not self._goes_on(belief):
            return
        self.believed += 1
        for other in self._held_beliefs():
            if excludes(belief.party, other.party):
                _refuse_clash(belief.name, belief.files, other.name, other.files)
        for process in self._live.values():
            if excludes(belief.party, Party(process.attempt_id, process.session_id)):
                _refuse_clash(belief.name, belief.files, process.task_id, process.files)
        self._beliefs.append(belief)

    def disbelieve(self, belief: Belief) -> None:
        if belief in self._beliefs:
            self._beliefs.remove(belief)

    def forget_session(self, session_id: str) -> None:
        """Somebody gives back, or takes away, what this session itself holds; "": what any session does."""
        self._beliefs = [
            one for one in self._beliefs if not one.run or session_id not in ("", one.party.session_id)
        ]

    def _held_beliefs(self) -> list[Belief]:
        """Without those whose session has ended, or begun again, by what became durable."""
        self._beliefs = [one for one in self._beliefs if not one.run or self._goes_on(one)]
        return self._beliefs

    def _goes_on(self, belief: Belief) -> bool:
        row = self._records.rows.sessions.get(belief.party.session_id)
        is_open = row is not None and row.status in ("created", "running", "paused") and not row.ending_as
        return is_open and row is not None and row.run == belief.run

    def _check_record(self, process: Process) -> None:
        status = self._records.status(process.session_id, process.task_id)
        about = (process.task_id, process.session_id)
        if status == "cancelled":
            raise SimulationFault(f"task {about} starts after it was recorded as cancelled", *about)
        for need in process.needs:
            if self._records.status(process.session_id, need) != "succeeded":
                raise SimulationFault(f"task {about} starts before its need {need} is done", *about, need)

    def _check_free(self, process: Process, files: tuple[PathRequest, ...]) -> None:
        for belief in self._held_beliefs():
            if excludes(belief.party, Party(process.attempt_id, process.session_id)):
                _refuse_clash(process.task_id, files, belief.name, belief.files)
        for other in self._live.values():
            clash = next((a for a in files for b in other.files if _clash(a, b)), None)
            if clash is not None and other is not process:
                raise SimulationFault(
                    f"{process.task_id} on {process.worker} and {other.task_id} on {other.worker} "
                    f"run with incompatible locks on {clash.path}",
                    process.task_id, other.task_id, process.session_id,
                )  # fmt: skip

    def _check_room(self, process: Process, slots: int, labels: tuple[str, ...]) -> None:
        taken = sum(one.traits.slots for one in self._live.values() if one.worker == process.worker)
        if taken + process.traits.slots > slots:
            raise SimulationFault(f"worker {process.worker} has {slots} slots and runs more", process.task_id)
        if not set(process.traits.labels) <= set(labels):
            raise SimulationFault(f"worker {process.worker} lacks labels of its task", process.task_id)


def _refuse_clash(
    name: str, files: tuple[PathRequest, ...], other_name: str, others: tuple[PathRequest, ...]
) -> None:
    clash = next((a for a in files for b in others if _clash(a, b)), None)
    if clash is not None:
        raise SimulationFault(f"{name} and {other_name} both act on {clash.path}", name, other_name)


def _clash(one: PathRequest, other: PathRequest) -> bool:
    if one.mode is LockMode.SHARED and other.mode is LockMode.SHARED:
        return False
    return bool(overlaps(one, other))
