"""From what is known to a frame: state, time, size and selection in, lines out. Pure.

frame(scene)                       the page that the user is on, in exactly the size of the terminal
frame(scene).rich()                the same for a rich console, for instance one that exports an SVG
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from . import lists, panels
from .cells import Line, Span, clean, fit, width_of
from .fold import Board, contended
from .frame import Frame
from .lists import SESSIONS, TASKS, WORKERS, Listing
from .panels import Panel, drawn
from .phrases import age
from .ui import Entries, Page, Ui, marked

LEAST_WIDTH, LEAST_HEIGHT = 60, 15
WIDE = 150
MOST_NOTICE_LINES = 3
_DIVIDER = 3


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a frame depends on; `now` is the wall clock in UTC, `now_s` monotonic."""

    board: Board
    now: datetime
    now_s: float
    width: int = 80
    height: int = 24
    ui: Ui = field(default_factory=Ui)
    listing: Listing | None = None
    detail: object | None = None
    # Names what is watched, such as the repository; one line at most.
    title: str = ""
    # With a terminal behind it; a snapshot has neither keys nor a selection.
    interactive: bool = True


def frame(scene: Scene) -> Frame:
    """The frame of exactly the scene's size. Below 60x15 it says what it needs."""
    width, height = max(1, scene.width), max(1, scene.height)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Frame(tuple(_too_small(width, height)), width, height)
    body_height = height - 2
    ui = scene.ui
    if ui.helping:
        from .pages import help_lines

        body = help_lines(width, body_height)
    elif ui.page.kind == "session":
        from .pages import session_lines

        body = session_lines(scene, width, body_height)
    elif ui.page.kind == "task":
        from .pages import task_lines

        body = task_lines(scene, width, body_height)
    else:
        body = overview(scene, width, body_height)
    body = body[:body_height] + [((" " * width, ""),)] * (body_height - len(body))
    # A long notice goes over the last lines of the page: what to do stands at its end.
    last = _notice_lines(scene, width) or [status_bar(scene, width)]
    return Frame((header(scene, width), *body[: height - 1 - len(last)], *last), width, height)


def _too_small(width: int, height: int) -> list[Line]:
    text = f"This needs {LEAST_WIDTH}x{LEAST_HEIGHT}, here are {width}x{height}. Enlarge it, or q."
    shown = [fit(((line, "alarm"),), width) for line in _wrapped(text, width)[:height]]
    return shown + [((" " * width, ""),)] * (height - len(shown))


