"""How bash takes a command line apart, and how what is completed goes back into it. Pure.

Bash hands over the line as it was typed, quotes and all, and puts the answer in place of what stands behind
the last of its break characters or behind an open quote; so the answer must be quoted in the same way, and
must leave out what stands before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BLANKS = " \t\n"
_IN_DOUBLE_QUOTES = '$`"\\'
_NEEDS_BACKSLASH = re.compile(r"[^\w@%+=:,./\-\x80-\U0010ffff]", re.ASCII)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)


@dataclass(slots=True)
class Line:
    """The words before the one at the cursor, and that one: its text, the quote that is open at its end, and
    what of the text stands before the part that bash will replace."""

    words: list[str] = field(default_factory=list)
    text: str = ""
    quote: str = ""
    kept: str = ""


def read_line(line: str, breaks: str) -> Line:
    """The command line up to the cursor, without variables that are set in front of the command."""
    found = Line()
    in_word = False
    at = 0
    while at < len(line):
        letter = line[at]
        at += 1
        if found.quote:
            if letter == found.quote:
                found.quote = ""
                found.kept = found.text
            elif letter == "\\" and found.quote == '"' and at < len(line) and line[at] in _IN_DOUBLE_QUOTES:
                found.text += line[at]
                at += 1
            else:
                found.text += letter
        elif letter in _BLANKS:
            if in_word:
                _end_word(found, line)
            in_word = False
        else:
            in_word = True
            if letter in "'\"":
                found.quote = letter
                found.kept = found.text
            elif letter == "\\":
                found.text += line[at : at + 1]
                at += 1
            else:
                found.text += letter
                if letter in breaks:
                    found.kept = found.text
    return found


def _end_word(found: Line, line: str) -> None:
    is_setting = not found.words and _ASSIGNMENT.match(found.text) is not None
    if not is_setting:
        found.words.append(found.text)
    found.text = found.kept = ""


def replacement(line: Line, value: str) -> str | None:
    """What bash puts in so that the word becomes `value`; None when nothing would do that."""
    if not value.startswith(line.kept):
        return None
    rest = value[len(line.kept) :]
    if line.quote == "'":
        return rest.replace("'", "'\\''")
    if line.quote == '"':
        if "!" in rest:
            # Between double quotes nothing keeps bash from looking for it in the history.
            return None
        return re.sub(r'[$`"\\]', r"\\\g<0>", rest)
    return _NEEDS_BACKSLASH.sub(r"\\\g<0>", rest)
