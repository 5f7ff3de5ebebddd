"""Workers: where a command runs, what it finds there, and how it tells what came out."""

from __future__ import annotations

from ..specs import expect, holds, program, shell
from ..stage import Stage, outcome_word
from . import scenario

SECRET = "not for tasks"


@scenario("worker")
def environment_of_commands(stage: Stage) -> None:
    """A command finds BR_*, what was passed and set, and nothing else of the worker's; never the token."""
    stage.worker("--slots", "1", env={"CONFORMANCE_SECRET": SECRET, "BR_TOKEN": stage.coordinator.token})
    session = stage.observer.begin("Environment")
    stage.observer.submit(
        session,
        shell(
            "env", f"env >{stage.path('env')}",
            environment={"SET": "set, with = and spaces", "BOTH": "set"},
            passed_environment={"PASSED": "passed", "BOTH": "passed"},
        ),
    )  # fmt: skip
    task = stage.over(session, "env")
    (attempt,) = task.attempts
    found = dict(line.split("=", 1) for line in stage.lines("env") if "=" in line)
    wanted = {
        "BR_SESSION_ID": session, "BR_SESSION_NAME": "Environment", "BR_TASK_ID": "env", "BR_ATTEMPT": "1",
        "BR_ATTEMPT_ID": attempt.attempt_id, "BR_FENCE": str(attempt.fence),
        "BR_WORKER_ID": attempt.worker_id, "BR_COORDINATOR": stage.coordinator.address,
        "SET": "set, with = and spaces", "PASSED": "passed", "BOTH": "set",
    }  # fmt: skip
    for name, value in wanted.items():
        expect(found.get(name), value, name)
    for name in ("BR_RESULT_FILE", "BR_ERROR_FILE", "PATH", "BR_SLOT"):
        holds(found.get(name), f"{name} must be there")
    for name in ("CONFORMANCE_SECRET", "BR_TOKEN", "BR_TOKEN_FILE"):
        holds(name not in found, f"{name} of the worker's own must not be there")


@scenario("worker")
def working_directory(stage: Stage) -> None:
    """A command runs in the directory that its task names: absolute, or below the worktree."""
    stage.worker()
    below = stage.workspace / "a b" / "c"
    below.mkdir(parents=True)
    session = stage.observer.begin("directories")
    absolute = shell("absolute", "pwd -P", cwd=str(below))
    relative = shell("relative", "pwd -P", cwd="a b/c")
    relative.directory.worktree = str(stage.workspace)
    root = shell("root", "pwd -P")
    root.directory.worktree = str(stage.workspace)
    stage.observer.submit(session, absolute, relative, root)
    for name, wanted in (("absolute", below), ("relative", below), ("root", stage.workspace)):
        stage.over(session, name)
        expect(
            stage.observer.output(session, name)["stdout"].decode(), f"{wanted.resolve()}\n", f"pwd of {name}"
        )


@scenario("worker")
def arguments_as_they_are(stage: Stage) -> None:
    """No shell comes near the arguments of a program, and standard input is at its end."""
    stage.worker()
    odd = ["$HOME", "*", "a  b", "'", '"', "\\", "Zo\u00eb", "", "-n", "a\nb"]
    session = stage.observer.begin("arguments")
    stage.observer.submit(
        session, program("odd", "printf", "%s\\0", *odd), program("input", "sh", "-c", "cat; echo end")
    )
    stage.over(session, "odd")
    found = stage.observer.output(session, "odd")["stdout"].decode().split("\0")[:-1]
    expect(found, odd, "the arguments")
    stage.over(session, "input")
    expect(stage.observer.output(session, "input")["stdout"], b"end\n", "what cat found")


@scenario("worker")
def result_and_error_files(stage: Stage) -> None:
    """What a command writes to BR_RESULT_FILE is its result, the last line in BR_ERROR_FILE its error."""
    stage.worker()
    session = stage.observer.begin("files")
    stage.observer.submit(
        session,
        shell("result", """printf 'one\\000two' >"$BR_RESULT_FILE" """),
        shell("error", """printf 'first\\nin its own words\\n' >"$BR_ERROR_FILE"; echo other >&2; exit 3"""),
    )
    expect(stage.over(session, "result").attempts[-1].result.data, b"one\0two", "the result")
    attempt = stage.over(session, "error", "failed").attempts[-1]
    expect((attempt.exit_code, attempt.error), (3, "in its own words"), "exit code and error")


@scenario("worker")
def what_cannot_start(stage: Stage) -> None:
    """A program, directory or handler that is not there fails its task as not started, and nothing else."""
    _, record = stage.worker()
    session = stage.observer.begin("missing")
    stage.observer.submit(
        session,
        program("program", "no-such-program-anywhere"),
        shell("directory", "true", cwd="/no/such/directory"),
        stage.any_task("after"),
    )
    for name in ("program", "directory"):
        attempt = stage.over(session, name, "failed").attempts[-1]
        expect(outcome_word(attempt.outcome), "not_started", f"the outcome of {name}")
        holds(attempt.error, f"{name} must say what was not there")
    stage.over(session, "after")
    known = stage.worker_record(record.worker_id)
    holds(known is not None and known.status in (1, 2), "the worker itself is at no fault")


@scenario("worker")
def oversize_result(stage: Stage) -> None:
    """A result that no message can carry does not harm the worker: the task ends, and the next one runs."""
    _, record = stage.worker()
    session = stage.observer.begin("oversize")
    stage.observer.submit(
        session,
        shell("large", 'head -c 9000000 /dev/zero >"$BR_RESULT_FILE"'),
        shell("words", """head -c 3000000 /dev/zero | tr '\\0' x >"$BR_ERROR_FILE"; exit 1"""),
        stage.any_task("after"),
    )
    stage.over(session, "after")
    large, words = stage.task(session, "large"), stage.over(session, "words", "failed")
    expect(len(large.attempts), 1, "attempts of the large one")
    holds(large.summary.status in (5, 6), "the large one has ended")
    holds(len(large.attempts[0].result.data) <= 1 << 20, "what is kept of a result is at most 1 MiB")
    holds(len(words.attempts[0].error.encode()) <= 4096, "an error has at most 4 KiB")
    expect([one.worker_id for one in stage.observer.all_workers()], [record.worker_id], "workers")
