"""What a program and its embedded worker's process say to each other; a message is a tuple that starts with
its name.

Program to process
    (CONFIGURE, options, program_pid)   once, first; the fields of WorkerOptions by name
    (LEAVE, reason, within_s)           take nothing new; what runs is stopped after so many seconds, with
                                        None never; may be said again with less

Process to program
    (SERVING, worker_id)                the coordinator has taken it, now or again
    (LOG, level, text)                  for the program's log; left out rather than waited for
    (LEFT, exit_code, failure)          last; the failure is one line, or empty
"""

from __future__ import annotations

CONFIGURE = "configure"
LEAVE = "leave"
SERVING = "serving"
LOG = "log"
LEFT = "left"