def _wrapped(text: str, width: int) -> list[str]:
    """Words in lines of `width` cells; a longer word has a line of its own."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if width_of(joined) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


# ----------------------------------------------------------------- the first and the last line


def header(scene: Scene, width: int) -> Line:
    """What is watched, whether the coordinator is there, the time."""
    board = scene.board
    left: list[Span] = [(" BuildRunner parallel", "title")]
    if scene.title:
        left.append((f"  {clean(scene.title)}", "dim"))
    clock = scene.now.astimezone().strftime("%H:%M:%S") if scene.now.tzinfo else ""
    right: list[Span] = [(away, "alarm")] if (away := away_phrase(scene)) else []
    if not board.loaded and board.connected:
        right.append(("reading ...", "dim"))
    right.append((f"  {clock} ", ""))
    used = sum(width_of(text) for text, _ in right)
    room = max(0, width - used)
    return (*fit(tuple(left), room), *fit(tuple(right), width - room))


def away_phrase(scene: Scene) -> str:
    """Such as `✗ coordinator away for 12s, this is old`; empty while it is there."""
    board = scene.board
    if board.connected:
        return "coordinator is being stopped" if board.closing else ""
    seconds = age(max(0.0, scene.now_s - (board.lost_s or scene.now_s)))
    what = "stopped" if board.closing else "away"
    return f"✗ coordinator {what}, data {seconds or '0s'} old"


_COMMON = "/ filter  f state  p pause  r resume  c cancel  t retry  ? help"
_KEYS = {
    "overview": f"↑↓ move  tab panel  enter open  {_COMMON}  q quit",
    "session": f"↑↓ move  enter task  {_COMMON}  q back",
    "task": "↑↓ scroll  G end  c cancel  t retry  ? help  q back",
}
_SHORT_KEYS = {
    "overview": "↑↓ tab enter  / f filter  p r c t act  ? help  q quit",
    "session": "↑↓ enter  / f filter  p r c t act  ? help  q back",
    "task": "↑↓ scroll  c t act  ? help  q back",
}


def status_bar(scene: Scene, width: int) -> Line:
    """A question, what is being typed, or else the keys."""
    ui = scene.ui
    if not scene.interactive:
        return fit((("", ""),), width)
    if ui.question is not None:
        return _question_bar(ui.question_text, width)
    if ui.typing is not None:
        return fit(
            (
                (" / ", "key"),
                (clean(ui.typing), ""),
                ("▏", "bold"),
                ("  enter keeps it, escape clears it", "dim"),
            ),
            width,
        )
    text = _KEYS[ui.page.kind]
    if len(text) + 2 > width:
        text = _SHORT_KEYS[ui.page.kind]
    return _with_keys(text, width)


def _notice_lines(scene: Scene, width: int) -> list[Line]:
    """What was told, in up to MOST_NOTICE_LINES; nothing while something is asked or typed, or later."""
    ui = scene.ui
    is_hidden = not scene.interactive or ui.question is not None or ui.typing is not None
    if is_hidden or not ui.notice or scene.now_s >= ui.notice_until_s:
        return []
    lines = _wrapped(ui.notice, width - 2)
    rest = " ".join(lines[MOST_NOTICE_LINES - 1 :])
    lines = [*lines[: MOST_NOTICE_LINES - 1], *([rest] if rest else [])]
    return [fit(((f" {line}", ui.notice_style),), width) for line in lines]


def _question_bar(text: str, width: int) -> Line:
    """The answers are seen whatever is asked."""
    return (*fit(((f" {text}", "alarm"),), width - 5), (" y/n ", "alarm"))


def _with_keys(text: str, width: int) -> Line:
    spans: list[Span] = [(" ", "")]
    for part in text.split("  "):
        keys, _, words = part.partition(" ")
        spans += [(keys, "key"), (f" {words}  ", "dim")]
    return fit(tuple(spans), width)


# ----------------------------------------------------------------- the overview


def overview(scene: Scene, width: int, height: int) -> list[Line]:
    """All panels: below each other, or from WIDE columns on in two halves."""
    if scene.ui.compact:
        return _compact(scene, width, height)
    if width < WIDE:
        lines = [panels.statistics_line(scene.board, scene.now_s, width)]
        return lines + stacked(_panels(scene, width), width, height - 1)
    left_width = (width - _DIVIDER) * 55 // 100
    right_width = width - _DIVIDER - left_width
    made = {panel.title: panel for panel in _panels(scene, left_width)}
    right_names = ("Workers", "Locks waited for")
    left = stacked([panel for name, panel in made.items() if name not in right_names], left_width, height)
    figures = panels.statistics_lines(scene.board, scene.now_s, right_width)
    below = [made[name] for name in right_names if name in made]
    right = figures + stacked(below, right_width, height - len(figures))
    return _beside(left, right, left_width, right_width, height)


def _beside(
    left: list[Line], right: list[Line], left_width: int, right_width: int, height: int
) -> list[Line]:
    blank_left, blank_right = ((" " * left_width, ""),), ((" " * right_width, ""),)
    lines: list[Line] = []
    for index in range(max(len(left), len(right), 0)):
        one = left[index] if index < len(left) else blank_left
        other = right[index] if index < len(right) else blank_right
        lines.append((*one, (" │ ", "dim"), *other))
    return lines[:height]


def _panels(scene: Scene, width: int) -> list[Panel]:
    board, now, ui = scene.board, scene.now, scene.ui
    found = lists.sessions(board, ui.filter_of(SESSIONS))
    crew = lists.workers(board, ui.filter_of(WORKERS))
    work = lists.tasks(board, "", ui.filter_of(TASKS))
    waited = contended(board)
    first = panels.sessions_panel(board, found, now, scene.now_s, width, note_of(scene, SESSIONS))
    second = panels.workers_panel(board, crew, now, note_of(scene, WORKERS))
    third = panels.tasks_panel(board, work, now, note=note_of(scene, TASKS))
    return [
        _movable(scene, first, SESSIONS, found),
        _movable(scene, second, WORKERS, crew),
        _movable(scene, third, TASKS, work),
        *([panels.locks_panel(board, waited, now)] if waited else []),
        *([panels.failures_panel(board, now)] if board.failures else []),
    ]


def note_of(scene: Scene, name: str) -> str:
    """The filter of a list, if there is one."""
    chosen = scene.ui.filter_of(name)
    told = [f"/{clean(chosen.text)}"] if chosen.text else []
    told += [chosen.state] if chosen.state != "all" else []
    return f"only {' '.join(told)}" if told else ""


def _movable(scene: Scene, panel: Panel, name: str, found: Entries) -> Panel:
    if not scene.interactive:
        return panel
    return replace(panel, focused=scene.ui.focus == name, marked=marked(scene.ui, found, name))


def _compact(scene: Scene, width: int, height: int) -> list[Line]:
    """Sessions, and everything else in a line each."""
    board = scene.board
    every = _panels(scene, width)
    lines = [panels.statistics_line(board, scene.now_s, width)]
    rest: list[Line] = []
    if board.workers:
        rest.append(fit((("  workers ", "dim"), (panels.workers_phrase(board), "")), width))
    shown = [panel for panel in every if panel.title == "Sessions"]
    if scene.ui.focus != SESSIONS:
        shown += [panel for panel in every if panel.focused]
    shown += [panel for panel in every if panel.title in ("Locks waited for", "Failed last")]
    return lines + rest + stacked(shown, width, height - 1 - len(rest))


def stacked(shown: Sequence[Panel], width: int, height: int) -> list[Line]:
    """Panels below each other in at most `height` lines; each gets a row at least, if there is room."""
    heights = shares([panel.wanted for panel in shown], [panel.weight for panel in shown], height)
    lines: list[Line] = []
    for panel, rows in zip(shown, heights, strict=True):
        lines += drawn(panel, width, rows)
    return lines


def shares(wanted: list[int], weights: list[int], height: int) -> list[int]:
    """The height of each panel, its title with it; 0 for those that have no room for a row.

    Nobody gets more than they want; what is left over is handed out by weight.
    """
    heights, left = [0] * len(wanted), height
    for index, rows in enumerate(wanted):
        if left >= 2 and rows:
            heights[index], left = 2, left - 2
    while left > 0:
        hungry = [at for at, rows in enumerate(wanted) if heights[at] and heights[at] <= rows]
        if not hungry:
            break
        for at in sorted(hungry, key=lambda at: heights[at] / weights[at])[:1]:
            heights[at] += 1
            left -= 1
    return heights


def snapshot(
    board: Board,
    now: datetime,
    now_s: float,
    width: int,
    title: str = "",
    compact: bool = False,
    listing: Listing | None = None,
) -> Frame:
    """The overview once, or the page of the session that was listed, without keys; up to 200 lines."""
    ui = Ui(compact=compact) if listing is None else Ui(pages=(Page("session", listing.session_id),))
    scene = Scene(board, now, now_s, width, 200, ui=ui, listing=listing, title=title, interactive=False)
    whole = frame(scene)
    lines = list(whole.lines)
    while lines and not "".join(text for text, _ in lines[-1]).strip():
        lines.pop()
    return Frame(tuple(lines), width, len(lines))
