"""The log: one JSON object a line, rotated by size; warnings also as plain lines on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 10 << 20
BACKUPS = 3
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """time (RFC 3339 UTC), level, logger, message, then whatever `extra` holds, then the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def open_log(path: Path, level: str) -> logging.Handler:
    """Sends all logging to the file. Raises OSError when it cannot be opened."""
    # A full disk must not bury the terminal under the complaints of the log.
    logging.raiseExceptions = False
    handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
    handler.setFormatter(JsonLines())
    path.chmod(0o600)
    plain = logging.StreamHandler(sys.stderr)
    plain.setLevel(logging.ERROR)
    plain.setFormatter(logging.Formatter("buildrunner-coordinator: %(message)s"))
    root = logging.getLogger()
    root.setLevel(level)
    root.handlers[:] = [handler, plain]
    return handler
