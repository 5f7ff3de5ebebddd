"""From what a store has read to a core. Nothing but the first revision is decided here."""

from __future__ import annotations

from dataclasses import replace

from buildrunner_coordinator.domain.changes import Snapshot
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.model import Settings, Time


def load_core(snapshot: Snapshot, settings: Settings, now: Time) -> Core:
    """The core of a store that was just opened.

    A store without a commit counts as revision 1: on the wire 0 says that more of a snapshot follows.
    """
    if not snapshot.meta.revision:
        snapshot = replace(snapshot, meta=snapshot.meta._replace(revision=1))
    return Core.load(snapshot, settings, now)
