"""Durations and ages: read as people write them, shown as people read them.

Pure functions. Clocks are read by the callers.
"""

from __future__ import annotations

import functools
import math
import re

MAX_DURATION_S = 10 * 365 * 86400.0
EXPECTED = "a duration such as 90s, 10m, 1h30m or a number of seconds"

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_FORM = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?!s))?"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(value: str | int | float) -> float:
    """Seconds in `value`: `90s`, `10m`, `1h30m`, `500ms`, `2d`, or a number of seconds.

    Raises ValueError, with a message that says what was expected, for anything else, for negative or
    infinite numbers, and for more than ten years.
    """
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= MAX_DURATION_S:
        raise ValueError(f"expected {EXPECTED}")
    return seconds


@functools.lru_cache(maxsize=256, typed=True)
def _seconds(value: str | int | float) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if abs(value) <= MAX_DURATION_S else None
    text = value.strip().lower().replace(" ", "")
    if len(text) > 40:
        return None
    if _NUMBER.fullmatch(text):
        return float(text)
    match = _FORM.fullmatch(text)
    if not match or not text:
        return None
    return sum(float(number) * _UNITS_S[unit] for unit, number in match.groupdict().items() if number)


def format_duration(seconds: float) -> str:
    """`seconds` in at most two units: `40ms`, `3.2s`, `42s`, `3m05s`, `2h07m`, `3d04h`."""
    if not math.isfinite(seconds):
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def format_age(seconds: float) -> str:
    """How long ago, coarsely: `now`, `42s ago`, `5m ago`, `3h ago`, `12d ago`."""
    if seconds < 1:
        return "now"
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size_s or (unit == "m" and seconds >= size_s):
            return f"{int(seconds // size_s)}{unit} ago"
    return f"{int(seconds)}s ago"
