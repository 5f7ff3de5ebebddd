"""The coordinator's aware times in UTC, and the naive local ones of these classes. No clock is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def to_local(at: datetime) -> datetime: ...
@overload
def to_local(at: None) -> None: ...
def to_local(at: datetime | None) -> datetime | None:
    """On this machine's clock, without a zone."""
    return None if at is None else at.astimezone().replace(tzinfo=None)


def to_utc(at: datetime) -> datetime:
    """A naive time is one of this machine's clock. Raises ValueError for one that no calendar has there."""
    if not isinstance(at, datetime):
        raise ValueError(f"a time must be a datetime, found {at!r}")
    try:
        return at.astimezone(UTC)
    except (OverflowError, OSError):
        raise ValueError(f"{at!r} is beyond what times can say here") from None
