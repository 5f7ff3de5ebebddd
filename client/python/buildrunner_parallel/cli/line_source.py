"""Lines of a file or of standard input, read as they come: what `--commands` and `--args` feed on.

Splits, decodes and counts; holds at most one line and one block in memory. Knows nothing of tasks.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.text import sanitize

STDIN = "-"
STDIN_NAME = "standard input"
# Linux runs no program with an argument of 128 KiB or more.
MAX_LINE_BYTES = 128 * 1024 - 1
_BLOCK_BYTES = 64 * 1024
# How long a line may wait for others to be sent with, and how soon an order to stop is heard.
_LINGER_S = 0.02
_LISTEN_S = 0.2
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LineForm:
    """How lines are told apart, and which of them count.

    With `null` they end with NUL bytes and are taken as they are. Otherwise a line that is blank is left
    out, as is, with `comments`, one that begins with `#`; a carriage return at the end is dropped.
    """

    null: bool = False
    comments: bool = False

    @property
    def separator(self) -> bytes:
        return b"\0" if self.null else b"\n"

    def counts(self, text: str) -> bool:
        """Whether the line is one of those that are asked for."""
        if self.null:
            return bool(text.strip()) or not self.comments
        bare = text.lstrip()
        return bool(bare) and not (self.comments and bare.startswith("#"))


@dataclass
class LineSource:
    """An open source. `count` is the number of its lines where that can be known beforehand, else None."""

    name: str
    form: LineForm
    # One of the two: a file of the system's, or what stands for standard input inside another program.
    descriptor: int | None
    stream: BinaryIO | None = None
    is_file: bool = False
    count: int | None = None
    # Asked between blocks; another thread ends the reading with it.
    stop: Callable[[], bool] = field(default=lambda: False)

    def lines(self) -> Iterator[str | None]:
        """Each line; None where no more is there at present, so that nothing is held back.

        Raises InvalidRequestError, with the line's number, for one that is no UTF-8 or too long; OSError.
        """
        return split(self._blocks(), self.form, self.name)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody types the lines."""
        return self.descriptor is not None and os.isatty(self.descriptor)

    def measure(self) -> None:
        """Looks through a file before anything is made of it: finds its faults, and sets `count`."""
        if not self.is_file or self.descriptor is None:
            return
        begin = os.lseek(self.descriptor, 0, os.SEEK_CUR)
        self.count = sum(line is not None for line in self.lines())
        os.lseek(self.descriptor, begin, os.SEEK_SET)

    def close(self) -> None:
        """Standard input is left open."""
        if self.descriptor is not None and self.name != STDIN_NAME:
            os.close(self.descriptor)

    def _blocks(self) -> Iterator[bytes | None]:
        if self.stream is not None:
            return self._stream_blocks(self.stream)
        assert self.descriptor is not None, "a source of nothing"
        return (self._file_blocks if self.is_file else self._live_blocks)(self.descriptor)

    def _stream_blocks(self, stream: BinaryIO) -> Iterator[bytes]:
        while not self.stop() and (block := stream.read(_BLOCK_BYTES)):
            yield block

    def _file_blocks(self, descriptor: int) -> Iterator[bytes]:
        while not self.stop() and (block := os.read(descriptor, _BLOCK_BYTES)):
            yield block

    def _live_blocks(self, descriptor: int) -> Iterator[bytes | None]:
        while not self.stop():
            if not _is_ready(descriptor, _LINGER_S):
                yield None
                while not _is_ready(descriptor, _LISTEN_S):
                    if self.stop():
                        return
            block = os.read(descriptor, _BLOCK_BYTES)
            if not block:
                return
            yield block


def _is_ready(descriptor: int, patience_s: float) -> bool:
    return bool(select.select([descriptor], [], [], patience_s)[0])


def open_source(location: str, form: LineForm) -> LineSource:
    """The file `location`, or standard input for `-`. Raises OSError."""
    if location != STDIN:
        descriptor = os.open(location, os.O_RDONLY)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            os.close(descriptor)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), location)
        return LineSource(sanitize(location), form, descriptor, is_file=stat.S_ISREG(mode))
    stream = sys.stdin.buffer
    try:
        # Past the stream's own buffer, which nobody can wait for without reading it.
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return LineSource(STDIN_NAME, form, None, stream)
    return LineSource(STDIN_NAME, form, descriptor, is_file=stat.S_ISREG(os.fstat(descriptor).st_mode))


def split(blocks: Iterable[bytes | None], form: LineForm, name: str) -> Iterator[str | None]:
    """The lines of `blocks` that count, without their ends; None is passed on."""
    rest, number = b"", 0
    for block in blocks:
        if block is None:
            yield None
            continue
        *whole, rest = (rest + block).split(form.separator)
        for line in whole:
            number += 1
            text = _text(line, form, f"{name}:{number}", number == 1)
            if form.counts(text):
                yield text
        if len(rest) > MAX_LINE_BYTES:
            raise _too_long(f"{name}:{number + 1}")
    if rest:
        text = _text(rest, form, f"{name}:{number + 1}", number == 0)
        if form.counts(text):
            yield text


def _text(line: bytes, form: LineForm, where: str, is_first: bool) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise _too_long(where)
    if not form.null:
        line = line.removesuffix(b"\r")
        if is_first:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if b"\0" in line:
            raise InvalidRequestError(
                f"{where}: expected text, found a NUL byte; -0 is for lines that end with one"
            )
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        found = line[error.start]
        raise InvalidRequestError(f"{where}: expected UTF-8, found the byte 0x{found:02x}") from None


def _too_long(where: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: expected a line of less than 128 KiB, found a longer one")
