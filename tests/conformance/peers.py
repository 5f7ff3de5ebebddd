"""Coordinators of another version, made of this one by an interposer: newer ones and older ones."""

from __future__ import annotations

from typing import Any, cast

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .interposer import Interposer

# Field 16001 with a number, 16002 with text: no version has them yet. Keys as varints, then the values.
_UNKNOWN_FIELDS = b"\x88\xe8\x07\x2a" + b"\x92\xe8\x07\x06future"
CAPABILITY = "of-a-later-version"
_UNKNOWN_NUMBER = 9999
_LATER_THAN_THE_FIRST = {
    "version", "output_head_bytes", "output_tail_bytes", "report_repeat_ms", "max_message_bytes",
}  # fmt: skip


def from_the_future(message: Any) -> Message:
    """The same with unknown fields in it and in all messages that it has, unknown capabilities, and entries
    that mean nothing to anybody of today."""
    _add_news(message)
    _add_unknown(message)
    return cast("Message", message)


def _add_unknown(message: Message) -> None:
    for field, value in message.ListFields():
        kind = field.message_type
        if field.type != FieldDescriptor.TYPE_MESSAGE or kind is None or kind.GetOptions().map_entry:
            continue
        for one in value if field.is_repeated else [value]:
            # Well-known types have no later versions.
            if not kind.full_name.startswith("google."):
                _add_unknown(one)
    message.MergeFromString(_UNKNOWN_FIELDS)


def _add_news(message: Any) -> None:
    fields = message.DESCRIPTOR.fields_by_name
    if "capabilities" in fields:
        message.capabilities.append(CAPABILITY)
    if message.DESCRIPTOR.name == "ConnectResponse" and message.HasField("welcome"):
        message.welcome.capabilities.append(CAPABILITY)
    elif message.DESCRIPTOR.name == "ConnectResponse":
        message.acknowledgements.add(attempt_id="of-nobody", fence=1, disposition=_UNKNOWN_NUMBER)
    elif message.DESCRIPTOR.name == "RegisterResponse":
        message.welcome.capabilities.append(CAPABILITY)
    elif message.DESCRIPTOR.name == "WatchResponse" and not message.reset:
        # An entity of a kind that does not exist yet, and a task in a state that does not.
        message.changes.add().MergeFromString(_UNKNOWN_FIELDS)
        message.changes.add().task.MergeFromString(b"")
        message.changes[-1].task.task_id = "of-a-later-version"
        message.changes[-1].task.status = _UNKNOWN_NUMBER


def from_the_past(between: Interposer) -> None:
    """No capabilities, none of the later fields, and later calls are not there."""

    def forget(message: Any) -> Message:
        greets = message.DESCRIPTOR.name in ("ConnectResponse", "RegisterResponse")
        welcome = message.welcome if greets else message
        if not greets or message.HasField("welcome"):
            welcome.ClearField("capabilities")
            for name in _LATER_THAN_THE_FIRST & set(welcome.DESCRIPTOR.fields_by_name):
                welcome.ClearField(name)
        return cast("Message", message)

    for name in ("WorkerService.Connect", "WorkerService.Register", "CoordinatorService.GetInfo"):
        between.on_answer(name, forget)
    for name in (
        "WorkerService.DrainWorker",
        "LockService.*",
        "EventService.ListHistory",
        "TaskService.GetPatch",
    ):
        between.refuse(name, grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
