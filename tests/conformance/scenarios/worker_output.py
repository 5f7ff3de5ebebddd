"""Workers: the output of tasks, small, large, and larger than is kept."""

from __future__ import annotations

from ..specs import expect, holds, shell, until
from ..stage import Stage
from . import scenario

LINES = 60_000
LARGE = f"i=0; seq 1 {LINES}; seq 1 {LINES} >&2"
HEAD_BYTES, TAIL_BYTES = 64 << 10, 32 << 10


@scenario("worker")
def small_output(stage: Stage) -> None:
    """Both channels of a command are kept byte for byte, bytes that are no text too."""
    stage.worker()
    session = stage.observer.begin("output")
    stage.observer.submit(
        session,
        shell("both", "printf 'out \\377\\000\\n'; printf 'err' >&2"),
        shell("none", "true"),
        shell("fails", "echo before; echo why >&2; exit 1"),
    )
    stage.over(session, "both")
    found = stage.observer.output(session, "both")
    expect((found["stdout"], found["stderr"]), (b"out \xff\0\n", b"err"), "the output")
    stage.over(session, "none")
    expect(stage.observer.output(session, "none")["stdout"], b"", "the output of what is silent")
    stage.over(session, "fails", "failed")
    found = stage.observer.output(session, "fails")
    expect((found["stdout"], found["stderr"]), (b"before\n", b"why\n"), "the output of what failed")


@scenario("worker")
def large_output(stage: Stage) -> None:
    """Output of a megabyte and more is kept in full, on both channels."""
    stage.worker()
    session = stage.observer.begin("output")
    stage.observer.submit(
        session, shell("large", LARGE), shell("line", "head -c 700000 /dev/zero | tr '\\0' x")
    )
    wanted = "".join(f"{n}\n" for n in range(1, LINES + 1)).encode()
    task = stage.over(session, "large")
    found = stage.observer.output(session, "large")
    for channel in ("stdout", "stderr"):
        expect(len(found[channel]), len(wanted), f"bytes of {channel}")
        holds(found[channel] == wanted, f"{channel} is not what was written")
    expect(task.attempts[-1].output_bytes, 2 * len(wanted), "bytes of output as reported")
    stage.over(session, "line")
    expect(stage.observer.output(session, "line")["stdout"], b"x" * 700_000, "a line without an end")


@scenario("worker", "--output-head", str(HEAD_BYTES), "--output-tail", str(TAIL_BYTES))
def output_beyond_the_caps(stage: Stage) -> None:
    """Of output beyond the caps the beginning and the end are kept, and the gap is counted."""
    stage.worker()
    session = stage.observer.begin("output")
    stage.observer.submit(session, shell("long", f"seq 1 {LINES}"))
    whole = "".join(f"{n}\n" for n in range(1, LINES + 1)).encode()
    task = stage.over(session, "long")
    found = stage.observer.output(session, "long")
    kept, dropped_bytes = found["stdout"], int(found["dropped"])
    expect(task.attempts[-1].output_bytes, len(whole), "bytes of output as reported")
    expect(len(kept) + dropped_bytes, len(whole), "bytes kept and dropped")
    holds(kept.startswith(whole[:HEAD_BYTES]), "its beginning is kept")
    holds(kept.endswith(whole[-TAIL_BYTES:]), "its end is kept")
    holds(dropped_bytes > 0, "something was dropped")


@scenario("worker")
def output_while_it_runs(stage: Stage) -> None:
    """What is large can be read while its task still runs."""
    stage.worker()
    session = stage.observer.begin("output")
    go = stage.path("go")
    stage.observer.submit(
        session, shell("slow", f"seq 1 {LINES}; until [ -e {go} ]; do sleep 0.05; done; echo end")
    )
    stage.becomes(session, "slow", "running")
    until(
        lambda: stage.observer.output(session, "slow")["stdout"].startswith(b"1\n2\n3\n"),
        "its output is there",
    )
    expect(stage.status(session, "slow"), "running", "its status")
    go.touch()
    stage.over(session, "slow")
    holds(stage.observer.output(session, "slow")["stdout"].endswith(b"\nend\n"), "its end is there")
