"""The coordinator's command line: options, durations, and what they must fulfil together.

Standard library only: a wrong option must not cost the start of gRPC.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from buildrunner_coordinator.domain.model import Settings

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_FAULT = 70
"""A fault of the coordinator's own: its log has the traceback."""
EXIT_IO = 74
"""The disk is full or failed; nothing that was not durable has been told to anyone."""
EXIT_IN_USE = 75
"""Another coordinator has the state directory."""
EXIT_UNUSABLE = 78
"""State directory or database cannot be used: newer, damaged, read-only, no directory."""

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_EXITS = (
    f"Exit codes: {EXIT_DONE} ended on request, {EXIT_USAGE} wrong usage, {EXIT_FAULT} a fault of its own, "
    f"{EXIT_IO} disk full or failing, {EXIT_IN_USE} another coordinator has the state directory, "
    f"{EXIT_UNUSABLE} state directory or database cannot be used."
)


@dataclass(frozen=True, slots=True)
class Config:
    """What the command line says; times in the units of their names."""

    data: Path
    settings: Settings
    socket: Path | None = None
    listen: str | None = None
    idle_exit_s: float = 3 * 3600
    """0: never."""
    log_level: str = "INFO"
    keeper: bool = False
    check_invariants: bool = False
    plan_tasks: int = 1_000_000
    plan_bytes: int = 1 << 30


def parse_duration_ms(text: str) -> int:
    """Milliseconds in `10s`, `500ms`, `1h30m`, or a number of seconds. Raises argparse.ArgumentTypeError."""
    compact = text.strip().lower()
    parts = _DURATION.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 10s, 500ms or 1h30m")
    if len(parts) > 1 and not all(unit for _, unit in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 10s, 500ms or 1h30m")
    return round(sum(float(number) * _UNITS_MS[unit or "s"] for number, unit in parts))


def parse_size(text: str) -> int:
    """Bytes in `65536`, `64K`, `8M` or `1G`, powers of 1024. Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"(\d{1,15})([kmg]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 65536, 64K, 8M or 1G")
    return int(found[1]) * _UNITS_BYTES[found[2]]


def parse_address(text: str) -> str:
    """HOST:PORT on the loopback interface. Raises argparse.ArgumentTypeError for any other."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    if host not in _LOOPBACK:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not on the loopback interface; "
            f"as long as there is no TLS only 127.0.0.1, [::1] and localhost are served"
        )
    return text


def parse(arguments: Sequence[str] | None = None) -> Config:
    """The configuration. Wrong usage ends the process with exit code 2 and one line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    settings = _settings(given)
    complaint = _complaint(settings)
    if complaint:
        parser.error(complaint)
    return Config(
        data=given.data.absolute(),
        settings=settings,
        socket=given.socket.absolute() if given.socket else None,
        listen=given.listen,
        idle_exit_s=given.idle_exit / 1000,
        log_level=given.log_level.upper(),
        keeper=given.keeper,
        check_invariants=given.check_invariants or os.environ.get("BR_CHECK_INVARIANTS") == "1",
        plan_tasks=given.plan_tasks,
        plan_bytes=given.plan_bytes,
    )


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One clear line, without the usage."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="buildrunner-coordinator",
        description="Runs the coordinator of one workspace until it is told to end.",
        epilog=_EXITS,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="state directory; made if it is not there")
    add("--socket", type=Path, metavar="PATH", help="unix socket (default: in the state directory)")
    add("--listen", type=parse_address, metavar="HOST:PORT", help="serve TCP on the loopback interface too")
    add("--idle-exit", type=parse_duration_ms, default=3 * 3_600_000, metavar="T",
        help="end after so long without running sessions and workers (default 3h, 0: never)")  # fmt: skip
    add("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    add("--keeper", action="store_true", help="start the keeper again when it is lost")
    add("--check-invariants", action="store_true", help="recount all state after every batch (slow)")
    add("--plan-tasks", type=_positive, default=1_000_000, metavar="N", help="most tasks of one plan")
    add("--plan-bytes", type=_positive, default=1 << 30, metavar="N", help="most bytes of one plan")
    add("--output-head", type=parse_size, metavar="SIZE",
        help="kept of the beginning of what an attempt prints (default 8M; both 0: everything)")  # fmt: skip
    add("--output-tail", type=parse_size, metavar="SIZE", help="... and of its end (default 2M)")
    _add_intervals(parser)
    return parser


def _add_intervals(parser: argparse.ArgumentParser) -> None:
    def add(name: str, text: str) -> None:
        parser.add_argument(name, type=parse_duration_ms, metavar="T", help=text)

    add(
        "--heartbeat-interval",
        "between two heartbeats of a worker (default 10s or a third of the lease)",
    )
    add("--lease", "a worker is lost after so long without a heartbeat (default 30s)")
    add("--lock-delay", "locks of a lost worker stay held for so long (default 10s)")
    add(
        "--stop-after",
        "a worker cut off stops its tasks after so long (default 14/15 of the lease)",
    )
    add("--kill-after", "... and has killed them (default: lease and 3/5 of the lock delay)")
    add("--retention", "ended sessions are deleted after so long (default 7d, 0: never)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _settings(given: argparse.Namespace) -> Settings:
    usual = Settings()
    lease = usual.lease_ms if given.lease is None else given.lease
    delay = usual.lock_delay_ms if given.lock_delay is None else given.lock_delay
    heartbeat = min(usual.heartbeat_interval_ms, lease // 3)
    return usual._replace(
        lease_ms=lease,
        lock_delay_ms=delay,
        heartbeat_interval_ms=heartbeat if given.heartbeat_interval is None else given.heartbeat_interval,
        stop_after_ms=lease * 14 // 15 if given.stop_after is None else given.stop_after,
        kill_after_ms=lease + delay * 3 // 5 if given.kill_after is None else given.kill_after,
        retention_ms=usual.retention_ms if given.retention is None else given.retention,
        output_head_bytes=usual.output_head_bytes if given.output_head is None else given.output_head,
        output_tail_bytes=usual.output_tail_bytes if given.output_tail is None else given.output_tail,
    )


def _complaint(settings: Settings) -> str:
    """What is wrong with the intervals, if anything."""
    if settings.heartbeat_interval_ms < 10:
        return "--heartbeat-interval must be at least 10ms"
    if settings.heartbeat_interval_ms * 2 > settings.lease_ms:
        return "--lease must be at least twice --heartbeat-interval"
    if not 0 < settings.stop_after_ms <= settings.kill_after_ms:
        return "--stop-after must be before --kill-after"
    if settings.kill_after_ms > settings.lease_ms + settings.lock_delay_ms:
        return "--kill-after must be within --lease and --lock-delay together"
    return ""
