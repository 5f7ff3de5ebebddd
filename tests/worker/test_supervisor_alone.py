"""A runtime that dies while its supervisor is telling it something."""

from __future__ import annotations

import socket
import subprocess
import sys

from buildrunner_parallel.worker import supervisor_messages as say
from buildrunner_parallel.worker.framing import encode


def test_a_supervisor_that_finds_its_runtime_gone_when_it_sends_ends(tmp_path):
    """The end of the stream is then never read: what cannot be sent must be word enough."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "buildrunner_parallel.worker.supervisor"], stdin=theirs.fileno(), cwd=tmp_path
    )
    try:
        theirs.close()
        ours.shutdown(socket.SHUT_RD)
        ours.sendall(encode([(say.CONFIGURE, 1, str(tmp_path / "scratch"), {}), (say.REVOKE, "nobody")]))
        ours.sendall(encode([(say.RUN, "key", ["true"], "/", {}, 1, 0, 0, "BR_TEST=alone")]))
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        ours.close()
