"""How much each row does. Plain data."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """Numbers of tasks, commands or repetitions a round, and how many rounds there are."""

    rounds: int
    noop: int
    credit_one: int
    commands: int
    latency: int
    queued: int
    startups: int
    sources: int
    fleet: int
    fleet_seconds: float
    held: int
    lock_pairs: int
    agent_steps: int
    frames: int
    watched: int
    guide: int
    profile: str | None = None
    """Which process is sampled, if any."""

    @classmethod
    def usual(cls, seconds: float, rounds: int) -> Sizes:
        """Rounds that take about so many seconds on a machine that reaches the targets."""
        return cls(
            rounds=max(1, rounds),
            noop=max(100, int(25_000 * seconds)),
            credit_one=max(50, int(2_500 * seconds)),
            commands=max(50, int(1_500 * seconds)),
            latency=max(200, int(200 * seconds)),
            queued=100_000,
            startups=15,
            sources=40,
            fleet=5_000,
            fleet_seconds=20.0,
            held=20_000,
            lock_pairs=max(50, int(500 * seconds)),
            agent_steps=max(3, int(10 * seconds)),
            frames=200,
            watched=300_000,
            guide=max(50, int(150 * seconds)),
        )

    @classmethod
    def quick(cls) -> Sizes:
        """For a look, and for tests."""
        return cls(
            rounds=1,
            noop=5_000,
            credit_one=400,
            commands=300,
            latency=200,
            queued=20_000,
            startups=5,
            sources=8,
            fleet=500,
            fleet_seconds=5.0,
            held=20_000,
            lock_pairs=200,
            agent_steps=10,
            frames=30,
            watched=20_000,
            guide=30,
        )
