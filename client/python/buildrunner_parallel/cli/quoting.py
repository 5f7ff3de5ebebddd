"""What a task runs, as one line that can be typed again. Pure functions.

Control characters become escapes of the shell (`$'a\\nb'`), so that a line stays a line wherever it is put.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from buildrunner_parallel.text import sanitize

if TYPE_CHECKING:
    from buildrunner_parallel.records import TaskSpec

_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e", "\\": "\\\\", "'": "\\'"}
_SINGLE = re.compile(r".", re.DOTALL)


def work_line(spec: TaskSpec, title: str = "") -> str:
    """The command, shell line or handler of `spec` as one line; `title` when it has none of them."""
    if spec.argv:
        return " ".join(quote(word) for word in spec.argv)
    if spec.shell_line:
        plain = spec.shell_line.strip("\n")
        return plain if sanitize(plain) == plain else f"sh -c {quote(plain)}"
    if spec.handler:
        return f"handler {quote(spec.handler)}"
    if spec.external is not None:
        return f"external {quote(spec.external.pool)}" if spec.external.pool else "external"
    return sanitize(title)


def quote(word: str) -> str:
    """`word` for a shell such as bash or zsh: bare where that is safe, and never with a control character."""
    if sanitize(word) == word:
        return shlex.quote(word)
    return "$'" + _SINGLE.sub(lambda match: _escaped(match.group()), word) + "'"


def _escaped(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if sanitize(character) == character:
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
