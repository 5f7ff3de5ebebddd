"""What a hook says and ends with, for tasks and for people, by what the coordinator answers."""

from __future__ import annotations

import os
import socket

import pytest

from buildrunner_parallel.enums import LockKind
from buildrunner_parallel.errors import StaleError, UnreachableError
from buildrunner_parallel.guard import check
from buildrunner_parallel.guard.changes import Touched
from buildrunner_parallel.guard.check import GOES_ON, REFUSED, Unasked, judge
from buildrunner_parallel.records import LockConflict, LockHolder

HOLDER = LockHolder("a3f2e1d9", "Build", "lint")
HELD = LockConflict("src/app.py", "src/app.py", holder=HOLDER, held_ms=90_000, lock_id="1")


class Answering:
    """A client that finds what it was told to, or raises it, and knows what it was asked."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    def __enter__(self):
        return self

    def __exit__(self, *_error) -> None:
        pass

    def preview_locks(self, paths):
        self.asked.append([one.path for one in paths])
        if isinstance(self.answer, Exception):
            raise self.answer
        return [one for one in self.answer if one.asked_path in self.asked[-1]]


@pytest.fixture(autouse=True)
def _person(monkeypatch):
    for name in [name for name in os.environ if name.startswith("BR_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def answers(monkeypatch):
    """Sets what the coordinator says; Unasked: that nobody does."""

    def prepare(*found, error: Exception | None = None) -> Answering:
        client = Answering(error or found)

        def connect():
            if isinstance(error, Unasked):
                raise error
            return client

        monkeypatch.setattr(check, "connect", connect)
        return client

    return prepare


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setenv("BR_TASK_ID", "t")


def commit(*paths: str) -> Touched:
    return Touched(True, list(paths))


def test_a_task_hears_who_holds_what_since_when_and_what_to_do(answers, task, capsys):
    answers(HELD)
    assert judge(commit("src/app.py", "free"), strict=False) == REFUSED
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "br guard: src/app.py is held by task lint of session a3f2e1d9 (Build) for 1m30s",
        "br guard: the commit is refused. See br parallel locks src/app.py; commit when it is free.",
    ]


def test_a_person_is_warned_and_goes_on_and_with_strict_does_not(answers, capsys):
    answers(HELD)
    assert judge(commit("src/app.py"), strict=False) == GOES_ON
    assert "the commit goes on; it may be in somebody's way." in capsys.readouterr().err
    assert judge(commit("src/app.py"), strict=True) == REFUSED


def test_what_others_wait_for_is_nobodys(answers, task, capsys):
    answers(LockConflict("a", "a", holder=HOLDER, queue_position=1))
    assert judge(commit("a"), strict=True) == GOES_ON
    assert capsys.readouterr().err == ""


def test_many_paths_are_asked_for_a_thousand_at_a_time(answers, task):
    paths = [f"p{number}" for number in range(2500)]
    client = answers(LockConflict("p2499", "p2499", holder=HOLDER))
    assert judge(commit(*paths), strict=False) == REFUSED
    assert [len(one) for one in client.asked] == [1000, 1000, 500]
    assert [path for one in client.asked for path in one] == paths


def test_ten_conflicts_are_shown_and_the_rest_is_counted(answers, task, capsys):
    answers(*(LockConflict(f"p{number}", f"p{number}", holder=HOLDER) for number in range(25)))
    judge(commit(*(f"p{number}" for number in range(25))), strict=False)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 12
    assert said[10] == "br guard: and 15 more"


def test_folders_are_told_as_folders_and_names_as_a_shell_takes_them(answers, task, capsys):
    whole = LockConflict("", "src/a b", holder=HOLDER, held_kind=LockKind.TREE)
    assert check.lines_of([whole])[0].startswith("./ is held by task lint")
    answers(LockConflict("src/a b/c", "src/a b", holder=HOLDER, held_kind=LockKind.TREE))
    judge(commit("src/a b/c"), strict=False)
    said = capsys.readouterr().err
    assert "src/a b/c is held by task lint of session a3f2e1d9 (Build) by a lock of src/a b/ for" in said
    assert "See br parallel locks 'src/a b/c'; " in said


def test_names_that_would_drive_a_terminal_are_told_in_one_plain_line(answers, task, capsys):
    name = "a\nbr guard: all is well\x1b[2J"
    answers(LockConflict(name, name, holder=LockHolder("a3f2e1d9", "x\ny", "t")))
    assert judge(commit(name), strict=False) == REFUSED
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("error", "person", "strict"),
    [
        (Unasked("no coordinator has run here"), GOES_ON, GOES_ON),
        (Unasked("it does not answer", is_silent=True), GOES_ON, REFUSED),
        (UnreachableError("it went away"), GOES_ON, REFUSED),
        (StaleError("Grant 1 is over."), GOES_ON, REFUSED),
    ],
)
def test_without_an_answer_tasks_stop_and_people_as_they_wanted(answers, monkeypatch, error, person, strict):
    answers(error=error)
    assert judge(commit("a"), strict=False) == person
    assert judge(commit("a"), strict=True) == strict
    monkeypatch.setenv("BR_ATTEMPT_ID", "a")
    assert judge(commit("a"), strict=False) == REFUSED


def test_where_no_coordinator_runs_people_hear_nothing_and_tasks_hear_why(answers, monkeypatch, capsys):
    answers(error=Unasked("nobody listens at unix:/s"))
    judge(commit("a"), strict=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("BR_TASK_ID", "t")
    judge(commit("a"), strict=False)
    assert capsys.readouterr().err == (
        "br guard: nobody can tell who holds what: nobody listens at unix:/s. The commit is refused.\n"
    )


def test_an_empty_commit_under_a_stale_fence_is_refused_too(answers, task, capsys):
    answers(error=StaleError("Attempt 1 is over."))
    assert judge(commit(), strict=False) == REFUSED
    assert capsys.readouterr().err == "br guard: Attempt 1 is over. The commit is refused.\n"


def test_what_is_no_commit_asks_nobody_and_neither_does_a_persons_empty_one(answers, monkeypatch):
    client = answers(HELD)
    assert judge(commit(), strict=True) == GOES_ON
    monkeypatch.setenv("BR_TASK_ID", "t")
    assert judge(Touched(False, []), strict=True) == GOES_ON
    assert client.asked == []


def test_the_second_hook_of_a_commit_does_not_say_it_again_and_the_next_commit_does(
    answers, tmp_path, capsys
):
    answers(HELD)
    told = tmp_path / "told"
    for _commit in range(2):
        judge(commit("src/app.py"), strict=False, told=told)
        assert "is held by" in capsys.readouterr().err
        judge(commit("src/app.py"), strict=False, told=told, forget=True)
        assert capsys.readouterr().err == ""
        assert not told.exists()
    judge(commit("src/app.py"), strict=False, told=told, forget=True)
    assert "is held by" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["missing", "left behind", "port"])
def test_where_nobody_listens_a_person_is_not_made_to_wait(tmp_path, form):
    if form == "port":
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
    else:
        path = tmp_path / "s"
        address = f"unix:{path}"
        if form == "left behind":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
    assert not check._listens(address)


def test_who_listens_and_does_not_answer_is_there(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        assert check._listens(f"unix:{tmp_path / 's'}")


@pytest.mark.parametrize("env", [{"BR_TASK_ID": "t"}, {"BR_ATTEMPT_ID": "a", "BR_FENCE": "x"}])
def test_a_task_that_cannot_say_which_attempt_it_is_is_not_taken_for_nobody(monkeypatch, capsys, env):
    for name in ("BR_TASK_ID", "BR_ATTEMPT_ID", "BR_FENCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert judge(commit("a"), strict=False) == REFUSED
    assert "has BR_ATTEMPT_ID and BR_FENCE, and this one has not both" in capsys.readouterr().err
