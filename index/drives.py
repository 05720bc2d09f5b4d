"""What the system says of the drive below a path, without touching it: a share that hangs would hang the question."""

from __future__ import annotations

from pathlib import Path

_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "gluster",
    "fuse.",  # not fuseblk: NTFS and exFAT drives, whose events come
    "virtiofs",
    "vboxsf",
    "davfs",
    "lustre",
)


def is_network(path: bytes) -> bool:
    """Whether a path lies where the system hears of its own changes alone: a network drive, most of FUSE."""
    return network_drive(path) is not None


def network_drive(path: bytes) -> bytes | None:
    """The mount point of the network drive that a path lies on; None where it lies on none."""
    if path.startswith(b"\\\\"):
        return b"\\".join(path.split(b"\\")[:4])
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return None
    best, kind = b"", b""
    for line in lines:
        left, _, right = line.partition(b" - ")
        point = left.split()[4].decode("unicode_escape").encode("latin-1")  # spaces stand there as \040
        inside = path == point or path.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    if kind == b"fuse" or kind.decode("ascii", "replace").startswith(_NETWORK):
        return best
    return None
