"""Sessions of an earlier program in sessions.json: taken over once, or refused in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildrunner_parallel.compat.importing import _parsed, _sessions, _UnfitError
from tests.compat.conftest import Place


def entry(session_id="a3f2e1d9", **changes):
    return {
        "session_id": session_id, "name": f"old {session_id}", "status": "running",
        "created_at": "2025-01-02T03:04:05.678901", "started_at": "2025-01-02T03:05:00", "completed_at": None,
        "total_tasks": 9, "completed_tasks": 3, "failed_tasks": 1, "in_progress_tasks": 2,
        "files_locked": ["src/b.py", "src/a.py"], "files_modified": ["m.py"], "worker_id": "w1",
        "progress_percent": 44.4, "metadata": {"k": [1]}, **changes,
    }  # fmt: skip


pytestmark = pytest.mark.timeout(400)  # each look brings up a coordinator
ENDED: dict[str, Any] = {
    "status": "completed",
    "completed_at": "2025-02-03T04:05:06",
    "files_locked": [],
    "worker_id": None,
}


@pytest.fixture
def bare(tmp_path):
    place = Place(tmp_path)
    yield place
    place.nothing_is_left()


def look(place, expression="[s.to_dict() for s in m.list_sessions()]", path="'sessions.json'"):
    return json.loads(
        place.python(f"import json; m = SessionManager({path}); print(json.dumps({expression}))")
    )


@pytest.mark.parametrize(
    "shape",
    [
        lambda entries: {"sessions": entries, "last_updated": "2025-01-01T00:00:00"},
        lambda entries: {"sessions": {one["session_id"]: one for one in entries}},
        lambda entries: {one.pop("session_id"): one for one in entries},
        lambda entries: entries,
    ],
)
def test_the_file_may_be_a_list_or_go_by_id(shape):
    entries = [entry(), entry("bbbbbbbb", **ENDED)]
    found = _sessions(_parsed(json.dumps(shape(entries)).encode()))
    assert [one.session_id for one in found] == ["a3f2e1d9", "bbbbbbbb"]
    assert found[0].metadata == {"k": [1]}


def test_sessions_come_with_everything_and_only_once(bare):
    file = bare.folder / "sessions.json"
    file.write_text(json.dumps({"sessions": [entry(), entry("bbbbbbbb", **ENDED)]}))
    before = file.read_bytes()
    by_id = {one["session_id"]: one for one in look(bare)}
    expected = entry(files_locked=["src/a.py", "src/b.py"])
    assert {**by_id["a3f2e1d9"], "progress_percent": 44.4} == expected
    assert by_id["bbbbbbbb"]["completed_at"] == "2025-02-03T04:05:06"
    look(bare, "[m.complete_session('a3f2e1d9').status.value, m.cleanup_old_sessions()]")
    file.write_text(json.dumps([entry("cccccccc")]))  # what an older program writes later is not looked at
    assert [one["session_id"] for one in look(bare)] == ["a3f2e1d9"]
    file.write_bytes(before)


def test_the_file_in_the_workspaces_own_directory_is_taken_too(own_place):
    own_place.state.mkdir()
    (own_place.state / "sessions.json").write_text(json.dumps([entry()]))
    assert [one["name"] for one in look(own_place, path="")] == ["old a3f2e1d9"]


HOSTILE = {
    "no JSON": "{",
    "no text": b"\xff\xfe\x00",
    "too deep": "[" * 100_000,
    "something else": '"sessions"',
    "an entry that is none": "[3]",
    "an id that is none": json.dumps([entry("../../etc")]),
    "an id with an escape sequence": json.dumps([entry("\x1b[31mred00")]),
    "the same id twice": json.dumps([entry(), entry()]),
    "a number that is none": json.dumps([entry(total_tasks="9")]),
    "a number that is truth": json.dumps([entry(total_tasks=True)]),
    "a negative number": json.dumps([entry(failed_tasks=-1)]),
    "a huge number": json.dumps([entry(failed_tasks=10**30)]),
    "no number": json.dumps([entry(metadata={"n": float("nan")})]),
    "no such status": json.dumps([entry(status="sleeping")]),
    "no status": json.dumps([entry(status=None)]),
    "no time": json.dumps([entry(created_at="yesterday")]),
    "a time beyond all times": json.dumps([entry(started_at="0001-01-01T00:00:00")]),
    "files that are none": json.dumps([entry(files_locked=[1])]),
    "one that is fit and one that is not": json.dumps([entry(), entry("bbbbbbbb", metadata=[])]),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_unfit_is_named(text):
    with pytest.raises(_UnfitError) as caught:
        _sessions(_parsed(text if isinstance(text, bytes) else text.encode()))
    assert "\n" not in str(caught.value)


BAD_FOR_THE_COORDINATOR = {
    "a name with an escape sequence": entry("bbbbbbbb", name="\x1b]0;title\x07"),
    "a name of 10,000 characters": entry("bbbbbbbb", name="x" * 10_000),
    "files outside the repository": entry("bbbbbbbb", files_locked=["../../../etc/passwd"]),
    "modified files outside": entry("bbbbbbbb", files_modified=["../../../etc/passwd"]),
    "large metadata": entry("bbbbbbbb", metadata={"x": "y" * 100_000}),
}


def test_a_bad_file_is_refused_in_one_line_and_nothing_is_lost_or_taken(bare):
    file = bare.folder / "sessions.json"
    cases = [*BAD_FOR_THE_COORDINATOR.values(), {"session_id": "x\x1b[2J"}]
    program = f"""
import json, sys
from pathlib import Path
file = Path("sessions.json")
for bad in json.load(open("cases.json")):
    file.write_text(json.dumps([{entry()!r}, bad]))
    before = file.read_bytes()
    try:
        SessionManager("sessions.json")
        print("taken")
    except ValueError as error:
        print(json.dumps(str(error)))
    assert file.read_bytes() == before
file.unlink()
print(len(SessionManager("sessions.json").list_sessions()))
"""
    (bare.folder / "cases.json").write_text(json.dumps(cases))
    *told, count = bare.python(program).splitlines()
    assert len(told) == len(cases) and count == "0"
    for line in map(json.loads, told):
        assert "sessions.json cannot be taken over: " in line and line.isprintable(), line
        assert "mend it, or move it away" in line
    assert not file.exists()


def test_locks_that_somebody_has_meanwhile_are_told_and_the_rest_is_taken(bare):
    other = entry("bbbbbbbb", files_locked=["src/a.py"])
    (bare.folder / "sessions.json").write_text(json.dumps([entry(), other]))
    program = (
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always'); m = SessionManager('sessions.json')\n"
        "print(len(m.sessions), [str(one.message) for one in seen])"
    )
    count, told = bare.python(program).split(" ", 1)
    assert count == "2"
    assert (
        "session bbbbbbbb was taken over without its locks: Files already locked by session a3f2e1d9" in told
    )
