"""How commands speak: tables and colour on a terminal, plain uncut lines in a pipe, JSON when asked.

Every text that leaves through here is sanitized; none is ever read as markup. Knows no records.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buildrunner_parallel.text import one_line, sanitize

from .columns import GAP, columns_of, fitting, heading

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1

# A cell: its text, or its text and a rich style for terminals.
Cell = str | tuple[str, str]


def stdout_is_terminal() -> bool:
    """Whether people read our output as it comes."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class Output:
    """Writes to standard output in the way that the invocation asks for."""

    def __init__(self, *, as_json: bool, no_color: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._no_color = no_color or bool(os.environ.get("NO_COLOR"))
        self.is_terminal = not as_json and stdout_is_terminal()
        self._console: Console | None = None

    @property
    def has_color(self) -> bool:
        """Whether people see colours on it."""
        return self.is_terminal and not self._no_color

    @property
    def console(self) -> Console:
        """The terminal; made when first needed, since loading it takes a while."""
        if self._console is None:
            from rich.console import Console

            color: Any = None if self._no_color else "auto"
            self._console = Console(file=sys.stdout, force_terminal=True, color_system=color, highlight=False)
        return self._console

    def line(self, text: str = "", style: str = "") -> None:
        """One line for people; nothing of it when the output is JSON or quiet."""
        if self.as_json or self.quiet:
            return
        self.always(text, style)

    def always(self, text: str = "", style: str = "") -> None:
        """One line that `--quiet` does not silence."""
        safe = sanitize(text)
        if self.is_terminal:
            from rich.text import Text

            self.console.print(Text(safe, style=style), soft_wrap=True)
        else:
            sys.stdout.write(safe + "\n")

    def sentence(self, text: str, style: str = "") -> None:
        """A line of words alone: a narrow terminal breaks it between them. Not for commands to be copied."""
        if self.is_terminal and not self.quiet:
            from rich.text import Text

            self.console.print(Text(sanitize(text), style=style))
        else:
            self.line(text)

    def streamed_sentence(self, text: str) -> None:
        """A sentence of something that goes on: whoever reads the pipe sees it at once."""
        self.sentence(text)
        sys.stdout.flush()

    def hint(self, text: str) -> None:
        """A line that helps the next step along; for terminals only."""
        if self.is_terminal:
            self.line(text, "dim")

    def document(self, **parts: Any) -> None:
        """One JSON document, with the schema's version first, in one line."""
        sys.stdout.write(json.dumps({"schema_version": SCHEMA_VERSION, **parts}) + "\n")

    def streamed_line(self, text: str) -> None:
        """A line of something that goes on: whoever reads the pipe sees it at once."""
        self.line(text)
        sys.stdout.flush()

    def streamed_document(self, **parts: Any) -> None:
        """A JSON object of a stream, one a line."""
        self.document(**parts)
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """`rows` under `columns`: a table on a terminal, tab-separated lines with a heading in a pipe.

        What stands before a heading's name (`>`, `~`, `?`; see columns.py) says how the column behaves on
        a terminal that is too narrow; pipes get everything. With `--quiet` only the first cell of each row
        is written.
        """
        if self.as_json:
            return
        if self.quiet:
            _write_lines([[_text(row[0])] for row in rows])
        elif self.is_terminal:
            self.console.print(_rich_table(columns, rows, self.console.width))
        else:
            _write_lines([[heading(name).upper() for name in columns]])
            _write_lines([[_text(cell) for cell in row] for row in rows])

    def row(self, cells: Sequence[Cell]) -> None:
        """One line of something that goes on, in a pipe: its cells with tabs between them."""
        if not self.quiet:
            _write_lines([[_text(cell) for cell in cells]])

    def facts(self, facts: Mapping[str, Cell]) -> None:
        """Names and values, one a line; aligned on a terminal, tab-separated in a pipe."""
        if self.as_json or self.quiet:
            return
        if self.is_terminal:
            self.console.print(_rich_facts(facts))
        else:
            _write_lines([[name, _text(value)] for name, value in facts.items()])


def _write_lines(rows: Sequence[Sequence[str]]) -> None:
    for row in rows:
        sys.stdout.write("\t".join(row).rstrip("\t") + "\n")


def _text(cell: Cell) -> str:
    return one_line(cell if isinstance(cell, str) else cell[0])


def _rich_text(cell: Cell) -> Any:
    from rich.text import Text

    return Text(_text(cell), style=cell[1] if isinstance(cell, tuple) else "")


def _rich_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], room: int) -> Any:
    from rich.cells import cell_len
    from rich.table import Table

    widths = [max((cell_len(_text(row[index])) for row in rows), default=0) for index in range(len(headings))]
    kept = fitting(columns_of(headings, widths), room)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold underline")
    for column in kept:
        justify: Any = "right" if column.right else "left"
        name = column.name.capitalize()
        table.add_column(name, justify=justify, overflow="fold", no_wrap=not column.folds)
    for row in rows:
        table.add_row(*(_rich_text(row[column.index]) for column in kept))
    return table


def _rich_facts(facts: Mapping[str, Cell]) -> Any:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, _rich_text(value))
    return grid


def complain(text: str) -> None:
    """One line on standard error."""
    _write_error(sanitize(text))


def complain_lines(lines: Sequence[str], clean: Callable[[str], str] = sanitize) -> None:
    """Several lines on standard error."""
    for line in lines:
        _write_error(clean(line))


def _write_error(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # Nobody reads standard error any more; the exit code still tells.
        return


_OUTPUT_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def is_output_fault(error: OSError) -> bool:
    """Whether something could not be written, and no file has a name in it: so it is the output."""
    return error.filename is None and error.errno in _OUTPUT_FAULTS


def output_fault(error: OSError) -> str:
    """The sentence about that."""
    return f"The output cannot be written: {error.strerror}."


def silence_stdout() -> None:
    """Nothing more goes there. Python flushes it once more at its end, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
