"""Whether what a program wrote is what a page shows, where ids, times and sizes differ from run to run."""

from __future__ import annotations

import re

ID = re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8}\b")
# What differs with the hour and the machine: written in the page as an example of its form.
MOMENT = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?|\b\d\d:\d\d:\d\d(?:\.\d+)?"
SPAN = r"\d+(?:\.\d+)? ?(?:ms|us|s|min|m|h|d)\b(?: \d+ s\b)?|\d+m\d\ds\b"
AGO = rf"(?:{SPAN}) ago|\bnow\b"
SIZE = r"\d+(?:\.\d+)? (?:B|KiB|MiB)\b"
RATE = r"\d+(?:\.\d+)?/(?:s|min)\b"
NUMBER = r"\b\d{16}\b|\b[0-9a-f]{16}\b"  # a fence, a grant
VARIABLE = {"number": NUMBER, "moment": MOMENT, "ago": AGO, "span": SPAN, "size": SIZE, "rate": RATE}
TOKEN = re.compile(
    r"(?P<gap>\.\.\.)|" + "|".join(f"(?P<{name}>{form})" for name, form in VARIABLE.items())
    + rf"|(?P<id>{ID.pattern})|(?P<blank>[ \t]+)"
)  # fmt: skip


class Matcher:
    """Compares texts of one page, and remembers which real id stands for which of the page's."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def filled_in(self, command: str) -> str:
        """A command of the page with the ids of this run."""
        return ID.sub(lambda found: self.ids.get(found[0], found[0]), command)

    def fault(self, shown: str, told: str) -> str:
        """What is wrong, or nothing. A line of `...` alone stands for any number of lines."""
        expected = [line.strip() for line in shown.strip("\n").splitlines()]
        lines = [line.strip() for line in told.strip("\n").splitlines()]
        return self._fault(expected, lines)

    def _fault(self, expected: list[str], lines: list[str]) -> str:
        if not expected:
            return f"more than the page shows: {lines[0]!r}" if lines else ""
        if expected[0] == "...":
            faults = [self._fault(expected[1:], lines[start:]) for start in range(len(lines) + 1)]
            return "" if "" in faults else f"nowhere behind the gap: {expected[1:2]}"
        if not lines:
            return f"missing: {expected[0]!r}"
        found = re.fullmatch(self.pattern(expected[0]), lines[0])
        if not found:
            return f"{expected[0]!r} is not {lines[0]!r}"
        before = dict(self.ids)
        self.ids.update({name[3:]: value for name, value in found.groupdict().items() if value})
        fault = self._fault(expected[1:], lines[1:])
        if fault:
            self.ids = before
        return fault

    def pattern(self, line: str) -> str:
        """A regular expression for a line of the page."""
        parts, at, named = [], 0, set()
        for token in TOKEN.finditer(line):
            parts.append(re.escape(line[at : token.start()]))
            at = token.end()
            kind, text = str(token.lastgroup), token[0]
            if kind == "gap":
                parts.append(".*?")
            elif kind == "blank":
                parts.append(r"\s+")
            elif kind != "id":
                parts.append(f"(?:{VARIABLE[kind]})")
            elif text in self.ids:
                parts.append(re.escape(self.ids[text]))
            elif text in named:
                parts.append(f"(?P=id_{text})")
            else:
                named.add(text)
                parts.append(f"(?P<id_{text}>[0-9a-f]{{8}})")
        return "".join(parts) + re.escape(line[at:])
