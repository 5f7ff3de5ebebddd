"""What the tests of pages are made of: a fault in a page would be noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .pages import carry_out, settled, steps_of
from .pages_matching import Matcher

PAGE = """
```yaml
# deep/plan.yaml
name: x
```

```console
$ cat deep/plan.yaml | tail -1
name: x
$ cd deep && pwd | sed 's|.*/||'
deep
$ printf '%s\\n' "a
> b"
a
b
$ false
$ echo $?
1
```
"""


def test_a_page_is_carried_out_in_one_shell(tmp_path: Path):
    page, folder = tmp_path / "page.md", tmp_path / "here"
    folder.mkdir()
    page.write_text(PAGE)
    assert carry_out(page, folder, dict(os.environ)) == 5


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("deep\n", "shallow\n"), ("$ echo $?\n1\n", ""), ("a\nb\n", "a\n"), ("a\nb\n", "a\nb\nc\n"),
        ("tail -1\nname: x", "tail -1\nname"),
    ],
)  # fmt: skip
def test_what_a_page_says_wrongly_is_seen(tmp_path: Path, right: str, wrong: str):
    page, folder = tmp_path / "page.md", tmp_path / "here"
    folder.mkdir()
    assert PAGE.count(right) == 1
    page.write_text(PAGE.replace(right, wrong))
    with pytest.raises(AssertionError, match=r"page\.md:\d+"):
        carry_out(page, folder, dict(os.environ))


def test_python_without_a_name_is_a_program_and_its_text_what_it_prints():
    steps = list(steps_of("```python\nprint(1)\n```\n```text\n1\n```\n```mermaid\nx\n```\n"))
    assert [(step.file, step.command, step.shown) for step in steps] == [
        ("program.py", "", None), ("", "python program.py", "1\n"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("a  b", "a b"),
        ("took 2m10s at 12:00:01", "took 879ms at 23:59:59"),
        ("made 2s ago, waits for 1 min 3 s", "made now, waits for 20 ms"),
        ("fence 1795915557543560", "fence 1795915621996477"),
        ("Session a3f2e1d9 is a3f2e1d9", "Session 01ab23cd is 01ab23cd"),
        ("one\n...\nlast", "one\ntwo\nthree\nlast"),
        ("CPU ..., done", "CPU 2 of 3, done"),
    ],
)
def test_texts_match_but_for_what_differs_with_the_run(shown: str, told: str):
    assert Matcher().fault(shown, told) == ""


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("took 2s", "took long"),
        ("Session a3f2e1d9 is a3f2e1d9", "Session 01ab23cd is 01ab23ce"),
        ("one\n...\nlast", "one\ntwo"),
        ("3 succeeded", "2 succeeded"),
        ("a", "a\nb"),
    ],
)
def test_texts_that_say_something_else_do_not_match(shown: str, told: str):
    assert Matcher().fault(shown, told) != ""


def test_an_id_of_the_page_stands_for_one_of_the_run_from_then_on():
    matcher = Matcher()
    assert matcher.fault("...\nSession a3f2e1d9", "x\nSession 01ab23cd") == ""
    assert matcher.filled_in("br parallel status a3f2e1d9") == "br parallel status 01ab23cd"
    assert matcher.fault("a3f2e1d9", "ffff0000") != ""


def test_bars_that_were_rubbed_out_are_not_there():
    written = "one\r\n\x1b[2Kbar 1/3\r\x1b[2Kbar 3/3\r\n\x1b[1A\x1b[2K\x1b[1mdone\x1b[0m\n"
    assert settled(written) == "one\ndone\n"
