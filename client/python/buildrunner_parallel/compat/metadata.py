"""Metadata that is written through when it is changed. What is nested in it is, by the next flush."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


class LiveMetadata(dict[str, Any]):
    """A plain dict to its user; `write` gets the whole after each change."""

    def __init__(self, values: Mapping[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(values)
        self._write = write
        self._written = _text(values)

    def take(self, values: Mapping[str, Any]) -> None:
        """What the coordinator has now, unless that is what was here already."""
        text = _text(values)
        if text != self._written:
            super().clear()
            super().update(values)
            self._written = text

    def flush(self) -> None:
        """Writes it if it is not what was last written or read. What is refused is taken back."""
        try:
            text = _text(self)
            if text != self._written:
                self._write(dict(self))
                self._written = text
        except ValueError:
            super().clear()
            super().update(json.loads(self._written))
            raise

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.flush()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.flush()

    def __ior__(self, other: Any) -> LiveMetadata:  # type: ignore[override,misc]
        self.update(other)
        return self

    def update(self, *arguments: Any, **values: Any) -> None:
        super().update(*arguments, **values)
        self.flush()

    def setdefault(self, key: str, default: Any = None) -> Any:
        found = super().setdefault(key, default)
        self.flush()
        return found

    def pop(self, *arguments: Any) -> Any:
        found = super().pop(*arguments)
        self.flush()
        return found

    def popitem(self) -> tuple[str, Any]:
        found = super().popitem()
        self.flush()
        return found

    def clear(self) -> None:
        super().clear()
        self.flush()


def _text(values: Mapping[str, Any]) -> str:
    """Raises ValueError for what is not JSON."""
    try:
        return json.dumps(dict(values), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be JSON: {error}") from None
