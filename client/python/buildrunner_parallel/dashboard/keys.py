"""Bytes from a terminal as names of keys. Pure."""

from __future__ import annotations

import codecs
import re

ESCAPE = "\x1b"
# As xterm, the Linux console, screen, tmux and rxvt send them.
_SEQUENCES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left", "OA": "up", "OB": "down", "OC": "right",
    "OD": "left", "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end",
    "[7~": "home", "[8~": "end", "[5~": "pageup", "[6~": "pagedown", "[Z": "backtab", "[3~": "delete",
    "OM": "enter",
}  # fmt: skip
_PLAIN = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x15": "clear",
}
# Of any control sequence, known or not: parameters, then one last character.
_WHOLE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\[O])")


class KeyDecoder:
    """Takes bytes as they come; a sequence may be cut anywhere."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""

    @property
    def is_waiting(self) -> bool:
        """Whether something was begun: with nothing behind it soon, `flush` makes Escape of it."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are whole now."""
        text, keys = self._held + self._decode(data), []
        self._held = ""
        while text:
            if text[0] != ESCAPE:
                keys += _key(text[0])
                text = text[1:]
                continue
            match = _WHOLE.match(text)
            if match is None:
                if len(text) > 32:
                    text = text[1:]
                    continue
                self._held = text
                break
            sequence = match.group()[1:]
            if sequence[0] in "[O":
                keys += [_SEQUENCES[sequence]] if sequence in _SEQUENCES else []
                text = text[match.end() :]
            else:
                # Escape, and a key of its own behind it.
                keys.append("escape")
                text = text[1:]
        return keys

    def flush(self) -> list[str]:
        """What was begun was a key of its own: Escape."""
        held, self._held = self._held, ""
        return ["escape"] if held else []


def _key(char: str) -> list[str]:
    if char in _PLAIN:
        return [_PLAIN[char]]
    return [char] if char.isprintable() else []
