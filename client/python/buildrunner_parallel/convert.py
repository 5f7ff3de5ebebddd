"""Wire messages to records, driven by the records' own type hints; no RPC is made here.

Each record class is matched with its message once; a field of the same name is read as the hint says.
The few shapes that differ from the wire (specs, policies) are in convert_specs.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.message import Message

from . import convert_specs, records
from .enums import UNKNOWN, WireEnum

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RecordT = TypeVar("RecordT")
Reader = Callable[[Message], Any]

# Told apart by the field that is set in Change.entity.
_CHANGE_RECORDS: dict[str, type[Any]] = {
    "session": records.Session,
    "task": records.TaskSummary,
    "worker": records.Worker,
    "lock": records.PathLock,
    "pool": records.Pool,
    "removed": records.Removed,
}
_OWN_SHAPES: dict[type[Any], Callable[[Any], Any]] = {
    records.TaskSpec: convert_specs.task_spec_from_wire,
    records.FailurePolicy: convert_specs.failure_policy_from_wire,
    records.PathRequest: convert_specs.path_request_from_wire,
    records.Payload: convert_specs.payload_from_wire,
}


def from_wire(record_class: type[RecordT], message: Message) -> RecordT:
    """The record of `message`; unknown enum values become `unknown`, unset optional fields None."""
    return typing.cast(RecordT, _converter(typing.cast(Any, record_class), message.DESCRIPTOR)(message))


def all_from_wire(record_class: type[RecordT], messages: typing.Iterable[Message]) -> tuple[RecordT, ...]:
    return tuple(from_wire(record_class, message) for message in messages)


def change_from_wire(change: Any) -> Any | None:
    """The record in one Change; None for an entity of a kind that this version does not know."""
    name = change.WhichOneof("entity")
    return from_wire(_CHANGE_RECORDS[name], getattr(change, name)) if name in _CHANGE_RECORDS else None


@functools.cache
def _converter(record_class: type[Any], descriptor: Descriptor) -> Callable[[Any], Any]:
    if record_class in _OWN_SHAPES:
        return _OWN_SHAPES[record_class]
    readers = _readers(record_class, descriptor)
    return lambda message: record_class(*[read(message) for read in readers])


def _readers(record_class: type[Any], descriptor: Descriptor) -> list[Reader]:
    hints = typing.get_type_hints(record_class)
    return [_reader(field.name, hints[field.name], descriptor) for field in dataclasses.fields(record_class)]


def _reader(name: str, hint: Any, descriptor: Descriptor) -> Reader:
    if name == "metadata":
        return lambda message: convert_specs.read_object(message.metadata_json)  # type: ignore[attr-defined]
    optional = isinstance(hint, types.UnionType)
    plain = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
    if typing.get_origin(plain) is tuple:
        return _tuple_reader(name, typing.get_args(plain)[0], descriptor)
    if isinstance(plain, type) and issubclass(plain, WireEnum):
        return _enum_reader(name, plain, descriptor, optional)
    if plain is datetime:
        return lambda message: read_time(message, name)
    if not dataclasses.is_dataclass(plain):
        return _scalar_reader(name, optional)
    return _record_reader(name, plain, descriptor, optional)


def _scalar_reader(name: str, optional: bool) -> Reader:
    if optional:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: getattr(message, name)


def _record_reader(name: str, record_class: Any, descriptor: Descriptor, optional: bool) -> Reader:
    convert = _converter(record_class, descriptor.fields_by_name[name].message_type)
    if optional:
        return lambda message: convert(getattr(message, name)) if message.HasField(name) else None
    return lambda message: convert(getattr(message, name))


def _tuple_reader(name: str, item: Any, descriptor: Descriptor) -> Reader:
    if not dataclasses.is_dataclass(item):
        return lambda message: tuple(getattr(message, name))
    convert = _converter(item, descriptor.fields_by_name[name].message_type)  # type: ignore[arg-type]
    return lambda message: tuple([convert(part) for part in getattr(message, name)])


def _enum_reader(name: str, enum_class: type[WireEnum], descriptor: Descriptor, optional: bool) -> Reader:
    members: dict[int, WireEnum | None] = dict(
        _members(enum_class, descriptor.fields_by_name[name].enum_type)
    )
    unknown = enum_class(UNKNOWN)
    if optional:
        members[0] = None
    return lambda message: members.get(getattr(message, name), unknown)


def _members(enum_class: type[WireEnum], descriptor: EnumDescriptor | None) -> dict[int, WireEnum]:
    known = {member.value.replace("-", "_"): member for member in enum_class}
    assert descriptor is not None, f"{enum_class.__name__} stands for a field that is no enum"
    members = {}
    for value in descriptor.values:
        word = convert_specs.word_of(descriptor, value.number)
        members[value.number] = known.get(word, enum_class(UNKNOWN))
    return members


def read_time(message: Any, name: str) -> datetime | None:
    """The aware UTC time in a Timestamp field; None when it is unset."""
    if not message.HasField(name):
        return None
    stamp = getattr(message, name)
    # Three times as quick as ToDatetime, which matters for lists of thousands.
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
