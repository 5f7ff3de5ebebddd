"""A frame: the lines of one picture. As plain text, as what a terminal takes, as a rich renderable. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .cells import Line, width_of

if TYPE_CHECKING:
    from rich.text import Text

# Style name: what rich calls it, and the numbers of the escape sequence; those of colour stand last.
STYLES: dict[str, tuple[str, str, str]] = {
    "": ("", "", ""),
    "dim": ("dim", "2", ""),
    "bold": ("bold", "1", ""),
    "title": ("bold cyan", "1", "36"),
    "run": ("cyan", "", "36"),
    "ok": ("green", "", "32"),
    "bad": ("bold red", "1", "31"),
    "warn": ("yellow", "", "33"),
    "alarm": ("bold yellow", "1", "33"),
    "info": ("blue", "", "34"),
    "mark": ("reverse", "7", ""),
    "faint mark": ("bold", "1", ""),
    "key": ("bold", "1", ""),
}

# For terminals whose character set has none of these.
_ASCII = str.maketrans({
    "━": "=", "╍": "~", "─": "-", "│": "|", "›": ">", "●": "*", "○": "o", "◇": "?", "·": ".", "✓": "+",
    "✗": "x", "‖": "=", "◌": "o", "↓": "v", "…": "~", "▁": "_", "▂": "_", "▃": "-", "▄": "-", "▅": "=",
    "▆": "=", "▇": "#", "█": "#", "↑": "^", "←": "<", "→": ">", "–": "-", "⊘": "-",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """At most `height` lines of at most `width` cells each; none has a control character."""

    lines: tuple[Line, ...]
    width: int
    height: int

    def plain(self) -> str:
        """The text alone, blanks at the ends of lines left out."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self.lines)

    def rich(self, *, unicode: bool = True) -> Text:
        """For a rich console, such as one that records for an SVG: `console.print(frame.rich())`."""
        from rich.text import Text

        text = Text(no_wrap=True, end="")
        for index, line in enumerate(self.lines):
            if index:
                text.append("\n")
            for part, style in line:
                text.append(part if unicode else ascii_only(part), STYLES[style][0])
        return text

    def encoded(self, *, color: bool = True, unicode: bool = True) -> list[str]:
        """Each line as a terminal takes it: text and SGR sequences, nothing that moves the cursor."""
        return [encode(line, color, unicode) for line in self.lines]


@lru_cache(maxsize=4096)
def encode(line: Line, color: bool = True, unicode: bool = True) -> str:
    """One line for a terminal; blanks at its end are one sequence that clears to the end of the line.

    Not behind a full line: there it would take away its last character.
    """
    parts: list[str] = []
    for text, style in line:
        if not unicode:
            text = ascii_only(text)
        _, attributes, colors = STYLES[style]
        numbers = ";".join(filter(None, (attributes, colors if color else "")))
        parts.append(f"\x1b[{numbers}m{text}\x1b[0m" if numbers else text)
    whole = "".join(parts)
    text = whole.rstrip(" ")
    return whole if text == whole else f"{text}\x1b[K"


def ascii_only(text: str) -> str:
    """`text` in ASCII, in as many cells."""
    if text.isascii():
        return text
    text = text.translate(_ASCII)
    return "".join(char if char.isascii() else "?" * width_of(char) for char in text)
