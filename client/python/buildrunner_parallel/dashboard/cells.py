"""Text measured in terminal cells: what others wrote made harmless, cut and padded to an exact width. Pure.

A line is a tuple of spans, a span a text and the name of a style; frame.py makes colours of the names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len

from buildrunner_parallel.text import ELLIPSIS, one_line

Span: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Span, ...]

MAX_TEXT = 600
"""Characters of one name or message that are ever looked at: more than any line has room for."""


@lru_cache(maxsize=16384)
def clean(text: str) -> str:
    """`text` as one harmless line whose width every terminal agrees on: no controls, no bidi marks, nothing
    that changes how wide its neighbours are."""
    text = text[:MAX_TEXT]
    if text.isascii() and text.isprintable():
        return text
    safe = one_line(text)
    return "".join(map(_plain, safe)) if not safe.isascii() else safe


def _plain(char: str) -> str:
    if char.isascii():
        return char
    # Marks that combine, joiners and variation selectors: terminals differ in what they make of them.
    if cell_len(char) == 0 or unicodedata.category(char) in ("Mn", "Me", "Cf", "Cc", "Cn", "Co", "Cs"):
        return ""
    return char


@lru_cache(maxsize=16384)
def width_of(text: str) -> int:
    """Cells that `text`, which is clean, takes."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, its end an ellipsis if something was left out."""
    if width_of(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    if text.isascii():
        return text[: width - 1] + ELLIPSIS
    taken, room = [], width - 1
    for char in text:
        room -= cell_len(char)
        if room < 0:
            break
        taken.append(char)
    return "".join(taken) + ELLIPSIS


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells."""
    text = cut(text, width)
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks


class Column(NamedTuple):
    """A column of a table: at least `least` cells, at most `most`; what is left over goes to those with a
    `share`. Those of the highest `rank` are left out first where there is no room; 0 always stays."""

    title: str
    least: int
    most: int
    share: int = 0
    right: bool = False
    rank: int = 0


GAP = 2


def fitted(columns: tuple[Column, ...], needs: list[int], room: int) -> list[int]:
    """The width of each column, 0 for those left out; together with the gaps at most `room`.

    `needs` are the widths of the widest cells.
    """
    kept = {index for index, column in enumerate(columns) if column.most}
    while len(kept) > 1 and _least(columns, needs, kept) > room:
        most = max(columns[index].rank for index in kept)
        if not most:
            break
        kept -= {max(index for index in kept if columns[index].rank == most)}
    widths = [_first(columns[index], needs[index]) if index in kept else 0 for index in range(len(columns))]
    left = room - sum(widths) - GAP * (len(kept) - 1)
    if left < 0:
        _shrink(widths, -left)
    return _spread(columns, needs, widths, left)


def _first(column: Column, need: int) -> int:
    return column.least if column.least == column.most else max(1, min(column.least, max(need, 1)))


def _least(columns: tuple[Column, ...], needs: list[int], kept: set[int]) -> int:
    return sum(_first(columns[index], needs[index]) for index in kept) + GAP * (len(kept) - 1)


def _shrink(widths: list[int], by: int) -> None:
    """Takes from the widest, a cell at a time."""
    for _ in range(by):
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= 1:
            return
        widths[widest] -= 1


def _spread(columns: tuple[Column, ...], needs: list[int], widths: list[int], left: int) -> list[int]:
    """Hands out what is left: by shares, to nobody more than they need or may have."""
    while left > 0:
        hungry = [
            index
            for index, column in enumerate(columns)
            if widths[index] and column.share and widths[index] < min(column.most, needs[index])
        ]
        if not hungry:
            break
        shares = sum(columns[index].share for index in hungry)
        before = left
        for index in hungry:
            wanted = min(columns[index].most, needs[index]) - widths[index]
            given = min(wanted, left, max(1, before * columns[index].share // shares))
            widths[index] += given
            left -= given
    return widths


def row(cells: Iterable[Span | Line], columns: tuple[Column, ...], widths: list[int]) -> Line:
    """One row of a table; a cell is a span that is cut to its column, or a line of just that width."""
    spans: list[Span] = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        if not width:
            continue
        if spans:
            spans.append((" " * GAP, ""))
        if cell and isinstance(cell[0], tuple):
            spans.extend(fit(cell, width))
        else:
            text, style = cell
            spans.append((padded(text, width, right=column.right), style))  # type: ignore[arg-type]
    return tuple(spans)


def need_of(cell: Span | Line) -> int:
    """How wide a cell would like to be."""
    if cell and isinstance(cell[0], tuple):
        return sum(width_of(span[0]) for span in cell)
    return width_of(cell[0])


def fit(line: Line, width: int) -> Line:
    """`line` in exactly `width` cells."""
    spans: list[Span] = []
    left = width
    for text, style in line:
        wide = width_of(text)
        if wide > left:
            text = cut(text, left)
            wide = width_of(text)
        if text:
            spans.append((text, style))
        left -= wide
        if left <= 0:
            break
    if left > 0:
        spans.append((" " * left, ""))
    return tuple(spans)


def width_of_line(line: Line) -> int:
    return sum(width_of(text) for text, _ in line)
