"""Which kind of file system a path lies on, and which kinds cannot hold the database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from buildrunner_coordinator.store.base import StoreError

FileSystemOf = Callable[[Path], str]

# Over a network neither the locks nor fsync can be relied on, and a write-ahead log needs both.
NETWORKED = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.gcsfuse",
        "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs", "gfs2", "glusterfs",
        "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs",
        "sshfs",
    }
)  # fmt: skip


def refuse_network(path: Path, file_system_of: FileSystemOf) -> None:
    """Raises StoreError if the database at `path` would lie on a network file system."""
    kind = file_system_of(path)
    if kind in NETWORKED:
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where a database cannot be kept safely: "
            "choose a state directory on a local disk"
        )


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind, as the kernel names it ("ext4", "nfs4", "fuse.sshfs"); empty where that cannot be told."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""  # no such list on this system: its owner must know
    return _kind_from(lines, path.resolve())


def _kind_from(lines: Iterable[str], path: Path) -> str:
    kind, depth = "", -1
    for line in lines:
        _, point, found, *_ = line.split(" ")
        place = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point))
        # A later line with the same place hides the earlier one.
        if len(place.parts) >= depth and path.is_relative_to(place):
            kind, depth = found, len(place.parts)
    return kind
