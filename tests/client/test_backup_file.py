"""The file that takes a copy of the database, on a disk that is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildrunner_parallel.backup import BackupFile
from buildrunner_parallel.v1 import coordinator_service_pb2 as wire


def test_a_full_disk_left_the_unfinished_copy_behind(tmp_path):
    with pytest.raises(OSError, match="No space left"), BackupFile(tmp_path / "copy.db") as copy:
        copy._file.close()
        copy._file = Path("/dev/full").open("wb")  # noqa: SIM115  (closed by what is tested)
        copy.write(wire.BackupResponse(data=b"x" * 10, total_bytes=10))
        copy.finish("nowhere")
    assert list(tmp_path.iterdir()) == []
