"""Questions of the shells' scripts, and answers in the form that each of them reads.

The first line says what is to be offered (`values`, `files`, `directories`, `command N`); candidates follow.
Control characters and all that steers a terminal are taken out here; quoting for zsh and fish is theirs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from buildrunner_parallel.text import one_line, sanitize, shorten

from .bash_words import read_line, replacement
from .candidates import COMMAND, Answer, answer
from .typed import Typed, understand

if TYPE_CHECKING:
    from .ids import Candidate

DEADLINE_S = 5.0
"""After which nothing is offered, whatever hangs; questions to the coordinator end long before."""
_WIDEST = 80
_WIDEST_VALUE = 40
# Bash's COMP_TYPE of a second Tab, and of lists that come with the first: what is shown is not put in.
_LISTING = (ord("?"), ord("!"), ord("@"))


def complete(group: Any, shell: str, question: Sequence[str]) -> NoReturn:
    """Writes the answer and ends; without a word when anything goes wrong."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        sys.stdout.writelines(f"{line}\n" for line in reply(group, shell, question))
        sys.stdout.flush()
    except Exception:
        # Behind a prompt there is nobody to tell, and whatever is said would be taken for a candidate.
        if os.environ.get("BR_DEBUG"):
            raise
    # Nothing that still waits for an answer may hold the prompt up.
    os._exit(0)


def reply(group: Any, shell: str, question: Sequence[str]) -> list[str]:
    """The lines of the answer. Raises whatever goes wrong, such as a coordinator that does not answer."""
    return _SHELLS[shell](group, question)


def _answered(group: Any, words: Sequence[str], beginning: str) -> tuple[Typed | None, Answer]:
    typed = understand(group, words)
    found = Answer() if typed is None else answer(typed, beginning)
    # What cannot be typed is no candidate, and what cannot be seen for what it is is a trap.
    clean = tuple((value, one_line(told)) for value, told in found.candidates if sanitize(value) == value)
    return typed, Answer(found.kind, clean)


def _head(typed: Typed | None, found: Answer) -> str:
    # The program's own name is a word too.
    return f"{found.kind} {typed.end + 1}" if typed and found.kind == COMMAND else found.kind


def _bash(group: Any, question: Sequence[str]) -> list[str]:
    """Asked with the line up to the cursor, COMP_TYPE and COMP_WORDBREAKS."""
    text, kind, breaks = question
    line = read_line(text, breaks)
    typed, found = _answered(group, line.words[1:], line.text)
    given = [(replacement(line, value), told) for value, told in found.candidates]
    candidates = [(value, told) for value, told in given if value is not None]
    if int(kind or 0) in _LISTING and len(candidates) > 1:
        return [_head(typed, found), *_aligned(candidates, "  ({})")]
    return [_head(typed, found), *(value for value, _ in candidates)]


def _zsh(group: Any, question: Sequence[str]) -> list[str]:
    """Asked with the words and the beginning of the last; each candidate has with it what is shown."""
    typed, found = _answered(group, question[:-1], question[-1])
    shown = _aligned(found.candidates, "  -- {}")
    pairs = zip(found.candidates, shown, strict=True)
    return [_head(typed, found), *(f"{value}\t{line}" for (value, _), line in pairs)]


def _fish(group: Any, question: Sequence[str]) -> list[str]:
    """Asked with the words and the beginning of the last."""
    typed, found = _answered(group, question[:-1], question[-1])
    told = (f"{value}\t{shorten(told, _WIDEST)}" if told else value for value, told in found.candidates)
    return [_head(typed, found), *told]


def _aligned(candidates: Sequence[Candidate], form: str) -> list[str]:
    width = max((len(value) for value, _ in candidates if len(value) <= _WIDEST_VALUE), default=0)
    return [
        shorten(f"{value:{width}}{form.format(shorten(told, _WIDEST))}" if told else value, 2 * _WIDEST)
        for value, told in candidates
    ]


_SHELLS: dict[str, Callable[[Any, Sequence[str]], list[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
