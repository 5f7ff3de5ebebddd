"""Times, framing, and the checks that every text of a request goes through. All raise Refusal (INVALID)."""

from __future__ import annotations

import json
import re

from google.protobuf.timestamp_pb2 import Timestamp

from buildrunner_coordinator.domain.refusals import Reason, Refusal

MAX_NAME_BYTES = 256
MAX_TEXT_BYTES = 4096
MAX_METADATA_BYTES = 64 << 10
MAX_PAGE = 1000

_LATEST_US = 253_370_764_800_000_000
"""The first microsecond of the year 9999."""
_WORD = (1 << 64) - 1
_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def invalid(message: str, **details: str) -> Refusal:
    return Refusal(Reason.INVALID, message, **details)


def timestamp(at_us: int) -> Timestamp | None:
    """None for 0, which stands for "not yet". Never before 1970 nor behind the year 9998, where the calendars
    of clients end: some of these times are what a worker said."""
    if not at_us:
        return None
    seconds, rest_us = divmod(min(max(at_us, 1), _LATEST_US), 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest_us * 1000)


def microseconds(at: Timestamp) -> int:
    """Since 1970; whatever the message says, within the years that can be shown."""
    return min(max(at.seconds * 1_000_000 + at.nanos // 1000, 0), _LATEST_US)


def varint(number: int) -> bytes:
    """`number`, of at most 64 bits, as protobuf writes an int64."""
    if 0 <= number < 0x80:
        return _ONE_BYTE[number]
    number &= _WORD
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def framed(field_number: int, body: bytes) -> bytes:
    """`body` as a length-delimited field, to be joined to other encoded fields of the same message."""
    return varint(field_number << 3 | 2) + varint(len(body)) + body


def size_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def cut(text: str, max_bytes: int) -> str:
    """`text`, at most `max_bytes` of it in UTF-8, never in the middle of a character."""
    if len(text) * 4 <= max_bytes or size_bytes(text) <= max_bytes:
        return text
    return text.encode()[: max_bytes - 3].decode(errors="ignore") + "…"


def one_line(text: str, max_bytes: int) -> str:
    """`text` as one line: control characters become blanks, what is too long is cut."""
    return cut(_CONTROL.sub(" ", text), max_bytes)


def check_name(text: str, what: str, *, required: bool = False, max_bytes: int = MAX_NAME_BYTES) -> str:
    """`text`, if it is a fit name: of at most `max_bytes`, without control characters."""
    if not text and required:
        raise invalid(f"The {what} is empty. Give one.")
    if len(text) > max_bytes or size_bytes(text) > max_bytes:
        raise invalid(f"The {what} has more than {max_bytes} bytes: {text[:40]!r}... Give a shorter one.")
    if not text.isprintable() and _CONTROL.search(text):
        raise invalid(f"The {what} has a control character: {text[:80]!r}. Leave it out.")
    return text


def check_object(text: str, what: str) -> str:
    """`text`, if it is a JSON object of at most 64 KiB; "{}" for the empty text."""
    if not text or text == "{}":
        return "{}"
    if size_bytes(text) > MAX_METADATA_BYTES:
        raise invalid(f"The {what} has more than {MAX_METADATA_BYTES >> 10} KiB.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The {what} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise invalid(f"The {what} must be a JSON object, found {type(value).__name__}.")
    return text


def check_range(number: int, low: int, high: int, what: str) -> int:
    if not low <= number <= high:
        raise invalid(f"The {what} must be from {low} to {high}, found {number}.")
    return number


def page_size(asked: int, default: int) -> int:
    """0 means `default`; never more than 1,000."""
    check_range(asked, 0, 1 << 31, "page size")
    return min(asked or default, MAX_PAGE)


def page_start(token: str) -> int:
    """The ordinal in a page token; 0 for the first page."""
    if not token:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise invalid(f"The page token {token[:40]!r} is not one of ours. Give next_page_token unchanged.")
    return int(token)


def page_token(ordinal: int) -> str:
    """Empty behind the last page."""
    return str(ordinal) if ordinal else ""
