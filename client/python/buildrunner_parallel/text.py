"""The one `sanitize()`: what others wrote, made harmless for a terminal or a log line.

Pure functions only. Markup escaping belongs to who draws, JSON escaping to the JSON encoder.
"""

from __future__ import annotations

import re

ELLIPSIS = "…"

# C0 and DEL, C1, line separators, bidi marks and controls, invisible formatting, tags, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
_BLANKS = re.compile("[ \t\r\n\x0b\x0c]+")


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"<U+{code:04X}>"


def whole_percent(percent: float) -> int:
    """Cut, not rounded: 100 is said of what is complete and of nothing else."""
    return int(percent)


def shorten(text: str, max_length: int) -> str:
    """`text` cut to at most `max_length` characters (at least 1), the last of them an ellipsis if cut."""
    if len(text) <= max_length:
        return text
    return text[: max(max_length, 1) - 1] + ELLIPSIS


def sanitize(text: str, max_length: int | None = None) -> str:
    """`text` with every character that could steer a terminal replaced by a visible one.

    Newlines and tabs are replaced too, so the result is a single line. `max_length` bounds the
    length of the result in characters.
    """
    if max_length is not None:
        text = shorten(text, max_length)
    safe = _UNSAFE.sub(_visible, text)
    return safe if max_length is None else shorten(safe, max_length)


def one_line(text: str, max_length: int | None = None) -> str:
    """`text` as one line: runs of blanks and newlines become one space, the rest is sanitized."""
    return sanitize(_BLANKS.sub(" ", text).strip(), max_length)


def output_line(text: str) -> str:
    """One line of a program's output for a terminal: colours dropped, tabs widened, the rest sanitized."""
    plain = _COLOUR.sub("", text.rstrip("\r\n"))
    if "\r" in plain:
        plain = plain.rsplit("\r", 1)[1]
    return sanitize(plain.expandtabs(8))


def last_line(text: str, max_length: int | None = None) -> str:
    """The last line of `text` that is not blank, fit for a terminal; empty when there is none."""
    for line in reversed(text.splitlines()):
        if line.strip():
            return shorten(output_line(line).strip(), max_length or len(line) * 9)
    return ""
