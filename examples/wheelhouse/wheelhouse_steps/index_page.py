"""The page that lists the wheels: its entries, its HTML, and what can be wrong with it. Writes nothing.

pip can install from the page (`--find-links`): each link carries the hash of its wheel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

from .errors import StepError
from .files import sha256_of

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Wheelhouse</title>
<style>
body {{ font-family: sans-serif; margin: 3em auto; max-width: 60em }}
td, th {{ padding: .3em 1em; text-align: left }} td.n {{ text-align: right }} code {{ font-size: 80% }}
</style></head>
<body>
<h1>Wheelhouse</h1>
<table data-count="{count}">
<tr><th>package</th><th>version</th><th>wheel</th><th>bytes</th><th>tests</th><th>sha256</th></tr>
{rows}</table>
</body>
</html>
"""
_ROW = (
    '<tr data-name="{name}" data-version="{version}" data-file="{file}" data-sha256="{sha256}"'
    ' data-size_bytes="{size_bytes}" data-tests="{tests}"><td>{name}</td><td>{version}</td>'
    '<td><a href="wheels/{link}#sha256={sha256}">{file}</a></td>'
    '<td class="n">{size_bytes}</td><td class="n">{tests}</td><td><code>{sha256}</code></td></tr>\n'
)


@dataclass(frozen=True, order=True)
class Entry:
    """One wheel: `tests` is the number of tests of its package, all of which have run."""

    name: str
    version: str
    file: str
    sha256: str
    size_bytes: int
    tests: int


class _Reader(HTMLParser):
    """Takes the entries from the attributes of the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.count = -1
        self.entries: list[Entry] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        data = {key.removeprefix("data-"): value or "" for key, value in attrs if key.startswith("data-")}
        if tag == "table":
            self.count = int(data["count"])
        elif tag == "tr" and data:
            texts = {key: data[key] for key in ("name", "version", "file", "sha256")}
            self.entries.append(Entry(**texts, size_bytes=int(data["size_bytes"]), tests=int(data["tests"])))


def render(entries: Sequence[Entry]) -> str:
    """The page for these entries, sorted by name."""
    rows = ""
    for entry in sorted(entries):
        values = {key: escape(str(value)) for key, value in asdict(entry).items()}
        rows += _ROW.format(**values, link=quote(entry.file))
    return _PAGE.format(count=len(entries), rows=rows)


def parse(page: str) -> list[Entry]:
    """The entries of a page. Raises StepError unless it is, to the letter, one that `render` makes."""
    reader = _Reader()
    try:
        reader.feed(page)
    except (KeyError, ValueError) as error:
        raise StepError(f"the index page is damaged: {error!r}") from error
    if reader.count != len(reader.entries) or render(reader.entries) != page:
        raise StepError("the index page is damaged: it is not as it was written")
    return reader.entries


def with_entry(entries: Sequence[Entry], entry: Entry) -> list[Entry]:
    """The entries with this one added, in place of an earlier one of the same package."""
    return sorted([*(other for other in entries if other.name != entry.name), entry])


def problems_of(entries: Sequence[Entry], wheels: Path) -> list[str]:
    """What does not agree between the entries and the files in the folder `wheels`, in words."""
    problems = []
    for entry in entries:
        wheel = wheels / entry.file
        if not wheel.is_file():
            problems.append(f"{entry.file} is listed, but it is not there")
        elif wheel.stat().st_size != entry.size_bytes or sha256_of(wheel) != entry.sha256:
            problems.append(f"{entry.file} is not the file that was listed")
    return problems


def missing_and_unknown(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """Which packages are not listed although they should be, or the other way round, in words."""
    listed = [entry.name for entry in entries]
    problems = [f"{name} is not listed" for name in names if name not in listed]
    problems += [f"{name} is listed and should not be" for name in listed if name not in names]
    return problems + [f"{name} is listed twice" for name, count in Counter(listed).items() if count > 1]
