"""A sampling profiler of one process: where its main thread is as processor time passes.

`python -m tools.bench.sampled MODULE ARGUMENTS...` runs a module under it and prints what it saw at its end.
"""

from __future__ import annotations

import runpy
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_S = 0.001
SHOWN = 30


class Sampler:
    """Counts functions: where time was spent, and on whose behalf."""

    def __init__(self) -> None:
        self.samples = 0
        self._started_s = time.process_time()
        self.own: Counter[CodeType] = Counter()
        self.whole: Counter[CodeType] = Counter()

    def take(self, _number: int, frame: FrameType | None) -> None:
        self.samples += 1
        if frame is not None:
            self.own[frame.f_code] += 1
        seen = set()
        while frame is not None:
            seen.add(frame.f_code)
            frame = frame.f_back
        self.whole.update(seen)

    def lines(self) -> Iterator[str]:
        total = self.samples or 1
        seconds = time.process_time() - self._started_s
        yield f"{self.samples} samples in {seconds:.2f} s of processor time; own %, whole %, function"
        for title, counter in (("by own time", self.own), ("by whole time", self.whole)):
            yield f"-- {title}"
            for code, _ in counter.most_common(SHOWN):
                own, whole = 100 * self.own[code] / total, 100 * self.whole[code] / total
                yield f"{own:6.1f} {whole:6.1f}  {place(code)}"


def place(code: CodeType) -> str:
    file = "/".join(Path(code.co_filename).parts[-2:])
    return f"{code.co_qualname} ({file}:{code.co_firstlineno})"[:80]


@contextmanager
def sampling(wanted: bool = True) -> Iterator[None]:
    """Prints, at the end, where the time of the main thread went."""
    if not wanted:
        yield
        return
    sampler = Sampler()
    former = signal.signal(signal.SIGPROF, sampler.take)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0, 0)
        signal.signal(signal.SIGPROF, former)
        print("\n".join(sampler.lines()), flush=True)


def main() -> None:
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    with sampling():
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
