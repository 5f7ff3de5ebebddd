"""Registering handlers, calling them without any worker, and finding the modules that have them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buildrunner_parallel.specs import Payload
from buildrunner_parallel.worker import HandlerContext, HandlerLoadError, handler, handler_modules, handlers
from buildrunner_parallel.worker.handler_context import Cancellation


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, handlers.Handler]:
    """A registry of the test's own."""
    own = {handlers.NO_OPERATION: handlers.registered()[handlers.NO_OPERATION]}
    monkeypatch.setattr(handlers, "_registry", own)
    return own


@pytest.fixture
def module_file(tmp_path: Path) -> Iterator[Path]:
    before, modules = list(sys.path), set(sys.modules)
    yield tmp_path / "some_handlers_of_mine.py"
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_a_handler_can_be_called_in_a_test_of_its_own() -> None:
    @handler("double")
    def double(context: HandlerContext) -> int:
        context.progress(50, "half")
        return 2 * int(context.json())

    assert double(HandlerContext(b"21")) == 42
    assert not HandlerContext().cancelled
    assert HandlerContext(b"text").text() == "text"


def test_further_parameters_are_filled_from_the_payload(registry: dict[str, handlers.Handler]) -> None:
    @handler("area")
    def area(context: HandlerContext, width: int, height: int = 3) -> int:
        return width * height

    entry = registry["area"]
    assert entry.call(HandlerContext(b'{"width": 2}')) == 6
    assert entry.call(HandlerContext(b'{"width": 2, "height": 5}')) == 10
    with pytest.raises(TypeError, match="must be a JSON object"):
        entry.call(HandlerContext(b"2"))
    with pytest.raises(TypeError, match="'width'"):
        entry.call(HandlerContext())


@pytest.mark.parametrize("name", ["", "x" * 257, "br.mine"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(HandlerLoadError):
        handler(name)


def test_a_function_without_a_context_is_refused() -> None:
    with pytest.raises(HandlerLoadError, match="must take a context"):
        handler("nothing")(lambda: None)
    with pytest.raises(HandlerLoadError, match="must take a context"):

        @handler("by name")
        def by_name(*, context: HandlerContext) -> None:
            """Takes it by name only."""


def test_two_functions_of_one_name_are_refused_but_one_may_come_again() -> None:
    def one(context: HandlerContext) -> None:
        """The first."""

    def two(context: HandlerContext) -> None:
        """The second."""

    handler("same")(one)
    handler("same")(one)
    with pytest.raises(HandlerLoadError, match="two handlers are named 'same'"):
        handler("same")(two)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (None, "")),
        (b"\0", (b"\0", "application/octet-stream")),
        (bytearray(b"a"), (b"a", "application/octet-stream")),
        ("é", ("é".encode(), "text/plain; charset=utf-8")),
        ({"a": [1]}, (b'{"a": [1]}', "application/json")),
        (Payload(b"<p>", "text/html"), (b"<p>", "text/html")),
        (Payload(b"x"), (b"x", "application/octet-stream")),
    ],
)
def test_what_is_returned_becomes_bytes_with_a_media_type(value: object, expected: Any) -> None:
    assert handlers.to_result(value) == expected


def test_results_that_cannot_be_sent_are_refused() -> None:
    with pytest.raises(TypeError):
        handlers.to_result(object())
    with pytest.raises(ValueError, match="larger than"):
        handlers.to_result(b"x" * (handlers.RESULT_LIMIT_BYTES + 1))


def test_progress_is_brought_into_its_bounds() -> None:
    told: list[tuple[float, str]] = []
    context = HandlerContext(report=lambda percent, message: told.append((percent, message)))
    context.progress(-1)
    context.progress(250, " two\nlines ")
    context.progress(50, "x" * 1000)
    assert told == [(0.0, ""), (100.0, "two lines"), (50.0, "x" * 256)]


def test_a_sleeping_handler_wakes_up_when_it_is_cancelled() -> None:
    cancellation = Cancellation()
    context = HandlerContext(cancellation=cancellation)
    assert context.sleep(0) is False
    thread = threading.Thread(target=cancellation.set)
    thread.start()
    assert context.sleep(60) is True
    thread.join()
    assert context.cancelled
    assert context.sleep(60) is True


def test_a_module_is_loaded_by_its_file(module_file: Path) -> None:
    (module_file.parent / "helper_beside_it.py").write_text("ANSWER = 42\n")
    module_file.write_text(
        "import helper_beside_it\nfrom buildrunner_parallel.worker import handler\n"
        "@handler('of a file')\ndef of_a_file(context): return helper_beside_it.ANSWER\n"
    )
    found = handler_modules.load([str(module_file)])
    assert found["of a file"].call(HandlerContext()) == 42
    assert handler_modules.modules_of_this_program() == ["some_handlers_of_mine"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        (
            "\nint('x')\n",
            "ValueError: invalid literal for int() with base 10: 'x' (some_handlers_of_mine.py, ",
        ),
        ("def :\n", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_named_with_the_reason(
    module_file: Path, text: str, what: str
) -> None:
    module_file.write_text(text)
    with pytest.raises(HandlerLoadError) as caught:
        handler_modules.load([str(module_file)])
    message = str(caught.value)
    assert message.startswith(f"cannot load handlers from {str(module_file)!r}: ")
    assert what in message
    assert "\n" not in message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HandlerLoadError, match="there is no such file"):
        handler_modules.load([str(tmp_path / "gone.py")])


def test_the_main_module_is_found_again_by_its_name_or_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def mine(context: HandlerContext) -> None:
        """Of the main module."""

    mine.__module__ = "__main__"
    handler("mine")(mine)
    script = tmp_path / "program.py"
    script.write_text("")
    for main, expected in (
        (SimpleNamespace(__spec__=SimpleNamespace(name="package.__main__")), "package.__main__"),
        (SimpleNamespace(__spec__=None, __file__=str(script)), f"__main__={script}"),
    ):
        monkeypatch.setitem(sys.modules, "__main__", main)
        assert handler_modules.modules_of_this_program() == [expected]
    for nowhere in (
        SimpleNamespace(__spec__=None),
        SimpleNamespace(__spec__=SimpleNamespace(name="__main__"), __file__=str(script)),
    ):
        monkeypatch.setitem(sys.modules, "__main__", nowhere)
        with pytest.raises(HandlerLoadError, match="put them into a module"):
            handler_modules.modules_of_this_program()
