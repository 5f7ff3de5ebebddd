"""A failed run in words: what went wrong, and all that was said and done about the things concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.schedule import SECOND

if TYPE_CHECKING:
    from tests.sim.trace import Trace

_LIVES = frozenset({"coordinator starts", "coordinator dies", "worker dies", "worker leaves"})
_WIDTH = 260


def concerned(error: BaseException, trace: Trace) -> tuple[str, ...]:
    """The ids that the error names: those that the monitor gave, else those in its message."""
    about = tuple(one for one in getattr(error, "about", ()) if one)
    if about:
        return about[:1]
    words = {word.strip("'\"(),.:") for text in str(error).split() for word in text.split("/")}
    known = [details[1] for _, what, details in trace.lines if what == "task"]
    return tuple(sorted({str(one) for one in known if one in words}))[:2]


def tell(error: BaseException, trace: Trace) -> str:
    """One line an event, in order: of the things concerned, and the lives of processes around them."""
    ids = concerned(error, trace)
    lines = [
        f"what went wrong: {type(error).__name__}: {error}",
        f"the story of {', '.join(ids) or 'the run'}:",
    ]
    followed = set(ids)
    for at_us, what, details in trace.lines:
        text = repr(details)
        if what in _LIVES or what == "action" or any(one in text for one in followed):
            lines.append(f"{at_us / SECOND:12.4f} s  {what}: {text[:_WIDTH]}")
            if what == "task" and details[1] in ids:
                followed.update(str(one) for one in (details[3],) if one)
    return "\n".join(lines)
