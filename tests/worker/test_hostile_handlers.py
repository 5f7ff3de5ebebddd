"""Handlers whose errors, names and types are as odd as Python allows: their tasks end, and say why."""

from __future__ import annotations

import enum

import pytest

from buildrunner_parallel.specs import Payload
from buildrunner_parallel.worker import HandlerContext, HandlerLoadError, handlers, reports
from buildrunner_parallel.worker.framing import encode

UNDECODABLE = "caf\udce9.txt"


class Speechless(Exception):
    """Like an error of a C library that is half initialised."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Kind(enum.StrEnum):
    TABLE = "text/csv"


def test_an_error_that_cannot_be_printed_is_still_told() -> None:
    assert handlers.describe(Speechless()) == "Speechless: <no text: its __str__ raised RuntimeError>"


def test_an_error_about_an_undecodable_file_name_can_be_sent() -> None:
    told = handlers.describe(FileNotFoundError(f"no {UNDECODABLE}"))
    assert told == "FileNotFoundError: no caf\\udce9.txt"
    assert told.encode()


def test_a_report_takes_any_text() -> None:
    assert reports.one_line(f"no\n {UNDECODABLE}") == "no caf\\udce9.txt"
    assert len(reports.one_line("\udce9" * 5000)) == 4096


def test_progress_about_an_undecodable_file_name_can_be_sent() -> None:
    said: list[tuple[float, str]] = []
    context = HandlerContext(report=lambda percent, message: said.append((percent, message)))
    context.progress(50, f"reading {UNDECODABLE}")
    assert said == [(50.0, "reading caf\\udce9.txt")]


@pytest.mark.parametrize(("given", "sent"), [(Kind.TABLE, "text/csv"), ("a\udce9", "a\\udce9")])
def test_a_content_type_of_any_kind_of_string_can_be_sent(given: str, sent: str) -> None:
    data, content_type = handlers.to_result(Payload(b"1,2", given))
    assert (data, content_type) == (b"1,2", sent)
    assert encode([(data, content_type)]) and type(content_type) is str


def test_handlers_that_only_this_program_knows_are_told_of() -> None:
    handlers.check_expected(["a", "b"], ["b", "a", "c"])
    with pytest.raises(HandlerLoadError, match="no other process can find 'a', 'c'; define them at the top"):
        handlers.check_expected(["a", "b", "c"], ["b"])
