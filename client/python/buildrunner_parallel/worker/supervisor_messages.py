"""What the runtime and its supervisor say to each other; a message is a plain tuple that starts with its
name.

Requests (runtime to supervisor)
    (CONFIGURE, slots, scratch_folder, base_env)        once, first
    (LEASE, clock, term_at_ns, kill_at_ns, lock_path)   see lease_clock.LeaseClock.renew
    (RUN, key, argv, cwd, env, slots, timeout_ns, grace_ns, mark)
                                     queued until the slots are free; timeout 0 is none; `mark` is an entry of
                                     `env`, as NAME=value, that no other run has
    (HOST, key, argv, cwd, env, grace_ns, mark, inherited)
                                     started at once, takes no slot; so many descriptors came with the frame
    (REVOKE, key)                    take it back if it has not started: answered REVOKED or not at all
    (CANCEL, key, grace_ns, cause)   stop it (a queued one is REVOKED); SIGTERM, grace, SIGKILL
    (PAUSE, key), (RESUME, key)      stop and go on reading its output
    (STOP, grace_ns)                 stop everything; the supervisor ends when nothing is left

Events (supervisor to runtime)
    (STARTED, key, pid, slot, started_at_us)
    (OUTPUT, key, stream, data)      stream 1 or 2, in the order read
    (ENDED, ...)                     the fields of Ended; nothing of the run is left by then
    (REFUSED, key, kind, message)    it could not be started; kinds are in spawning
    (REVOKED, key)                   it has not started and will not
"""

from __future__ import annotations

from typing import Any, NamedTuple

CONFIGURE = "configure"
LEASE = "lease"
RUN = "run"
HOST = "host"
REVOKE = "revoke"
CANCEL = "cancel"
PAUSE = "pause"
RESUME = "resume"
STOP = "stop"

STARTED = "started"
OUTPUT = "output"
ENDED = "ended"
REFUSED = "refused"
REVOKED = "revoked"

CAUSE_OWN = ""
CAUSE_TIMEOUT = "timeout"
CAUSE_CANCEL = "cancel"
CAUSE_LEASE = "lease"
CAUSE_STOP = "stop"

STDOUT = 1
STDERR = 2


class Ended(NamedTuple):
    """How one run ended. `signal` 0 means that it exited; `cause` tells who ended it, empty: itself."""

    name: str
    key: Any
    exit_code: int
    signal: int
    cause: str
    ended_at_us: int
    wall_us: int
    user_cpu_us: int
    system_cpu_us: int
    peak_memory_bytes: int
    result: bytes | None
    error: str
