"""Wire to domain and back: every enumeration value, times, framing, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildrunner_coordinator.domain import model
from buildrunner_coordinator.domain.model import (
    ISOLATED,
    LockKind,
    LockMode,
    Merge,
    PathRequest,
    TaskKind,
    Time,
)
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Acknowledge, Assign, Disposition, Drain, Revoke, Send, Stop
from buildrunner_coordinator.rpc.convert import basics, enums, specs, stream
from buildrunner_coordinator.rpc.convert.sessions import create_command
from buildrunner_coordinator.rpc.convert.workers import register_command
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as worker_pb

MATCHED = {name: value for name, value in vars(enums).items() if isinstance(value, enums.Matched)}


@pytest.mark.parametrize("name", MATCHED)
def test_every_value_of_an_enumeration_goes_both_ways(name):
    matched = MATCHED[name]
    assert matched.to_wire
    for text, number in matched.to_wire.items():
        assert number and matched.domain(number) == text
        assert matched.wire(text) == number
    assert matched.wire("") == matched.wire(None) == 0
    assert matched.domain(0) is None and matched.domain(99) is None


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (types.SessionStatus, "SESSION_STATUS"),
        (types.TaskStatus, "TASK_STATUS"),
        (types.WorkerStatus, "WORKER_STATUS"),
        (types.Outcome, "OUTCOME"),
        (types.WaitKind, "WAIT_KIND"),
        (types.FailureAction, "FAILURE_ACTION"),
        (types.LockMode, "LOCK_MODE"),
        (worker_pb.Disposition, "DISPOSITION"),
    ],
)
def test_no_value_of_the_wire_is_unknown_to_the_domain(wire, name):
    assert set(MATCHED[name].to_wire.values()) == set(wire.values()) - {0}


@given(st.integers(1, 1 << 52))
def test_times_keep_their_microseconds(at_us):
    stamp = basics.timestamp(at_us)
    assert stamp is not None and stamp.ToMicroseconds() == at_us


def test_no_time_is_no_timestamp():
    assert basics.timestamp(0) is None


@given(st.binary(max_size=300))
def test_framed_bytes_are_a_field_of_a_message(data):
    message = types.OutputChunk.FromString(basics.framed(3, data))
    assert message.data == data


@given(st.text(max_size=120), st.integers(3, 200))
def test_cut_text_fits_and_is_a_beginning(text, size):
    short = basics.cut(text, size)
    assert len(short.encode()) <= size
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


@given(st.text(max_size=80))
def test_one_line_has_no_control_characters(text):
    assert not basics._CONTROL.search(basics.one_line(text, 200))


def command(*argv: str, **fields) -> types.TaskSpec:
    fields.setdefault("task_id", "a")
    return types.TaskSpec(command=types.CommandWork(argv=argv), **fields)


def test_a_spec_is_kept_as_it_came_and_taken_apart():
    spec = command(
        "cc", "-c", "a b.c", priority=3, needs=["x"], labels=["b", "a", "b"], slots=2, timeout_ms=5000,
        retry=types.RetryPolicy(max_retries=2), files=[types.PathRequest(path="src/./a.c")],
    )  # fmt: skip
    task = specs.new_task(spec)
    assert types.TaskSpec.FromString(task.spec) == spec
    assert task.title == "cc -c 'a b.c'" and task.needs == ("x",)
    assert task.files == (PathRequest("src/a.c", LockMode.EXCLUSIVE, LockKind.FILE),)
    traits = task.traits
    assert traits.kind is TaskKind.COMMAND and traits.labels == ("a", "b") and traits.slots == 2
    assert (traits.priority, traits.max_retries, traits.backoff_ms) == (3, 2, 1000)


def test_equal_traits_are_one_object():
    assert specs.new_task(command("x")).traits is specs.new_task(command("y")).traits


def test_a_task_without_an_id_gets_one_in_its_spec_too():
    task = specs.new_task(types.TaskSpec(handler=types.HandlerWork(name="f")))
    assert task.task_id and types.TaskSpec.FromString(task.spec).task_id == task.task_id
    assert (task.traits.kind, task.traits.target, task.title) == (TaskKind.HANDLER, "f", "f")


BAD_SPECS = {
    "nothing to run": types.TaskSpec(task_id="a"),
    "either argv or a shell line": types.TaskSpec(command=types.CommandWork(argv=["x"], shell_line="x")),
    "either argv": types.TaskSpec(command=types.CommandWork()),
    "is empty": command(""),
    "NUL": command("a\0b"),
    "control character": command("x", task_id="a\nb"),
    "more than 256 bytes": command("x", task_id="a" * 257),
    "environment have": command("x", environment={"A": "b" * (128 << 10)}),
    "cannot be set": command("x", environment={"A=B": "c"}),
    "absolute path": command("x", directory=types.WorkingDirectory(worktree="relative")),
    "timeout": command("x", timeout_ms=-1),
    "priority": command("x", priority=1001),
    "slots": command("x", slots=-1),
    "retries": command("x", retry=types.RetryPolicy(max_retries=-1)),
    "not JSON": command("x", metadata_json="{"),
    "JSON object": command("x", metadata_json="[]"),
    "leaves the repository": command("x", files=[types.PathRequest(path="../x")]),
    "handler's name is empty": types.TaskSpec(handler=types.HandlerWork()),
}


@pytest.mark.parametrize("words", BAD_SPECS)
def test_an_unfit_spec_is_refused_in_words(words):
    with pytest.raises(Refusal, match=words) as caught:
        specs.new_task(BAD_SPECS[words])
    assert caught.value.reason is Reason.INVALID


def test_where_a_task_runs_and_whether_it_is_audited_are_told_from_its_spec():
    def traits(**fields):
        found = specs.new_task(command("x", **fields)).traits
        return found.place, found.is_audited

    here = types.WorkingDirectory(worktree="/work/app", path="src")
    files, resource = [types.PathRequest(path="src/")], [types.PathRequest(path="res:db")]
    assert traits() == ("", False)
    assert traits(directory=here, files=files) == ("/work/app", True)
    assert traits(files=resource) == ("", False)
    assert traits(files=files, audit=types.AUDIT_MODE_OFF) == ("", False)
    assert traits(audit=types.AUDIT_MODE_ON) == ("", True)
    assert traits(isolation=types.ISOLATION_MODE_WORKTREE, merge=True, directory=here) == (ISOLATED, False)


@pytest.mark.parametrize("isolation", [types.ISOLATION_MODE_UNSPECIFIED, types.ISOLATION_MODE_SHARED])
def test_merge_without_a_worktree_of_its_own_is_refused(isolation):
    with pytest.raises(Refusal, match=r"merge is for tasks with a worktree of their own") as caught:
        specs.new_task(command("x", merge=True, isolation=isolation))
    assert caught.value.reason is Reason.INVALID


def test_a_worktree_for_what_a_program_of_the_user_runs_is_refused():
    external = types.TaskSpec(external=types.ExternalWork(pool="p"), isolation=types.ISOLATION_MODE_WORKTREE)
    with pytest.raises(Refusal, match="a program of yours runs it"):
        specs.new_task(external)


def test_what_a_worker_saw_is_taken_over_within_bounds():
    report = worker_pb.TaskReport(modified_files=["a/./b", "a/b", "../out", "/abs", "", "cafe\u0301"])
    report.audit.patch = b"x" * (stream.MAX_PATCH_BYTES + 3)
    report.audit.merge = worker_pb.MERGE_OUTCOME_CONFLICT
    report.audit.failure = "two\nlines"
    found = stream.finished_command("w", report)
    assert found.modified_files == ("a/b", "caf\u00e9")
    assert found.audit is not None
    assert (len(found.audit.patch), found.audit.patch_dropped_bytes) == (stream.MAX_PATCH_BYTES, 3)
    assert (found.audit.merge, found.audit.failure) == (Merge.CONFLICT, "two lines")
    assert stream.finished_command("w", worker_pb.TaskReport()).audit is None


def test_titles_are_short_single_lines():
    spec = types.TaskSpec(command=types.CommandWork(shell_line="echo 'a\nb'; " + "ä" * 500))
    title = specs.new_task(spec).title
    assert len(title.encode()) <= 200 and "\n" not in title and title.startswith("echo 'a b'")


def test_hostile_metadata_nesting_is_refused_and_not_a_crash():
    with pytest.raises(Refusal):
        basics.check_object("[" * 30_000, "metadata")


@pytest.mark.parametrize("token", ["-1", "x", "9" * 30, "１"])
def test_page_tokens_of_others_are_refused(token):
    with pytest.raises(Refusal):
        basics.page_start(token)


def test_a_session_request_is_checked():
    with pytest.raises(Refusal, match="name is empty"):
        create_command(session_pb.CreateSessionRequest(), 1)
    made = create_command(
        session_pb.CreateSessionRequest(
            name="n", on_failure=types.FailurePolicy(action=types.FAILURE_ACTION_STOP_NOW)
        ),
        1,
    )
    assert (made.failure_action, made.failure_limit) == (model.FailureAction.STOP_NOW, 1)


def test_a_hello_is_checked_and_its_credit_defaults_to_its_slots():
    register = register_command(worker_pb.Hello(slots=3, labels=["b", "a"]), 1)
    assert (register.slots, register.credit, register.labels) == (3, 3, ("a", "b"))
    assert register_command(worker_pb.Hello(slots=3), 1, polls=True).credit == 0
    with pytest.raises(Refusal, match="slots"):
        register_command(worker_pb.Hello(slots=5000), 1)


def test_joined_sends_are_one_message_with_the_spec_as_it_was_stored():
    spec = command("x", task_id="t")
    sends: list[Send | bytes] = [
        Assign("a1", 7, "s", "session", 2, spec.SerializeToString(), 3),
        Acknowledge("a2", 8, Disposition.OUTPUT_MISSING, 55),
        Stop("a3", 9, model.Outcome.CANCELLED, "why"),
        Revoke("a4", 10),
        Drain("leave"),
        stream.encode_heartbeat_reply(4, ["a5"]),
    ]
    (encoded,) = stream.encode_sends(sends, 4 << 20)
    message = worker_pb.ConnectResponse.FromString(encoded)
    (assignment,) = message.assignments
    assert assignment.spec == spec and (assignment.attempt_id, assignment.fence) == ("a1", 7)
    assert (assignment.session_name, assignment.number, assignment.generation) == ("session", 2, 3)
    (ack,) = message.acknowledgements
    assert (ack.disposition, ack.output_offset) == (worker_pb.DISPOSITION_OUTPUT_MISSING, 55)
    assert message.cancellations[0].outcome == types.OUTCOME_CANCELLED
    assert message.revocations[0].attempt_id == "a4" and message.drain.reason == "leave"
    assert message.heartbeat_reply.sequence == 4


@given(
    st.text(max_size=20),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.text(max_size=30),
    st.integers(1, (1 << 31) - 1),
    st.binary(),
)
def test_assignments_written_by_hand_read_as_protobuf_means_them(attempt_id, fence, name, number, data):
    spec = types.TaskSpec(handler=types.HandlerWork(name="f", payload=types.Payload(data=data)))
    send = Assign(attempt_id, fence, "s", name, number, spec.SerializeToString(), number)
    wanted = worker_pb.Assignment(
        attempt_id=attempt_id, fence=fence, session_id="s", session_name=name, number=number, spec=spec,
        generation=number,
    )  # fmt: skip
    message = worker_pb.ConnectResponse.FromString(stream.encode_send(send))
    assert (
        message == worker_pb.ConnectResponse(assignments=[wanted])
        and stream.assignment_message(send) == wanted
    )
    for disposition in Disposition:
        ack = Acknowledge(attempt_id, fence, disposition, number)
        message = worker_pb.ConnectResponse.FromString(stream.encode_send(ack))
        assert message.acknowledgements[0] == stream.acknowledgement_message(ack)


def test_sends_that_do_not_fit_into_one_message_are_several():
    spec = command("x", metadata_json="x" * 100_000).SerializeToString()
    sends = [Assign(str(number), number, "s", "n", 1, spec, 1) for number in range(10)]
    messages = list(stream.encode_sends(sends, 400_000))
    assert len(messages) > 2 and all(len(one) <= 400_000 for one in messages)
    found = [worker_pb.ConnectResponse.FromString(data).assignments for data in messages]
    assert [one.fence for assignments in found for one in assignments] == [*range(10)]


def test_a_report_becomes_a_command_field_by_field():
    report = worker_pb.TaskReport(
        attempt_id="a", fence=2, outcome=types.OUTCOME_FAILED, exit_code=0, signal=9, error="e",
        result=types.Payload(data=b"r", content_type="t"), usage=types.ResourceUsage(max_rss_bytes=5),
        output=[types.OutputChunk(offset=1, channel=types.OUTPUT_CHANNEL_STDERR, data=b"o")],
        output_bytes=2, worker_fault=True,
    )  # fmt: skip
    finished = stream.finished_command("w", report)
    assert (finished.outcome, finished.exit_code, finished.signal) == (model.Outcome.FAILED, 0, 9)
    assert (finished.result_type, finished.result, finished.max_rss_bytes) == ("t", b"r", 5)
    assert finished.output[0].channel == 2 and finished.worker_fault
    bare = stream.finished_command("w", worker_pb.TaskReport(attempt_id="a"))
    assert bare.exit_code is None and bare.result is None and bare.outcome is model.Outcome.FAILED


@pytest.mark.parametrize(("percent", "taken"), [(50.0, 50.0), (-1, 0), (1e9, 100), (float("nan"), 0)])
def test_progress_is_a_percentage_whatever_is_said(percent, taken):
    message = worker_pb.TaskProgress(percent=percent, message="a\nb")
    progress = stream.progress_command("w", message)
    assert progress.percent == taken and progress.message == "a b"


def test_the_time_at_which_a_lapsed_lock_is_freed_is_shown_as_wall_time():
    from buildrunner_coordinator.domain.replies import Holder, LockView
    from buildrunner_coordinator.rpc.convert.locks import lock_message

    view = LockView("l", "p", LockMode.SHARED, LockKind.TREE, Holder(*["x"] * 6), 1, 5, 1_500)
    message = lock_message(view, "workspace", Time(1_000, 9_000))
    assert message.freed_at.ToMicroseconds() == 9_500


def test_metadata_is_kept_as_it_was_written():
    text = json.dumps({"big": 2**70})
    assert basics.check_object(text, "metadata") == text
