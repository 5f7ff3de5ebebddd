"""What the hooks run: `python -m buildrunner_parallel.guard HOOK STRICT`. Ends with GOES_ON or REFUSED."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from . import check
from .changes import committed, parse, staged
from .git import path_of

DEADLINE_S = 10


def main(arguments: list[str]) -> int:
    hook, strict = arguments[0], arguments[1:2] == ["1"]
    fails_closed = check.in_task() or strict
    _end_in_time(fails_closed=fails_closed)
    try:
        told = path_of("rev-parse", "--git-path", check.TOLD)
        if hook == "pre-commit":
            return check.judge(staged(), strict=strict, told=told)
        updates = parse(sys.stdin.buffer.read().decode("utf-8", "surrogateescape"))
        return check.judge(committed(updates), strict=strict, told=told, forget=True)
    except Exception as error:  # whatever it is: one line, and the answer that is safe
        print(f"br guard: what the commit touches cannot be told: {error}", file=sys.stderr)
        return check.REFUSED if fails_closed else check.GOES_ON


def _end_in_time(*, fails_closed: bool) -> None:
    """A commit must not hang because a coordinator does."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        what = "the commit is refused" if fails_closed else "the commit goes on unguarded"
        os.write(2, f"br guard: no answer within {DEADLINE_S} s: {what}\n".encode())
        os._exit(check.REFUSED if fails_closed else check.GOES_ON)

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(DEADLINE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
