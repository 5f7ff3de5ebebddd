"""unlock: giving back, and taking away by force with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.errors import NotFoundError, StaleError
from buildrunner_parallel.records import LockHolder, LockListing
from tests.cli.fake_locks import FENCE, GRANT_ID, lock_of

TASK = LockHolder("b7c8d9e0", "Docs", "pages", "a1a1a1a1", "d4e5f6a7", "box")


@pytest.fixture
def held(build):
    """Two paths of the session's own, and two of a task of another."""
    of_task = [
        replace(lock_of(path), lock_id=f"a1a1a1a1-{number}", holder=TASK, grant_id="")
        for number, path in enumerate(("docs/", "index.html"))
    ]
    build.listing = LockListing((lock_of("src/"), lock_of("app.py"), *of_task))
    return build


def changes(build):
    return [call for call in build.calls if call[0] in ("release_locks", "force_release")]


def test_all_that_a_session_holds_itself_is_given_back(held, br):
    assert br("unlock", "last").stdout == (
        "2 paths of session a3f2e1d9 (Build v3.1) given back\n"
        "PATH\tMODE\tFENCE\n"
        f"src/\texclusive\t{FENCE}\n"
        f"app.py\texclusive\t{FENCE}\n"
    )
    assert changes(held) == [("release_locks", "a3f2e1d9", (), {})]


def test_some_of_it_is_given_back(held, br, br_json):
    assert br("unlock", "a3f2", "src/", "--quiet").stdout == "src/\n"
    assert [lock["path"] for lock in br_json("unlock", "a3f2", "app.py")["locks"]] == ["app.py"]


def test_what_has_a_lease_is_given_back_by_its_grant_and_fence(held, br):
    result = br("unlock", "--grant", GRANT_ID, "--fence", FENCE)
    assert result.stdout.startswith(f"2 paths of grant {GRANT_ID} given back\n")
    assert changes(held) == [("release_locks", "", (), {"grant_id": GRANT_ID, "fence": FENCE})]


def test_nothing_held_is_nothing_to_do(build, br, br_json):
    result = br("unlock", "a3f2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Nothing to do: session a3f2e1d9 (Build v3.1) holds no path itself\n"
    assert br_json("unlock", "a3f2")["locks"] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("Session a3f2e1d9 does not hold lib itself.", reason="LOCK_NOT_HELD"), 4),
        (StaleError("Grant ab12 is not held under fence 3.", reason="STALE"), 5),
    ],
)
def test_what_is_not_held_and_a_wrong_fence_are_refused_in_one_line(held, br, error, code):
    held.failing["release_locks"] = error
    result = br("unlock", "a3f2", "lib")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"{error}\n")


# ---------------------------------------------------------------- by force


def test_a_lock_is_taken_away_from_a_task_which_is_stopped(held, br):
    result = br("unlock", "--force", "a1a1a1a1-1", "--reason", "it hangs")
    assert result.stdout.splitlines() == [
        "2 paths taken away from task pages of session b7c8d9e0 (Docs) on worker d4e5f6a7 at box: "
        "it is stopped first, and fails",
        "PATH\tMODE\tFENCE",
        f"index.html\texclusive\t{FENCE}",
        f"docs/\texclusive\t{FENCE}",
    ]
    assert changes(held) == [("force_release", "a1a1a1a1-1", "it hangs", {})]


def test_the_beginning_of_an_id_is_enough_where_it_fits_one_holder(held, br):
    assert br("unlock", "--force", "ab12cd34", "--reason", "gone home").exit_code == 0
    assert changes(held) == [("force_release", f"{GRANT_ID}-src", "gone home", {})]


def test_the_beginning_of_several_holders_locks_names_them(held, br):
    other = replace(lock_of("lib", grant_id="ab12ffff"), lock_id="ab12ffff-lib")
    held.listing = LockListing((*held.listing.locks, other))
    result = br("unlock", "--force", "ab12", "--reason", "x")
    assert result.exit_code == 4
    assert result.stderr.splitlines() == [
        "'ab12' is the beginning of several locks",
        f"It could be: {GRANT_ID}-src, {GRANT_ID}-app.py, ab12ffff-lib",
    ]
    assert changes(held) == []


@pytest.mark.parametrize("lock_id", ["nosuch", "a1a", ""])
def test_an_unknown_one_is_refused_by_the_coordinator(held, br, lock_id):
    held.failing["force_release"] = NotFoundError(f"There is no lock {lock_id!r}: it may be free by now.")
    result = br("unlock", "--force", lock_id, "--reason", "x")
    # An empty id is no id: then a session is missing.
    assert result.exit_code == (4 if lock_id else 2)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Invalid value for SESSION: is needed"),
        (["--force", "a1-0"], "Invalid value for --reason: is needed with --force"),
        (["--force", "a1-0", "--reason", "  "], "Invalid value for --reason: is needed with --force"),
        (["a3f2", "--force", "a1-0", "--reason", "x"], "Invalid value for --force: takes a lock's id"),
        (["a3f2", "--reason", "x"], "Invalid value for --reason: only together with --force"),
        (["a3f2", "--grant", "ab"], "Invalid value for --grant, --fence: go together"),
        (["a3f2", "--fence", "3"], "Invalid value for --grant, --fence: go together"),
        (["a3f2", "--grant", "ab", "--fence", "0"], "'--fence'"),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(held, br, arguments, told):
    result = br("unlock", *arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert told in line
    assert held.calls == []
