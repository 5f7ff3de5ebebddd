"""What a worker is told when it is started. Plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(slots=True)
class WorkerOptions:
    """`coordinator` as gRPC takes it, `token` as presented there.

    `credit` above 0 fixes how many attempts are held; else it follows the tasks' length. `lock_file` is the
    coordinator's own, given on its host only: while nobody holds it, the lease stands still.
    `unreachable_s` is how long the coordinator may stay away, `drain_s` how long running tasks may take
    after SIGTERM. `commands` False leaves handlers alone. `import_path`, when given, is the sys.path of
    handler hosts, and `pass_environment` has patterns of variables that tasks see of this process's own,
    beyond those that every task sees. A worker whose `handler_modules` lack one of `expected_handlers` ends.
    """

    coordinator: str
    token: str = ""
    slots: int = 1
    labels: list[str] = field(default_factory=list)
    handler_modules: list[str] = field(default_factory=list)
    expected_handlers: list[str] = field(default_factory=list)
    session_id: str = ""
    workspace_id: str = ""
    credit: int = 0
    lock_file: str = ""
    directory: str = field(default_factory=os.getcwd)
    metadata_json: str = ""
    unreachable_s: float = 600.0
    drain_s: float = 30.0
    commands: bool = True
    import_path: list[str] = field(default_factory=list)
    pass_environment: list[str] = field(default_factory=list)
