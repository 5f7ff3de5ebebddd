"""lock: its words, what it asks for, what it says of what it got and of what is in the way."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from buildrunner_parallel.cli import app as program
from buildrunner_parallel.cli.lock_waiting import waiting_phrase
from buildrunner_parallel.errors import DeadlockError, LockConflictError, StaleError, WrongStateError
from buildrunner_parallel.records import LockConflict, LockHolder, LockKind, LockMode, LockWaiter, PathRequest
from tests.cli.fake_locks import FENCE, GRANT_ID

FULL_HOLDER = LockHolder("b7c8d9e0", "Docs", "pages", "a1", "d4e5f6a7", "box")


def asked(build) -> dict[str, object]:
    """What the one request had beside its paths."""
    ((_, session, paths, options),) = [call for call in build.calls if call[0] == "acquire_locks"]
    return {"session": session, "paths": paths, **options}


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("words", "paths", "wait"),
    [
        (["src"], ["src"], None),
        (["src", "--wait"], ["src"], True),
        (["--wait", "src", "lib/"], ["src", "lib/"], True),
        (["--wait", "30s", "src"], ["src"], 30.0),
        (["src", "--wait", "90"], ["src"], 90.0),
        (["src", "--wait=1m30s"], ["src"], 90.0),
        (["--wait", "./30s"], ["./30s"], True),
        (["--wait", "soon"], ["soon"], True),
        (["--wait=0", "src"], ["src"], None),
        (["src", "--wait", "--shared"], ["src"], True),
    ],
)
def test_a_word_behind_wait_is_its_value_only_if_it_is_a_duration(build, br, words, paths, wait):
    result = br("lock", "a3f2", *words)
    assert result.exit_code == 0, result.output
    found = asked(build)
    assert (found["paths"], found.get("wait")) == (paths, wait)


@pytest.mark.parametrize("value", ["soon", "", "-1", "1e9", "nan", "30x"])
def test_a_nonsense_duration_is_refused_and_nothing_asked(build, br, value):
    result = br("lock", "a3f2", "src", f"--wait={value}")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("br parallel lock: Invalid value for --wait: expected a duration such as 90s")
    assert build.calls == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument"),
        (["--"], "Invalid value for PATH: name at least one"),
        (["--", "ls"], "Invalid value for PATH: name at least one"),
        (["src", "--"], "Invalid value for CMD: there is nothing to run"),
        (["src", "--json", "--", "ls"], "Invalid value for --json: standard output belongs to CMD"),
        (["src", "--lease", "soon"], "Invalid value for '--lease': expected a duration"),
    ],
)
def test_wrong_usage_is_one_line_and_asks_for_nothing(build, br, words, told):
    result = br("lock", "a3f2", *words)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert told in line
    assert build.calls == []


def test_mode_and_lease_go_along(build, br):
    assert br("lock", "last", "src", "--shared", "--lease", "10m").exit_code == 0
    assert asked(build) == {"session": "a3f2e1d9", "paths": ["src"], "mode": "shared", "lease": 600.0}


# ---------------------------------------------------------------- what is held


def test_what_is_held_is_shown_with_its_fence(build, br):
    assert br("lock", "a3f2", "src/", "app.py").stdout == (
        "Session a3f2e1d9 (Build v3.1) holds 2 paths\n"
        "PATH\tMODE\tFENCE\tGRANT\n"
        f"src/\texclusive\t{FENCE}\t{GRANT_ID}\n"
        f"app.py\texclusive\t{FENCE}\t{GRANT_ID}\n"
    )
    assert br("lock", "a3f2", "app.py", "--quiet").stdout == "app.py\n"


def test_json_has_the_locks(build, br_json):
    (lock,) = br_json("lock", "a3f2", "src/")["locks"]
    assert (lock["path"], lock["kind"], lock["mode"], lock["fence"]) == ("src", "tree", "exclusive", FENCE)
    assert lock["holder"]["session_id"] == "a3f2e1d9"


def test_a_terminal_is_told_how_to_give_back(build, terminal):
    told = " ".join(terminal("lock", "a3f2", "src/").stdout.split())
    assert "br parallel unlock a3f2e1d9 PATH" in told
    told = " ".join(terminal("lock", "a3f2", "src/", "--lease", "1m", columns=120).stdout.split())
    assert f"br parallel unlock --grant {GRANT_ID} --fence {FENCE}" in told


# ---------------------------------------------------------------- what is in the way


def conflict(**changes):
    told = {"asked_path": "src/app.py", "held_path": "src", "held_kind": LockKind.TREE, "holder": FULL_HOLDER,
            "held_ms": 185_000, "lock_id": "a1-0"}  # fmt: skip
    return LockConflict(**{**told, **changes})


def refused(build, br, *conflicts, error=LockConflictError, reason="LOCK_CONFLICT"):
    message = "Files already locked by session b7c8d9e0: src/app.py"
    build.failing["acquire_locks"] = error(message, reason=reason, conflicts=conflicts)
    result = br("lock", "a3f2", "src/app.py")
    assert (result.exit_code, result.stdout) == (5, "")
    first, *lines = result.stderr.splitlines()
    assert first == message
    return lines


def test_a_refusal_names_every_conflict_and_what_to_do(build, br):
    assert refused(
        build,
        br,
        conflict(),
        conflict(
            held_mode=LockMode.SHARED, asked_path="", queue_position=2, held_ms=4000, lock_id="",
            holder=LockHolder("ffffffff", "Lint", host="box", grant_id="g"),
        ),
        conflict(holder=LockHolder("ffffffff", "Lint"), lock_id="ab-1", silent_ms=7_200_000),
    ) == [
        "  src/app.py (exclusive): src/ is held (exclusive) by task pages of session b7c8d9e0 (Docs) on "
        "worker d4e5f6a7 at box for 3m05s; wait for it with --wait, or take it away: "
        "br parallel unlock --force a1-0 --reason TEXT",
        "  ./ (exclusive): src/ was asked for before (shared) by session ffffffff (Lint) at box, 2nd in the "
        "queue, which waits for 4.0s; wait for it with --wait",
        "  src/app.py (exclusive): src/ is held (exclusive) by session ffffffff (Lint) for 3m05s, and "
        "nothing was heard of that session for 2h00m; if nobody needs it: br parallel unlock ffffffff src/",
    ]  # fmt: skip


def test_whoever_has_waited_and_whoever_cannot_is_not_told_to_add_an_option(build, br):
    build.failing["acquire_locks"] = build.failing["retry_tasks"] = LockConflictError(
        "taken", conflicts=[conflict()]
    )
    assert "; wait longer for it, or take it away: " in br("lock", "a3f2", "src", "--wait=5s").stderr
    retried = br("retry", "a3f2")
    assert retried.exit_code == 5
    assert "; wait for it, or take it away: " in retried.stderr


def test_of_a_circle_nobody_is_told_to_wait(build, br):
    lines = refused(
        build, br, conflict(), conflict(lock_id="", queue_position=1), error=DeadlockError, reason="DEADLOCK"
    )
    assert "; release it first, or take it away: br parallel unlock --force a1-0" in lines[0]
    assert lines[1].endswith("; nobody in a circle goes on before one of them gives up")


def test_json_of_a_refusal_has_the_conflicts(build, br):
    build.failing["acquire_locks"] = LockConflictError("taken", conflicts=[conflict()])
    result = br("lock", "a3f2", "src/app.py", "--json")
    assert result.exit_code == 5
    assert result.stdout.startswith('{"schema_version": 1, "locks": [], "conflicts": [{"asked_path": "src/')
    assert result.stderr.startswith("taken\n  src/app.py (exclusive)")


def test_hostile_names_in_a_refusal_are_harmless(build, br):
    evil = "\x1b[2J\u202e\n[red]"
    holder = LockHolder("b7c8d9e0", evil, evil, evil, evil, evil)
    (line,) = refused(build, br, conflict(asked_path=evil, held_path=evil, holder=holder, lock_id=evil))
    assert "[red]" in line and not {"\x1b", "\u202e"} & set(line)


@pytest.mark.parametrize(
    ("error", "code"), [(StaleError("stale"), 5), (WrongStateError("Session a3f2e1d9 is completed"), 1)]
)
def test_other_refusals_are_one_line(build, br, error, code):
    build.failing["acquire_locks"] = error
    result = br("lock", "a3f2", "src")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"{error}\n")


def test_an_interrupted_wait_says_that_nothing_is_held(build, br):
    build.failing["acquire_locks"] = KeyboardInterrupt()
    result = br("lock", "a3f2", "src", "--wait")
    assert (result.exit_code, result.stderr) == (130, "Interrupted. Nothing is held.\n")


# ---------------------------------------------------------------- while it waits


def waiter(waited_ms, position, *conflicts, grant_id="g1"):
    holder = LockHolder("a3f2e1d9", "Build v3.1", grant_id=grant_id)
    return LockWaiter(holder, (PathRequest("src", "exclusive", "tree"),), waited_ms, position, conflicts)


def test_it_is_told_who_is_waited_for_and_at_which_place():
    found = waiting_phrase(
        [
            waiter(60_000, 1, conflict(asked_path="other")),
            waiter(3_100, 3, conflict(), conflict(holder=LockHolder("ffffffff"), queue_position=1)),
            waiter(3_000, 2, grant_id=""),
        ],
        3.0,
    )
    assert found == (
        ", 3rd in the queue: src/ held by b7c8d9e0/pages (Docs) for 3m05s; src/ asked for before by ffffffff"
    )
    assert waiting_phrase([], 3.0) == ""


def test_nothing_is_drawn_where_standard_error_is_no_terminal(build):
    result = CliRunner().invoke(program.br_app, ["parallel", "lock", "a3f2", "src", "--wait"], prog_name="br")
    assert (result.exit_code, result.stderr) == (0, "")
    assert not [call for call in build.calls if call[0] == "list_locks"]
