"""Which columns of a table a terminal has room for. Pure: widths in, columns out; draws nothing.

A heading carries its column's manners before its name, in any order:

    >   aligned to the right
    ~   its text is folded where the line is too short
    ?   left out where the line is too short; `?2` before `?1`, which is the same as `?`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

GAP = 2
FOLDED_WIDTH = 14
LONG_ID_WIDTH = 30
_EMPTY = 100
_MANNERS = re.compile(r"(?:[>~]|\?\d?)*")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: where it stands in the rows, its name, its manners, how wide its widest cell is."""

    index: int
    name: str
    right: bool
    folds: bool
    expendable: int
    width: int

    @property
    def needed(self) -> int:
        """Cells without which it would be a riddle."""
        return min(self.width, FOLDED_WIDTH) if self.folds else self.width


def heading(text: str) -> str:
    """The name alone."""
    return text[len(_manners(text)) :]


def _manners(text: str) -> str:
    found = _MANNERS.match(text)
    return found.group() if found else ""


def columns_of(headings: Sequence[str], widths: Sequence[int]) -> list[Column]:
    """The columns under `headings`; `widths` are those of their widest cells, headings not counted."""
    return [_column(index, text, widths[index]) for index, text in enumerate(headings)]


def _column(index: int, text: str, width: int) -> Column:
    name, manners = heading(text), _manners(text)
    # Long ids are folded before the short columns beside them are cut beyond recognition.
    folds = "~" in manners or (index == 0 and width > LONG_ID_WIDTH)
    return Column(index, name, ">" in manners, folds, _expendable(manners, width), max(width, len(name)))


def _expendable(manners: str, width: int) -> int:
    found = re.search(r"\?(\d?)", manners)
    if found is None:
        return 0
    return int(found.group(1) or 1) + (_EMPTY if width == 0 else 0)


def fitting(columns: Sequence[Column], room: int) -> list[Column]:
    """Those that `room` cells have place for: the most expendable go first, of equals the last.

    Empty ones go before all others. What cannot be spared stays, however narrow the line.
    """
    kept = list(columns)
    while needed(kept) > room:
        spare = [column for column in kept if column.expendable]
        if not spare:
            break
        kept.remove(max(spare, key=lambda column: (column.expendable, column.index)))
    return kept


def needed(columns: Sequence[Column]) -> int:
    """The cells that a line of them takes at least."""
    return sum(column.needed for column in columns) + GAP * max(0, len(columns) - 1)
