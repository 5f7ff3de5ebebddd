"""What holds for all tests: hypothesis repeats its examples, a slow machine is no failure, Ctrl+C works."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell starts what it puts into the background with these ignored, and so does nohup; programs under test
# would inherit that, and could not be interrupted.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")
