"""The hot path: messages of a worker's stream to commands, sends to bytes that are joined, not built.

Reads only the fields that are needed. An assignment's spec is written as it was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice

from buildrunner_coordinator.domain.commands import (
    AppendOutput,
    Audit,
    Chunk,
    Finished,
    Heartbeat,
    Progress,
    Revoked,
    SetCredit,
    Started,
)
from buildrunner_coordinator.domain.model import Outcome
from buildrunner_coordinator.domain.paths import normalise
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.replies import Acknowledge, Assign, Drain, OutputAck, Revoke, Send, Stop
from buildrunner_coordinator.rpc.convert.basics import MAX_TEXT_BYTES, cut, framed, one_line, varint
from buildrunner_coordinator.rpc.convert.enums import DISPOSITION, MERGE, OUTCOME
from buildrunner_coordinator.rpc.convert.workers import MAX_CREDIT, held_attempts
from buildrunner_parallel.v1 import log_service_pb2 as log_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as pb

MAX_MODIFIED_FILES = 10_000
MAX_PATCH_BYTES = 1 << 20
_HEADROOM_BYTES = 64 << 10

# ------------------------------------------------------------------ from the worker


def stream_commands(worker_id: str, generation: int, message: pb.ConnectRequest) -> list[object]:
    """What one message says, in the order in which it must be taken; without hello, heartbeat, goodbye."""
    commands: list[object] = [started_command(worker_id, one) for one in message.started]
    commands += [progress_command(worker_id, one) for one in message.progress]
    commands += [finished_command(worker_id, one) for one in message.reports]
    commands += [
        Revoked(worker_id, one.attempt_id, one.fence, one.started) for one in message.revocation_answers
    ]
    if message.credit > 0:
        commands.append(SetCredit(worker_id, generation, min(message.credit, MAX_CREDIT)))
    return commands


def heartbeat_command(worker_id: str, generation: int, heartbeat: pb.Heartbeat) -> Heartbeat:
    return Heartbeat(worker_id, generation, held_attempts(heartbeat.held))


def started_command(worker_id: str, started: pb.TaskStarted) -> Started:
    return Started(
        worker_id, started.attempt_id, started.fence, started.pid, started.started_at_us, started.slot
    )


def progress_command(worker_id: str, progress: pb.TaskProgress) -> Progress:
    percent = min(max(progress.percent, 0.0), 100.0) if progress.percent == progress.percent else 0.0
    return Progress(worker_id, progress.attempt_id, progress.fence, percent, one_line(progress.message, 256))


def finished_command(worker_id: str, report: pb.TaskReport) -> Finished:
    result = report.result if report.HasField("result") else None
    usage = report.usage
    return Finished(
        worker_id,
        report.attempt_id,
        report.fence,
        OUTCOME.domain(report.outcome) or Outcome.FAILED,
        report.exit_code if report.HasField("exit_code") else None,
        report.signal,
        cut(report.error, MAX_TEXT_BYTES) if report.error else "",
        result.content_type if result is not None else "",
        result.data if result is not None else None,
        usage.user_cpu_us,
        usage.system_cpu_us,
        usage.max_rss_bytes,
        report.pid,
        report.started_at_us,
        report.ended_at_us,
        report.slot,
        chunks(report.output) if report.output else (),
        report.output_bytes,
        report.output_dropped_bytes,
        report.worker_fault,
        modified_files(report.modified_files) if report.modified_files else (),
        audit_of(report.audit) if report.HasField("audit") else None,
    )


def modified_files(paths: Iterable[str]) -> tuple[str, ...]:
    """In order, without repeats; what is no path below the root is passed over."""
    found: dict[str, None] = {}
    for path in islice(paths, MAX_MODIFIED_FILES):
        with suppress(Refusal):
            found[normalise(path)] = None
    return tuple(found)


def audit_of(message: pb.AuditReport) -> Audit:
    patch = message.patch[:MAX_PATCH_BYTES]
    return Audit(
        max(message.more_files, 0),
        patch,
        max(message.patch_dropped_bytes, 0) + len(message.patch) - len(patch),
        one_line(message.failure, MAX_TEXT_BYTES),
        one_line(message.branch, MAX_TEXT_BYTES),
        one_line(message.commit, MAX_TEXT_BYTES),
        MERGE.domain(message.merge),
    )


def chunks(pieces: Iterable[types.OutputChunk]) -> tuple[Chunk, ...]:
    """A channel that is not known counts as stdout."""
    return tuple(
        Chunk(piece.offset, 2 if piece.channel == 2 else 1, piece.data, max(piece.dropped_bytes, 0))
        for piece in pieces
    )


def append_commands(message: log_pb.WriteOutputRequest) -> list[AppendOutput]:
    return [
        AppendOutput(message.worker_id, one.attempt_id, one.fence, chunks(one.chunks))
        for one in message.outputs
    ]


def output_acknowledgement(ack: OutputAck) -> log_pb.OutputAcknowledgement:
    return log_pb.OutputAcknowledgement(
        attempt_id=ack.attempt_id, fence=ack.fence, offset=ack.offset, stale=ack.stale
    )


# ------------------------------------------------------------------ to the worker


def encode_sends(entries: Sequence[Send | bytes], max_message_bytes: int) -> Iterator[bytes]:
    """Messages of the stream that hold `entries` in order, each as large as it may be.

    Entries that are bytes are encoded messages already: joined messages merge.
    """
    limit = max(max_message_bytes - _HEADROOM_BYTES, _HEADROOM_BYTES)
    parts: list[bytes] = []
    size = 0
    for entry in entries:
        part = entry if isinstance(entry, bytes) else encode_send(entry)
        if parts and size + len(part) > limit:
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield b"".join(parts)


def encode_send(send: Send) -> bytes:
    """A ConnectResponse that holds nothing but `send`."""
    if isinstance(send, Assign):
        return _encode_assignment(send)
    if isinstance(send, Acknowledge):
        return _encode_acknowledgement(send)
    if isinstance(send, Stop):
        return pb.ConnectResponse(cancellations=[cancellation_message(send)]).SerializeToString()
    if isinstance(send, Revoke):
        revocation = pb.Revocation(attempt_id=send.attempt_id, fence=send.fence)
        return pb.ConnectResponse(revocations=[revocation]).SerializeToString()
    assert isinstance(send, Drain), f"{type(send).__name__} is not for workers"
    return _encode_drain(send)


def _encode_assignment(send: Assign) -> bytes:
    """By hand, at less than half the time of building the message: one is written for every task."""
    attempt_id, spec = send.attempt_id.encode(), send.spec
    body = b"".join(
        (
            b"\x0a", varint(len(attempt_id)), attempt_id,
            b"\x10", varint(send.fence),
            _session_fields(send.session_id, send.session_name),
            b"\x28", varint(send.number),
            b"\x32", varint(len(spec)), spec,
            b"\x38", varint(send.generation),
        )
    )  # fmt: skip
    return b"\x1a" + varint(len(body)) + body


@lru_cache(maxsize=1024)
def _session_fields(session_id: str, session_name: str) -> bytes:
    return framed(3, session_id.encode()) + framed(4, session_name.encode())


def _encode_acknowledgement(send: Acknowledge) -> bytes:
    attempt_id = send.attempt_id.encode()
    body = b"".join(
        (
            b"\x0a", varint(len(attempt_id)), attempt_id,
            b"\x10", varint(send.fence),
            b"\x18", varint(DISPOSITION.to_wire[send.disposition]),
            b"\x20", varint(send.output_offset),
        )
    )  # fmt: skip
    return b"\x32" + varint(len(body)) + body


def _encode_drain(send: Drain) -> bytes:
    return pb.ConnectResponse(drain=pb.Drain(reason=send.reason)).SerializeToString()


def assignment_message(assign: Assign) -> pb.Assignment:
    """For the unary twins."""
    return pb.ConnectResponse.FromString(_encode_assignment(assign)).assignments[0]


def acknowledgement_message(acknowledge: Acknowledge) -> pb.Acknowledgement:
    return pb.Acknowledgement(
        attempt_id=acknowledge.attempt_id,
        fence=acknowledge.fence,
        disposition=DISPOSITION.wire(acknowledge.disposition),
        output_offset=acknowledge.output_offset,
    )


def cancellation_message(stop: Stop) -> pb.Cancellation:
    return pb.Cancellation(
        attempt_id=stop.attempt_id, fence=stop.fence, outcome=OUTCOME.wire(stop.outcome), reason=stop.reason
    )


def encode_heartbeat_reply(sequence: int, unknown_attempt_ids: Iterable[str]) -> bytes:
    reply = pb.HeartbeatReply(sequence=sequence, unknown_attempt_ids=unknown_attempt_ids)
    return pb.ConnectResponse(heartbeat_reply=reply).SerializeToString()


def encode_welcome(welcome: pb.Welcome) -> bytes:
    return pb.ConnectResponse(welcome=welcome).SerializeToString()
